"""Opaque cursors: `next_cursor` of lists and the `Last-Event-ID` of streams, both base64url.

Clients must not rely on their contents.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol, TypeVar

from litestar.params import QueryParameter

from gofleet.adapters.http.faults import InvalidParameter
from gofleet.adapters.http.query import Checked
from gofleet.adapters.http.times import to_utc
from gofleet.domain.driver import Driver
from gofleet.domain.errors import Invalid
from gofleet.domain.history import HistoryCursor
from gofleet.domain.order import Order
from gofleet.domain.values import identifier

T = TypeVar("T")
RESUME_TOKEN_CHARS_MAX = 64
RESUME_TOKEN: dict[str, Any] = {"pattern": "^[A-Za-z0-9_-]+$", "max_length": RESUME_TOKEN_CHARS_MAX}

Cursor = Annotated[
    str | None,
    QueryParameter(
        description="`next_cursor` of the previous page; opaque.",
        schema_extra={"pattern": "^[A-Za-z0-9_-]+$", "max_length": 256},
    ),
    Checked(lambda _, cursor: _decode(cursor)),
]


class NumberedRow(Protocol):
    @property
    def id(self) -> int: ...


def page_of(rows: Sequence[T], limit: int, cursor_of: Callable[[T], str]) -> tuple[Sequence[T], str | None]:
    """The first `limit` of up to `limit` + 1 rows, and the cursor of the next page if there is a row left."""
    page = rows[:limit]
    return page, cursor_of(page[-1]) if len(rows) > limit else None


def order_cursor(order: Order) -> str:
    """Cursor of a list sorted by creation time and id."""
    assert order.created_at is not None  # noqa: S101  stored orders have it
    return _encode(f"{order.created_at.isoformat()} {order.id}")


def parse_order_cursor(cursor: str | None) -> tuple[datetime, str] | None:
    """The time and id in an `order_cursor`; None without one. Raises `InvalidParameter`."""
    if cursor is None:
        return None
    created_at, _, order_id = _decode(cursor).partition(" ")
    try:
        return to_utc("cursor", datetime.fromisoformat(created_at)), identifier("cursor", order_id)
    except (ValueError, Invalid) as error:
        raise _unknown_cursor() from error


def row_cursor(row: NumberedRow) -> str:
    """Cursor of a list sorted by a number."""
    return _encode(f"#{row.id}")


def parse_row_cursor(cursor: str | None) -> int | None:
    """The number in a `row_cursor`; None without one. Raises `InvalidParameter`."""
    if cursor is None:
        return None
    if not (match := _ROW.fullmatch(_decode(cursor))):
        raise _unknown_cursor()
    return int(match[1])


def driver_cursor(driver: Driver) -> str:
    """Cursor of a list sorted by driver id."""
    return _encode(f"@{driver.id}")


def parse_driver_cursor(cursor: str | None) -> str:
    """The id in a `driver_cursor`; empty without one. Raises `InvalidParameter`."""
    if cursor is None:
        return ""
    text = _decode(cursor)
    if not text.startswith("@"):
        raise _unknown_cursor()
    try:
        return identifier("cursor", text[1:])
    except Invalid as error:
        raise _unknown_cursor() from error


def resume_token(cursor: HistoryCursor) -> str:
    """The `id:` of an event, from which a stream resumes."""
    return _encode(f"@{cursor.txid}.{cursor.id}")


def parse_resume_token(token: str) -> HistoryCursor | None:
    """The cursor in a `resume_token`; None for any other text."""
    try:
        text = urlsafe_b64decode(token[:RESUME_TOKEN_CHARS_MAX] + "=" * (-len(token) % 4)).decode("ascii")
    except ValueError:
        text = ""
    if len(token) > RESUME_TOKEN_CHARS_MAX or not (match := _HISTORY_CURSOR.fullmatch(text)):
        return None
    return HistoryCursor(int(match[1]), int(match[2]))


_CURSOR = re.compile(r"[A-Za-z0-9_-]{1,256}")
_ROW = re.compile(r"#([1-9][0-9]{0,17})")
_HISTORY_CURSOR = re.compile(r"@([0-9]{1,18})\.([0-9]{1,18})")


def _encode(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str) -> str:
    if not _CURSOR.fullmatch(cursor):
        raise _unknown_cursor()
    try:
        return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError as error:
        raise _unknown_cursor() from error


def _unknown_cursor() -> InvalidParameter:
    return InvalidParameter("cursor", "is not one that we gave")
