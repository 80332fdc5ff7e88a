"""A kept HTTP/1.1 connection that reads of an answer what a measurement needs: status, head, and where it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, cast

END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length:"
HOST = "127.0.0.1"


class Answer(NamedTuple):
    """`status` 0: the connection broke before the answer was whole."""

    status: int
    head: bytes = b""
    body: bytes = b""


BROKEN = Answer(0)


class Connection(asyncio.Protocol):
    """One request at a time. It breaks when the server says so or goes away, and is opened again by `reopen`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._transport: asyncio.Transport | None = None
        self._answered: Callable[[Answer], None] | None = None
        self._read = b""

    @classmethod
    async def to(cls, port: int) -> Connection:
        connection = cls(port)
        await connection.reopen()
        return connection

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def reopen(self) -> None:
        """OSError if no process listens."""
        await asyncio.get_running_loop().create_connection(lambda: self, HOST, self.port)

    def send(self, request: bytes, answered: Callable[[Answer], None]) -> None:
        """Call `answered` once with what comes back."""
        if self._transport is None or self._transport.is_closing():
            answered(BROKEN)
            return
        self._answered = answered
        self._transport.write(request)

    async def ask(self, request: bytes) -> Answer:
        """Send it, on a new connection if this one is broken, and wait for the answer."""
        if not self.is_open:
            try:
                await self.reopen()
            except OSError:
                return BROKEN
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.send(request, lambda answer: None if future.done() else future.set_result(answer))
        return await future

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._read = b""

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._finish(BROKEN)

    def data_received(self, data: bytes) -> None:
        self._read = data = self._read + data if self._read else data
        head_end = data.find(END_OF_HEAD)
        if head_end < 0:
            return
        head = data[:head_end]
        body_start = head_end + len(END_OF_HEAD)
        end = body_start + _length(head)
        if len(data) < end:
            return
        self._read = b""
        self._finish(Answer(int(head[9:12]), head, data[body_start:end]))

    def _finish(self, answer: Answer) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(answer)


def _length(head: bytes) -> int:
    """Bytes of the body; 0 where none is announced, as of a 204."""
    found = head.lower().find(LENGTH)
    if found < 0:
        return 0
    start = found + len(LENGTH)
    end = head.find(b"\r\n", start)
    return int(head[start : end if end >= 0 else None])
