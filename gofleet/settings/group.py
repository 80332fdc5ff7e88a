"""What a group of settings is made of."""

from __future__ import annotations

from msgspec import Meta, Struct


def about(text: str, *, secret: bool = False, **bounds: float) -> Meta:
    """What a setting is for, and the bounds of its value (`ge`, `gt`, `le` as msgspec.Meta has them)."""
    ge, gt, le = bounds.get("ge"), bounds.get("gt"), bounds.get("le")
    return Meta(description=text, extra={"secret": secret}, ge=ge, gt=gt, le=le)  # pyright: ignore[reportCallIssue]


class SettingsGroup(Struct, frozen=True, kw_only=True):
    """Settings that belong together. Secrets never show in a repr."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"
