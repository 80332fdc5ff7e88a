"""What goes wrong with a private server, in three lines a person can act on."""


class EmbeddedError(Exception):
    """A private server could not do what was asked; says what, why, and how to put it right."""

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what, why, fix)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}\n{self.why}\n{self.fix}"
