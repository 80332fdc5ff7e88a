"""The stream of order events, held open: a lost connection is made again, after what was heard last."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from gofleet.cli.api_client import AWAY, PREFIX, Item, answered, nobody, unreachable
from gofleet.cli.credentials import headers_for
from gofleet.cli.errors import NOT_THERE, CommandFailed, harmless
from gofleet.cli.sse import Reader, ServerSent, TooLong

if TYPE_CHECKING:
    import httpx

PATH = "/orders/stream"
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 60.0
"""So long without a byte, not even a comment, and the connection counts as lost; a server comments every 15 s."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 15.0
MEDIA_TYPE = "text/event-stream"
END_OF_EVENTS = 204
"""The standard's way to tell a client not to come back."""


class Lost(Exception):
    """The connection is lost, or could not be made for now."""


class Stream:
    """Events of the API at `url`, for as long as it takes.

    `history` is asked after each connection was made and told first: so whoever must not miss anything does not,
    whatever happened between two connections, but hears some things twice.
    """

    def __init__(
        self,
        url: str,
        query: Mapping[str, str],
        *,
        patience_seconds: float,
        history: Callable[[], Sequence[Item]] = tuple,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url, self._query, self._history = url, dict(query), history
        self._patience_seconds, self._pause = patience_seconds, pause
        self._last_id = ""
        self._first_pause = FIRST_PAUSE_SECONDS
        self._connected = False
        self._losses, self._lost_at = 0, 0.0

    def events(self) -> Iterator[Sequence[Item]]:
        """What comes, the history in one piece.

        `CommandFailed` if the server refuses, cannot be reached at first, or cannot be reached again for
        `patience_seconds`. It ends only if the server wants nobody to come back.
        """
        while True:
            try:
                yield from self._connection()
                return
            except Lost as error:
                self._wait(error)

    def _wait(self, error: Lost) -> None:
        now = time.monotonic()
        if self._losses == 0:
            self._lost_at = now
        if not self._connected or now - self._lost_at > self._patience_seconds:
            raise unreachable(self._url, error) from error
        longest = min(self._first_pause * 2**self._losses, LONGEST_PAUSE_SECONDS)
        self._losses += 1
        seconds = longest * random.uniform(0.5, 1)  # noqa: S311  so that not all come back at once
        print(f"connection lost ({harmless(error)}), trying again in {seconds:.1f} s", file=sys.stderr)
        self._pause(seconds)

    def _connection(self) -> Iterator[Sequence[Item]]:
        """One connection to its end, which is always `Lost`, unless the server wants nobody to come back."""
        import httpx

        headers = {"Accept": MEDIA_TYPE, "Cache-Control": "no-store", **headers_for(self._url)}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        timeout = httpx.Timeout(CONNECT_SECONDS, read=SILENCE_SECONDS)
        try:
            with (
                httpx.Client(base_url=self._url, timeout=timeout, trust_env=False) as http,
                http.stream("GET", PREFIX + PATH, params=self._query, headers=headers) as answer,
            ):
                if answer.status_code == END_OF_EVENTS:
                    return
                self._admitted(answer)
                yield self._told()
                self._connected, self._losses = True, 0
                yield from self._read(answer)
        except httpx.InvalidURL as error:
            raise unreachable(self._url, error) from error
        except (httpx.HTTPError, TooLong) as error:
            raise Lost(str(error) or type(error).__name__) from error
        raise Lost("the server ended it")

    def _told(self) -> Sequence[Item]:
        try:
            return self._history()
        except CommandFailed as error:
            if error.failure.exit_code == NOT_THERE and self._connected:
                raise Lost(error.failure.why) from error
            raise

    def _admitted(self, answer: httpx.Response) -> None:
        if answer.is_success and answer.headers.get("content-type", "").partition(";")[0].strip() == MEDIA_TYPE:
            return
        answer.read()
        if answer.status_code in AWAY and self._connected:
            raise Lost(f"it answers {answer.status_code}")
        answered(self._url, answer)
        raise nobody(self._url, "it answers with something else than a stream of events")

    def _read(self, answer: httpx.Response) -> Iterator[Sequence[Item]]:
        reader = Reader(self._last_id)
        for chunk in answer.iter_bytes():
            for event in reader.feed(chunk):
                self._last_id = reader.last_id
                yield [item_of(event)]
            if reader.retry_ms is not None:
                self._first_pause = max(reader.retry_ms, 1) / 1000


def item_of(event: ServerSent) -> Item:
    """An event's data; what is no JSON object is shown as it is."""
    import msgspec

    try:
        found = msgspec.json.decode(event.data.encode(), type=Any)
    except msgspec.MsgspecError:
        found = None
    return cast("Item", found) if isinstance(found, dict) else {"event": event.type, "data": event.data}
