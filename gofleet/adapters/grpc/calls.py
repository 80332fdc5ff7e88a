"""Every call of the fleet service on the server: its span, its status, message validation, and the final drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from time import perf_counter
from typing import Any, TypeVar

from grpclib import GRPCError, Status
from grpclib.events import RecvRequest
from grpclib.server import Stream
from loguru import logger
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from gofleet.adapters.grpc.statuses import EXPECTED_STATUSES, to_grpc_error
from gofleet.adapters.grpc.transport import limit_message_size
from gofleet.domain.errors import GoFleetError
from gofleet.telemetry.metrics import GRPC_SECONDS
from gofleet.telemetry.tracing import TRACEPARENT, record_error, span

SERVICE = "/pb.FleetService/"
STREAMING = {SERVICE + "StreamPositions", SERVICE + "StreamSearches"}
BATCH_CALLS = {"SearchDrivers", "StreamSearches"}
"""Calls that carry the work of many traces and have no trace of their own."""
STOPPING = "stopping"
READ_SECONDS = 0.1
"""Time for a client to read the last response of a stream that the server ends."""
CUT_SECONDS = 1.0
"""Time limit for calls that the server ended to send their status."""

T = TypeVar("T")
# The grpclib stream that a generated handler takes; we only pass it on.
Handler = Callable[[Any], Awaitable[None]]


async def instrument_call(method: str, traceparent: str | None, act: Callable[[], Awaitable[T]]) -> T | GRPCError:
    """The result of `act`, or its error as a GRPCError; recorded as a metric and a span of the caller's trace."""
    with _server_span(method, traceparent) as current:
        started = perf_counter()
        outcome = await _outcome(method, act)
        status = outcome.status if isinstance(outcome, GRPCError) else Status.OK
        GRPC_SECONDS.labels(method, status.name).observe(perf_counter() - started)
        current.set_attribute("rpc.grpc.status_code", status.value)
        if isinstance(outcome, GRPCError) and status not in EXPECTED_STATUSES:
            record_error(outcome.__cause__ or outcome, current)
    return outcome


class ActiveCalls:
    """The calls in flight. While the server stops, new calls are refused with UNAVAILABLE, which clients retry
    elsewhere."""

    def __init__(self, message_bytes_max: int) -> None:
        self._message_bytes_max = message_bytes_max
        self._tasks: set[asyncio.Task[Any]] = set()
        self._cuts: dict[asyncio.Timeout, _RequestStream] = {}
        self._stopping = False

    async def admit(self, request: RecvRequest) -> None:
        """A listener of grpclib's RecvRequest. Health and reflection only get the size limit, and work to the end."""
        handler, name = request.method_func, request.method_name
        ours = name.startswith(SERVICE)
        if ours and self._stopping:
            GRPC_SECONDS.labels(name.removeprefix(SERVICE), Status.UNAVAILABLE.name).observe(0)
            raise GRPCError(Status.UNAVAILABLE, STOPPING)
        header = request.metadata.get(TRACEPARENT)
        traceparent = header if isinstance(header, str) else None

        async def handle(stream: Any) -> None:
            limit_message_size(stream, self._message_bytes_max)
            if ours:
                await self._handle(name, traceparent, handler, stream)
            else:
                await handler(stream)

        request.method_func = handle

    async def drain(self, grace_seconds: float) -> None:
        """End streams before their next request, for they may never end by themselves; wait for the other calls, then
        end them too."""
        self._stopping = True
        for cut, stream in self._cuts.items():
            stream.is_last = stream.name in STREAMING
            if stream.is_last and stream.is_waiting:
                _cut(cut)
        await self._wait_ended(grace_seconds)
        for cut in self._cuts:
            _cut(cut)
        await self._wait_ended(CUT_SECONDS)

    async def _handle(self, name: str, traceparent: str | None, handler: Handler, stream: Any) -> None:
        cut = asyncio.timeout(None)

        async def act() -> None:
            try:
                request_stream = _RequestStream(name, stream)
                async with self._tracked(request_stream, cut):
                    await handler(request_stream)
            except TimeoutError as error:
                if not cut.expired():
                    raise
                raise GRPCError(Status.UNAVAILABLE, STOPPING) from error

        error = await instrument_call(name.removeprefix(SERVICE), traceparent, act)
        if error:
            raise error

    @asynccontextmanager
    async def _tracked(self, stream: _RequestStream, cut: asyncio.Timeout) -> AsyncGenerator[None]:
        # The task is tracked, not only this block: the status is sent after the handler has returned.
        if task := asyncio.current_task():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        async with cut:
            self._cuts[cut] = stream
            try:
                yield
            finally:
                del self._cuts[cut]

    async def _wait_ended(self, seconds: float) -> None:
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)


class _RequestStream:
    """A call's stream as the generated code uses it, with a status for callers that send no valid message.

    grpclib raises AssertionError for a truncated message and NotImplementedError for a compressed one, and betterproto
    passes a missing message on as None; none of these may look like an error of the service.

    `is_waiting` for a request of the caller; `is_last`: no further one is read.
    """

    def __init__(self, name: str, stream: Stream[Any, Any]) -> None:
        self.name = name
        self.is_waiting = self.is_last = False
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
        if self.is_last:
            # grpclib's client drops a response that it has not read when its stream ends.
            await asyncio.sleep(READ_SECONDS)
            raise GRPCError(Status.UNAVAILABLE, STOPPING)
        self.is_waiting = True
        try:
            return await self._stream.recv_message()
        except AssertionError as error:
            raise GRPCError(Status.INVALID_ARGUMENT, "truncated message") from error
        except NotImplementedError as error:
            raise GRPCError(Status.UNIMPLEMENTED, "compressed messages are not supported") from error
        finally:
            self.is_waiting = False


def _cut(cut: asyncio.Timeout) -> None:
    if not cut.expired():
        cut.reschedule(asyncio.get_running_loop().time())


def _server_span(method: str, traceparent: str | None) -> AbstractContextManager[Span]:
    if method in BATCH_CALLS and traceparent is None:
        return nullcontext(INVALID_SPAN)
    service = SERVICE.strip("/")
    attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
    return span(f"{service}/{method}", SpanKind.SERVER, traceparent=traceparent, **attributes)


async def _outcome(method: str, act: Callable[[], Awaitable[T]]) -> T | GRPCError:
    try:
        return await act()
    except GRPCError as error:
        return error
    except Exception as error:
        translated = to_grpc_error(error) if isinstance(error, GoFleetError) else None
        if translated is None:
            logger.bind(rpc=method).exception("rpc failed")
            translated = GRPCError(Status.INTERNAL, "internal error")
        translated.__cause__ = error
        return translated
