"""The streams that clients hold open: what they are sent, and how many there may be."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import msgspec

from gofleet.adapters.history_feed import HistoryFeed
from gofleet.adapters.http import sse
from gofleet.adapters.http.access import ANONYMOUS_CALLER, Caller
from gofleet.adapters.http.driver_positions import DriverPositionFeed
from gofleet.adapters.http.resume import token_of
from gofleet.adapters.http.schemas.events import EventView
from gofleet.domain.errors import RateLimitExceeded
from gofleet.domain.history import HistoryCursor, HistoryFilter
from gofleet.domain.place import BoundingBox
from gofleet.telemetry.metrics import OPEN_STREAMS

_encoder = msgspec.json.Encoder()


class TooManyStreams(Exception):
    """This process holds as many as it may."""

    def __init__(self, most: int, retry_after_seconds: float) -> None:
        super().__init__(f"{most} streams are open, which is as many as there may be")
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class StreamBounds:
    """`most` streams of one process, `each` of one customer or driver; a stream is sent something at least every
    `keep_alive_seconds`, and cut off when it takes nothing for `send_seconds`."""

    most: int = 500
    each: int = 5
    keep_alive_seconds: float = 15.0
    send_seconds: float = 10.0


class Streams:
    """Every stream ends when `stopping` is set."""

    def __init__(
        self,
        tail: HistoryFeed,
        *,
        stopping: asyncio.Event,
        moves: DriverPositionFeed,
        bounds: StreamBounds | None = None,
    ) -> None:
        self._tail = tail
        self._stopping = stopping
        self._bounds = bounds or StreamBounds()
        self._moves = moves
        self._open = 0
        self._each = Counter[str]()

    def response(
        self, moment: HistoryCursor, which: HistoryFilter, box: BoundingBox | None, caller: Caller = ANONYMOUS_CALLER
    ) -> sse.StreamingResponse:
        """What happens behind `moment`, and how drivers move in `box`, as the caller may see it. `TooManyStreams`."""
        if self._open >= self._bounds.most:
            raise TooManyStreams(self._bounds.most, self._bounds.keep_alive_seconds)
        name = None if caller.owner is None else caller.principal.subject
        if name is not None and self._each[name] >= self._bounds.each:
            raise RateLimitExceeded(self._bounds.keep_alive_seconds)
        pumps: list[sse.Pump] = [partial(self._orders, moment, which, caller)]
        if box is not None:
            pumps.append(partial(self._drivers, self._moves, box))
        return sse.StreamingResponse(
            sse.opening(token_of(moment)),
            pumps,
            opened=self._opened(name),
            stopping=self._stopping,
            send_seconds=self._bounds.send_seconds,
        )

    async def _orders(self, moment: HistoryCursor, which: HistoryFilter, caller: Caller, write: sse.Write) -> None:
        while True:
            found = await self._tail.behind(moment, which, self._bounds.keep_alive_seconds)
            moment = found.until
            if not found.entries:
                await write(sse.keep_alive(token_of(moment)))
                continue
            views = [(EventView.of(entry, caller), token_of(entry.moment)) for entry in found.entries]
            await write(b"".join(sse.event(view.type, _encoder.encode(view), id) for view, id in views))

    async def _drivers(self, moves: DriverPositionFeed, box: BoundingBox, write: sse.Write) -> None:
        with moves.watching(box) as watch:
            while True:
                if changed := await watch.changed():
                    await write(b"".join(sse.event("driver.moved", _encoder.encode(moved)) for moved in changed))

    @contextmanager
    def _opened(self, name: str | None) -> Generator[None]:
        self._open += 1
        self._each.update([name] if name else [])
        OPEN_STREAMS.inc()
        try:
            with self._tail.reading():
                yield
        finally:
            self._open -= 1
            if name:
                self._each[name] -= 1
                self._each += Counter[str]()  # forgets who has none
            OPEN_STREAMS.dec()
