"""Server-sent events, read from bytes as they come (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

LARGEST = 1024 * 1024
"""Characters of one event; a stream of ours never comes near it."""


class TooLong(Exception):
    """What comes is no event, or of nobody who means well."""


@dataclass(frozen=True)
class ServerSent:
    """One event: its type and its data. An `id` to resume after is in `Reader.last_id`."""

    type: str
    data: str


class Reader:
    """Feed it what comes off the wire, cut anywhere. `last_id` is the id of the newest event, `retry_ms` how long the
    server wants to be left alone before a new connection."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_ms: int | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._id, self._type = last_id, ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[ServerSent]:
        """The events that end in this chunk; `TooLong` if one does not end at all."""
        text = self._rest + self._decoder.decode(chunk)
        # A CR at the end may be half of a CRLF.
        whole = text[:-1] if text.endswith("\r") else text
        *lines, rest = whole.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = rest + text[len(whole) :]
        self._bounded(len(self._rest))
        for line in lines:
            if line:
                self._take(line)
            elif event := self._ended():
                yield event

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._size += len(value) + 1
                self._bounded(0)
                self._data.append(value)
            case "event":
                self._type = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value[:9])
            case _:
                pass  # a comment (its name is empty), or a field of a later standard

    def _ended(self) -> ServerSent | None:
        self.last_id = self._id
        type, data = self._type or "message", self._data
        self._type, self._data, self._size = "", [], 0
        return ServerSent(type, "\n".join(data)) if data else None

    def _bounded(self, more: int) -> None:
        if self._size + more > LARGEST:
            raise TooLong(f"an event of more than {LARGEST} characters")
