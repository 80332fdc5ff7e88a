"""Subscription to the stream of order events, with reconnection, and the parser for server-sent events."""

from __future__ import annotations

import codecs
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from gofleet.cli.api_client import (
    PATH_PREFIX,
    UNAVAILABLE_STATUSES,
    auth_headers,
    decode_response,
    not_gofleet,
    unreachable,
)
from gofleet.cli.errors import UNREACHABLE, CliError, printable
from gofleet.cli.output import JsonObject

if TYPE_CHECKING:
    import httpx

STREAM_PATH = "/orders/stream"
CONNECT_TIMEOUT_SECONDS = 10.0
SILENCE_MAX_SECONDS = 60.0
"""A connection without a byte for this long counts as lost; the server sends a comment every 15 s."""
INITIAL_DELAY_SECONDS, DELAY_MAX_SECONDS = 1.0, 15.0
MEDIA_TYPE = "text/event-stream"
NO_CONTENT = 204
"""Tells a client to stop reconnecting (HTML Living Standard, 9.2)."""
EVENT_CHARS_MAX = 1024 * 1024
"""Characters of one event; events of GoFleet are far smaller."""


class ConnectionLost(Exception):
    """The connection is lost, or cannot be established for now."""


class EventTooLong(Exception):
    """An event or a line exceeds EVENT_CHARS_MAX."""


class EventStream:
    """Events of the API at `url`, over as many connections as necessary.

    `history` is called after each connection is established, and its events come first. Therefore no event between two
    connections is missed, but some are repeated.
    """

    def __init__(
        self,
        url: str,
        query: Mapping[str, str],
        *,
        patience_seconds: float,
        history: Callable[[], Sequence[JsonObject]] = tuple,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url, self._query, self._history = url, dict(query), history
        self._patience_seconds, self._pause = patience_seconds, pause
        self._last_id = ""
        self._initial_delay = INITIAL_DELAY_SECONDS
        self._connected = False
        self._losses, self._lost_at = 0, 0.0

    def events(self) -> Iterator[Sequence[JsonObject]]:
        """Events in batches, the history as one batch.

        `CliError` if the server rejects the request, is unreachable at first, or cannot be reached again for
        `patience_seconds`. It ends only if the server answers 204.
        """
        while True:
            try:
                yield from self._connection()
                return
            except ConnectionLost as error:
                self._wait(error)

    def _wait(self, error: ConnectionLost) -> None:
        now = time.monotonic()
        if self._losses == 0:
            self._lost_at = now
        if not self._connected or now - self._lost_at > self._patience_seconds:
            raise unreachable(self._url, error) from error
        delay_max = min(self._initial_delay * 2**self._losses, DELAY_MAX_SECONDS)
        self._losses += 1
        delay = delay_max * random.uniform(0.5, 1)  # noqa: S311  jitter, so that clients do not reconnect together
        print(f"connection lost ({printable(error)}), reconnecting in {delay:.1f} s", file=sys.stderr)
        self._pause(delay)

    def _connection(self) -> Iterator[Sequence[JsonObject]]:
        """Events of one connection; it ends with `ConnectionLost`, or normally if the server answers 204."""
        import httpx

        headers = {"Accept": MEDIA_TYPE, "Cache-Control": "no-store", **auth_headers(self._url)}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        timeout = httpx.Timeout(CONNECT_TIMEOUT_SECONDS, read=SILENCE_MAX_SECONDS)
        try:
            with (
                httpx.Client(base_url=self._url, timeout=timeout, trust_env=False) as http,
                http.stream("GET", PATH_PREFIX + STREAM_PATH, params=self._query, headers=headers) as response,
            ):
                if response.status_code == NO_CONTENT:
                    return
                self._check(response)
                yield self._fetch_history()
                self._connected, self._losses = True, 0
                yield from self._read(response)
        except httpx.InvalidURL as error:
            raise unreachable(self._url, error) from error
        except (httpx.HTTPError, EventTooLong) as error:
            raise ConnectionLost(str(error) or type(error).__name__) from error
        raise ConnectionLost("the server closed it")

    def _fetch_history(self) -> Sequence[JsonObject]:
        try:
            return self._history()
        except CliError as error:
            if error.exit_code == UNREACHABLE and self._connected:
                raise ConnectionLost(error.why) from error
            raise

    def _check(self, response: httpx.Response) -> None:
        if response.is_success and response.headers.get("content-type", "").partition(";")[0].strip() == MEDIA_TYPE:
            return
        response.read()
        if response.status_code in UNAVAILABLE_STATUSES and self._connected:
            raise ConnectionLost(f"it answers {response.status_code}")
        decode_response(self._url, response)
        raise not_gofleet(self._url, "its response is not an event stream")

    def _read(self, response: httpx.Response) -> Iterator[Sequence[JsonObject]]:
        parser = EventParser(self._last_id)
        for chunk in response.iter_bytes():
            for event in parser.feed(chunk):
                self._last_id = parser.last_id
                if event.type == "reset":
                    print("the server does not know the last event; some may be missing", file=sys.stderr)
                    continue
                yield [_event_data(event)]
            if parser.retry_ms is not None:
                self._initial_delay = max(parser.retry_ms, 1) / 1000


@dataclass(frozen=True)
class ServerSentEvent:
    """Type and data of one event; the id to resume after is `EventParser.last_id`."""

    type: str
    data: str


class EventParser:
    """Incremental parser for server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

    `last_id` is the id of the latest event, `retry_ms` the server's reconnection time. Chunks may be cut anywhere.

    httpx-sse 0.4.3 was tried instead (2026-11-30). It reports a comment after an id as an event without data, which
    cannot be distinguished from an event with empty data (the server sends a comment every 15 s); it does not strip a
    byte order mark, so the first event is lost; it accepts `retry: -1`; and it does not report an id that is reset. Its
    line buffer has no bound.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_ms: int | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._id, self._type = last_id, ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Events that are complete with this chunk; `EventTooLong` if an event or a line exceeds the limit."""
        text = self._rest + self._decoder.decode(chunk)
        # A CR at the end may be the first half of a CRLF.
        complete = text[:-1] if text.endswith("\r") else text
        *lines, rest = complete.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = rest + text[len(complete) :]
        self._check_size(len(self._rest))
        for line in lines:
            if line:
                self._add_line(line)
            elif event := self._end_event():
                yield event

    def _add_line(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._size += len(value) + 1
                self._check_size(0)
                self._data.append(value)
            case "event":
                self._type = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value[:9])
            case _:
                pass  # a comment, whose name is empty, or an unknown field

    def _end_event(self) -> ServerSentEvent | None:
        self.last_id = self._id
        type, data = self._type or "message", self._data
        self._type, self._data, self._size = "", [], 0
        return ServerSentEvent(type, "\n".join(data)) if data else None

    def _check_size(self, pending: int) -> None:
        if self._size + pending > EVENT_CHARS_MAX:
            raise EventTooLong(f"an event of more than {EVENT_CHARS_MAX} characters")


def _event_data(event: ServerSentEvent) -> JsonObject:
    """Data of an event; one that does not name its type, as events of drivers, gets it as `event`."""
    import msgspec

    try:
        data = msgspec.json.decode(event.data.encode(), type=Any)
    except msgspec.MsgspecError:
        data = None
    if not isinstance(data, dict):
        return {"event": event.type, "data": event.data}
    item = cast("JsonObject", data)
    return item if "type" in item else {"event": event.type, **item}
