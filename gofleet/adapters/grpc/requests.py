"""A call's stream as the generated code uses it, with an answer for callers who send no proper message."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from grpclib import GRPCError, Status
from grpclib.server import Stream


def limit(stream: Stream[Any, Any], most_bytes: int) -> None:
    """Let `stream` tell its caller RESOURCE_EXHAUSTED for a message of more than `most_bytes`.

    grpclib knows no such limit. It reads a message's length and then that many bytes, so here the length alone decides:
    of what follows no more has been buffered than HTTP/2's window let through.
    """
    below = stream._stream  # pyright: ignore[reportPrivateUsage]
    receive = below.recv_data

    async def recv_data(size: int) -> bytes:
        if size > most_bytes:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"a message may have at most {most_bytes} bytes")
        return await receive(size)

    below.recv_data = recv_data


class RequestStream:
    """grpclib meets half a message with an AssertionError, a compressed one with NotImplementedError, and betterproto
    passes no message at all on as None: none of that is our fault, so none of it may look like it."""

    def __init__(self, stream: Stream[Any, Any]) -> None:
        self._stream = stream

    async def recv_message(self) -> Any:
        """The one request of a unary call."""
        if (message := await self._next()) is None:
            raise GRPCError(Status.INVALID_ARGUMENT, "no message")
        return message

    async def __aiter__(self) -> AsyncGenerator[Any]:
        while (message := await self._next()) is not None:
            yield message

    async def send_message(self, message: Any) -> None:
        await self._stream.send_message(message)

    async def _next(self) -> Any:
        try:
            return await self._stream.recv_message()
        except AssertionError as error:
            raise GRPCError(Status.INVALID_ARGUMENT, "half a message") from error
        except NotImplementedError as error:
            raise GRPCError(Status.UNIMPLEMENTED, "compressed messages are not understood") from error
