"""Entity tags (RFC 9110, section 8.8.3).

An order's ETag is its version in quotes, such as `"3"`. A driver's is `"3/order-7"` while the driver holds that order:
the representation changes with it although the record does not. If-Match compares only the version in it, because a
client changes the record and not the order.

Proxies that compress a response mark its tag: nginx and Cloudflare as weak (`W/"3"`), Apache and Jetty with a suffix
(`"3-gzip"`). Such a tag is still the version that we gave, and counts as it in If-Match and If-None-Match.
"""

from __future__ import annotations

import re

from gofleet.adapters.http.problem_types import RequestError
from gofleet.domain.driver import Driver
from gofleet.usecases.transitions import Versions

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"\s*{_TAG}\s*(?:,\s*{_TAG}\s*)*")
_CODING = r"(?:(?:--?|;)(?:gzip|br|zstd|deflate))?"
_VERSION = re.compile(rf'(?:W/)?"([1-9][0-9]{{0,9}}){_CODING}"')
_DRIVER_VERSION = re.compile(rf'(?:W/)?"([1-9][0-9]{{0,9}})(?:/[^"]*|{_CODING})"')
_CODED = re.compile(rf'"(.*?){_CODING}"')


class MalformedTag(RequestError):
    """The If-Match header is no list of entity tags."""

    code = "malformed-tag"

    def __init__(self) -> None:
        super().__init__('it must be like "3", with the quotes')


class MissingTag(RequestError):
    """The operation requires the If-Match header."""

    code = "precondition-required"

    def __init__(self) -> None:
        super().__init__("send the ETag of the order as you saw it")


def etag_of(version: int) -> str:
    return f'"{version}"'


def driver_etag_of(driver: Driver) -> str:
    return f'"{driver.version}/{driver.order_id}"' if driver.order_id else etag_of(driver.version)


def matches(if_none_match: str, tag: str) -> bool:
    """Whether If-None-Match names `tag` (RFC 9110, section 13.1.2): the comparison is weak, `*` is any version."""
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return tag in tags | {_CODED.sub(r'"\1"', coded) for coded in tags} or "*" in tags


def parse_if_match(if_match: str | None) -> Versions:
    """The versions that If-Match allows; None = any, without the header or with `*`. Raises `MalformedTag`.

    An unknown tag allows no version. A weak tag is compared too, in deviation from RFC 9110, section 13.1.1: our tag is
    a version of the record, not of the bytes that a proxy sent.
    """
    return _versions(if_match, _VERSION)


def parse_driver_if_match(if_match: str | None) -> Versions:
    """As `parse_if_match`, for a driver's record."""
    return _versions(if_match, _DRIVER_VERSION)


def require_if_match(if_match: str | None) -> Versions:
    """As `parse_if_match`; raises `MissingTag` without the header."""
    if if_match is None:
        raise MissingTag
    return parse_if_match(if_match)


def _versions(if_match: str | None, pattern: re.Pattern[str]) -> Versions:
    if if_match is None or if_match.strip() == "*":
        return None
    if not _TAGS.fullmatch(if_match):
        raise MalformedTag
    return frozenset(int(match[1]) for tag in re.findall(_TAG, if_match) if (match := pattern.fullmatch(tag)))
