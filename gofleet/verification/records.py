"""What was written down outside of GoFleet, as JSON lines: the clients' ledger and the tap on the events."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import msgspec

from gofleet.domain.errors import GoFleetError

Record = TypeVar("Record")


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What one client did, written after its last try. Without a `status` nothing is known of what became of it."""

    at: str
    act: Literal["create", "cancel", "deliver", "dispatch", "redispatch", "get"]
    order_id: str
    request: dict[str, Any] | None = None
    status: int | None = None
    response: Any = None
    tries: int = 1

    @property
    def done(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Tapped(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it came out of the broker."""

    event_id: str
    type: str
    order_id: str
    sequence: int


class Unreadable(GoFleetError):
    """A record that cannot be read; it names the file and the line."""

    code = "unreadable"


class Records(Generic[Record]):
    """The records of a file, in its order, read anew each time; `Unreadable` for a bad line or file."""

    def __init__(self, path: Path, kind: type[Record]) -> None:
        self.path = path
        self._decoder = msgspec.json.Decoder(kind, float_hook=Decimal)  # money as it was written

    def __iter__(self) -> Iterator[Record]:
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield self._read(number, line)
        except OSError as error:
            raise Unreadable(f"{self.path}: {error.strerror}") from error

    def pages(self, size: int = 500) -> Iterator[list[Record]]:
        page: list[Record] = []
        for record in self:
            page.append(record)
            if len(page) == size:
                yield page
                page = []
        if page:
            yield page

    def check(self) -> None:
        """Read it once; `Unreadable` with the line at which it fails."""
        for _ in self:
            pass

    def _read(self, number: int, line: bytes) -> Record:
        try:
            return self._decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Unreadable(f"{self.path}, line {number}: {error}") from error
