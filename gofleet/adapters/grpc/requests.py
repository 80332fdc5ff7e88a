"""A call's stream as the generated code uses it, with an answer for callers who send no proper message."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from grpclib import GRPCError, Status
from grpclib.server import Stream


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
