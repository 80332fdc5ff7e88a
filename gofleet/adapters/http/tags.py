"""Entity tags (RFC 9110, 8.8.3): an order's is its version in quotes, such as `"3"`."""

from __future__ import annotations

import re

from gofleet.usecases.move_order import Versions

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"\s*{_TAG}\s*(?:,\s*{_TAG}\s*)*")
_VERSION = re.compile(r'"([1-9][0-9]{0,9})"')


class BadTag(Exception):
    def __init__(self) -> None:
        super().__init__('it must be like "3", with the quotes')


class NoTag(Exception):
    def __init__(self) -> None:
        super().__init__("send the ETag of the order as you saw it")


def tag_of(version: int) -> str:
    return f'"{version}"'


def matches(if_none_match: str, tag: str) -> bool:
    """RFC 9110, 13.1.2: the comparison is weak, and `*` is any version."""
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return tag in tags or "*" in tags


def versions_of(if_match: str | None) -> Versions:
    """The versions that the header allows, None = any (it is missing, or `*`); `BadTag` if it cannot be read.

    RFC 9110, 13.1.1: the comparison is strong, so a weak tag, like any that we never gave, allows none.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    if not _TAGS.fullmatch(if_match):
        raise BadTag
    tags = re.findall(_TAG, if_match)
    return frozenset(int(found[1]) for tag in tags if (found := _VERSION.fullmatch(tag)))


def required_versions_of(if_match: str | None) -> Versions:
    """As `versions_of`; `NoTag` without the header."""
    if if_match is None:
        raise NoTag
    return versions_of(if_match)
