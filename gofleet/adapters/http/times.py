"""Points in time as RFC 3339 writes them, in queries and, where msgspec refuses one, in bodies."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import msgspec

from gofleet.domain.errors import Invalid

_LEAP = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d):60((?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d))")
_LOST_PLUS = re.compile(r".*\d \d\d:?\d\d")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_LEAP_DAYS = {(6, 30), (12, 31)}
"""Days, in UTC, that leap seconds have ended so far (RFC 3339, 5.7)."""


def parse_time(field: str, text: str) -> datetime:
    """The time that `text` names, in UTC; raises `Invalid`.

    23:59:60 UTC at the end of June or December is a leap second: the same time as the following 00:00:00, as in POSIX.
    """
    if _LOST_PLUS.fullmatch(text):
        raise Invalid(field, "must be a time as in RFC 3339; in a URL the + of its offset is written %2B")
    if match := _LEAP.fullmatch(text):
        last = to_utc(field, _decoded(field, f"{match[1]}:59{match[2]}"))
        if (last.hour, last.minute) != (23, 59) or (last.month, last.day) not in _LEAP_DAYS:
            raise Invalid(
                field, "has second 60, which RFC 3339 allows only at 23:59:60 UTC at the end of June or December"
            )
        return last + timedelta(seconds=1)
    return to_utc(field, _decoded(field, text))


def to_utc(field: str, time: datetime) -> datetime:
    """`time` in UTC; raises `Invalid` if it has no time zone or is outside the calendar in UTC."""
    if time.tzinfo is None:
        raise Invalid(field, "must name a time zone, such as Z")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise Invalid(field, "is out of range") from error


def _decoded(field: str, text: str) -> datetime:
    try:
        if _DATE.match(text):
            return msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        pass
    raise Invalid(field, "must be a time as in RFC 3339, such as 2026-01-31T12:00:00Z")
