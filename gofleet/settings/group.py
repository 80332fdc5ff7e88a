"""Declaration of groups of settings, and the error for an invalid value."""

from __future__ import annotations

from msgspec import Meta, Struct


class SettingsError(Exception):
    """What is wrong, why (the value and its source), and how to fix it."""

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(f"{what}: {why}; {fix}")
        self.what, self.why, self.fix = what, why, fix


def about(text: str, *, secret: bool = False, **bounds: float) -> Meta:
    """The help of a setting, and the bounds of its value (`ge`, `gt`, `le` as in msgspec.Meta)."""
    ge, gt, le = bounds.get("ge"), bounds.get("gt"), bounds.get("le")
    return Meta(description=text, extra={"secret": secret}, ge=ge, gt=gt, le=le)  # pyright: ignore[reportCallIssue]


class SettingsGroup(Struct, frozen=True, kw_only=True):
    """Settings of one subject. Its repr shows no values: some are secrets."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"
