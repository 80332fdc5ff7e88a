"""What is told of a wrong setting."""

from __future__ import annotations


class SettingsError(Exception):
    """What is wrong, why (value and where it came from), and what would be right."""

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(f"{what}: {why}; {fix}")
        self.what, self.why, self.fix = what, why, fix
