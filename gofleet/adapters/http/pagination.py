"""Where a page ended, opaque to clients: they must not build on what is inside."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Annotated, Any

from litestar.params import QueryParameter

from gofleet.adapters.http.validation import InvalidParameter, to_utc
from gofleet.domain.errors import Invalid
from gofleet.domain.history import HistoryCursor
from gofleet.domain.order import Order
from gofleet.domain.values import identifier

_CURSOR = re.compile(r"[A-Za-z0-9_-]{1,256}")
_ROW = re.compile(r"#([1-9][0-9]{0,17})")

Cursor = Annotated[
    str | None,
    QueryParameter(
        description="`next_cursor` of the page before; opaque.",
        schema_extra={"pattern": "^[A-Za-z0-9_-]+$", "max_length": 256},
    ),
]


def order_cursor(order: Order) -> str:
    """For what is sorted by time and id."""
    assert order.created_at is not None  # noqa: S101  stored orders have it
    return _written(f"{order.created_at.isoformat()} {order.id}")


def parse_order_cursor(cursor: str | None) -> tuple[datetime, str] | None:
    """The time and id that `after_order` wrote down; None = from the beginning. `BadParameter`."""
    if cursor is None:
        return None
    created_at, _, order_id = _read(cursor).partition(" ")
    try:
        return to_utc("cursor", datetime.fromisoformat(created_at)), identifier("cursor", order_id)
    except (ValueError, Invalid) as error:
        raise _foreign() from error


def row_cursor(id: int) -> str:
    """For what is sorted by a number."""
    return _written(f"#{id}")


def parse_row_cursor(cursor: str | None) -> int | None:
    """The number that `after_row` wrote down; None = from the beginning. `BadParameter`."""
    if cursor is None:
        return None
    if not (found := _ROW.fullmatch(_read(cursor))):
        raise _foreign()
    return int(found[1])


def driver_cursor(driver_id: str) -> str:
    """For what is sorted by an id."""
    return _written(f"@{driver_id}")


def parse_driver_cursor(cursor: str | None) -> str:
    """The id that `after_driver` wrote down; empty = from the beginning. `BadParameter`."""
    if cursor is None:
        return ""
    text = _read(cursor)
    if not text.startswith("@"):
        raise _foreign()
    try:
        return identifier("cursor", text[1:])
    except Invalid as error:
        raise _foreign() from error


def _written(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(cursor: str) -> str:
    if not _CURSOR.fullmatch(cursor):
        raise _foreign()
    try:
        return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError as error:
        raise _foreign() from error


def _foreign() -> InvalidParameter:
    return InvalidParameter("cursor", "is not one that we gave")


RESUME_TOKEN_CHARS_MAX = 64
RESUME_TOKEN: dict[str, Any] = {"pattern": "^[A-Za-z0-9_-]+$", "max_length": RESUME_TOKEN_CHARS_MAX}
_MOMENT = re.compile(r"@([0-9]{1,18})\.([0-9]{1,18})")


def resume_token(moment: HistoryCursor) -> str:
    return urlsafe_b64encode(f"@{moment.txid}.{moment.id}".encode()).decode().rstrip("=")


def parse_resume_token(token: str) -> HistoryCursor:
    """`BadParameter` if it is not one that we gave."""
    try:
        text = urlsafe_b64decode(token[:RESUME_TOKEN_CHARS_MAX].encode("ascii") + b"=" * (-len(token) % 4)).decode(
            "ascii"
        )
    except ValueError:
        text = ""
    if len(token) > RESUME_TOKEN_CHARS_MAX or not (found := _MOMENT.fullmatch(text)):
        raise InvalidParameter("last_event_id", "is not one that we gave")
    return HistoryCursor(int(found[1]), int(found[2]))
