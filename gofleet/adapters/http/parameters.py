"""What the path and the query carry, checked."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime

from gofleet.domain.errors import Invalid
from gofleet.domain.ids import identifier
from gofleet.domain.order import Order

LONGEST_CURSOR = 256


class BadParameter(Invalid):
    """`Invalid`, in the path or the query instead of the body."""


def parameter_id(name: str, text: str) -> str:
    """An identifier out of the path or the query."""
    try:
        return identifier(name, text)
    except Invalid as error:
        raise BadParameter(name, error.why) from error


def aware(field: str, time: datetime, refusal: type[Invalid] = Invalid) -> datetime:
    """`time` in UTC; refused when it names no time zone, or lies outside the calendar in UTC."""
    if time.tzinfo is None:
        raise refusal(field, "must name a time zone, such as Z")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise refusal(field, "is out of range") from error


def cursor_after(order: Order) -> str:
    """Where the page ended, opaque to clients: they must not build on what is inside."""
    assert order.created_at is not None  # noqa: S101  stored orders have it
    return urlsafe_b64encode(f"{order.created_at.isoformat()} {order.id}".encode()).decode().rstrip("=")


def position_of(cursor: str) -> tuple[datetime, str]:
    try:
        if len(cursor) > LONGEST_CURSOR:
            raise ValueError
        text = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode("ascii")
        created_at, _, order_id = text.partition(" ")
        return aware("cursor", datetime.fromisoformat(created_at)), identifier("cursor", order_id)
    except (ValueError, Invalid) as error:
        raise BadParameter("cursor", "is not one that we gave") from error


def cursor_after_id(id: int) -> str:
    """As `cursor_after`, for what is sorted by a number."""
    return urlsafe_b64encode(f"#{id}".encode()).decode().rstrip("=")


def id_of(cursor: str) -> int:
    try:
        text = urlsafe_b64decode(cursor[:LONGEST_CURSOR].encode("ascii") + b"=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        text = ""
    if not (found := re.fullmatch(r"#([1-9][0-9]{0,17})", text)):
        raise BadParameter("cursor", "is not one that we gave")
    return int(found[1])
