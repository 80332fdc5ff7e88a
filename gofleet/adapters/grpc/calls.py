"""What surrounds every call of the fleet service: its span, its status, and its orderly end when the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from time import perf_counter
from typing import Any, TypeVar

from grpclib import GRPCError, Status
from grpclib.events import RecvRequest
from loguru import logger
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from gofleet.adapters.grpc.requests import RequestStream, limit
from gofleet.adapters.grpc.statuses import EXPECTED_STATUSES, to_grpc_error
from gofleet.domain.errors import GoFleetError
from gofleet.telemetry.metrics import GRPC_SECONDS
from gofleet.telemetry.tracing import TRACEPARENT, record_error, span

SERVICE = "/pb.FleetService/"
STREAMING = SERVICE + "StreamPositions"
CARRYING = {"SearchDrivers"}
"""Calls that are no work of themselves, but bring that of many traces."""
CUT_SECONDS = 1.0
"""How long calls that were cut off may take to say so to their callers."""

T = TypeVar("T")
# The grpclib stream that a generated handler takes; we only pass it on.
Handler = Callable[[Any], Awaitable[None]]


async def instrument_call(method: str, traceparent: str | None, act: Callable[[], Awaitable[T]]) -> T | GRPCError:
    """What `act` gives, or how it failed in gRPC's words; counted, and a span of its caller's trace."""
    with _part(method, traceparent) as current:
        began = perf_counter()
        outcome = await _outcome(method, act)
        status = outcome.status if isinstance(outcome, GRPCError) else Status.OK
        GRPC_SECONDS.labels(method, status.name).observe(perf_counter() - began)
        current.set_attribute("rpc.grpc.status_code", status.value)
        if isinstance(outcome, GRPCError) and status not in EXPECTED_STATUSES:
            record_error(outcome.__cause__ or outcome, current)
    return outcome


def _part(method: str, traceparent: str | None) -> AbstractContextManager[Span]:
    if method in CARRYING and traceparent is None:
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
        failure = to_grpc_error(error) if isinstance(error, GoFleetError) else None
        if failure is None:
            logger.bind(rpc=method).exception("rpc failed")
            failure = GRPCError(Status.INTERNAL, "internal error")
        failure.__cause__ = error
        return failure


class ActiveCalls:
    """The calls in hand. While it stops, new ones are refused with UNAVAILABLE, which tells callers to go elsewhere."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._open: set[asyncio.Task[Any]] = set()
        self._cuts: dict[asyncio.Timeout, str] = {}
        self._stopping = False

    async def admit(self, request: RecvRequest) -> None:
        """Listens to grpclib's RecvRequest. Health and reflection are only limited: they answer to the end."""
        handler, name = request.method_func, request.method_name
        ours = name.startswith(SERVICE)
        if ours and self._stopping:
            GRPC_SECONDS.labels(name.removeprefix(SERVICE), Status.UNAVAILABLE.name).observe(0)
            raise GRPCError(Status.UNAVAILABLE, "stopping")
        header = request.metadata.get(TRACEPARENT)
        traceparent = header if isinstance(header, str) else None

        async def answer(stream: Any) -> None:
            limit(stream, self._most_bytes)
            if ours:
                await self._answer(name, traceparent, handler, stream)
            else:
                await handler(stream)

        request.method_func = answer

    async def drain(self, grace_seconds: float) -> None:
        """End streams at once, for they may never end by themselves; wait for the other calls, then cut them off."""
        self._stopping = True
        self._cut(lambda name: name == STREAMING)
        await self._ended(grace_seconds)
        self._cut(lambda _: True)
        await self._ended(CUT_SECONDS)

    async def _answer(self, name: str, traceparent: str | None, handler: Handler, stream: Any) -> None:
        cut = asyncio.timeout(None)

        async def act() -> None:
            try:
                async with self._held(name, cut):
                    await handler(RequestStream(stream))
            except TimeoutError as error:
                if not cut.expired():
                    raise
                raise GRPCError(Status.UNAVAILABLE, "stopping") from error

        failure = await instrument_call(name.removeprefix(SERVICE), traceparent, act)
        if failure:
            raise failure

    @asynccontextmanager
    async def _held(self, name: str, cut: asyncio.Timeout) -> AsyncGenerator[None]:
        # Its task, not merely the block, is waited for: the status is sent after the handler has returned.
        if task := asyncio.current_task():
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        async with cut:
            self._cuts[cut] = name
            try:
                yield
            finally:
                del self._cuts[cut]

    def _cut(self, which: Callable[[str], bool]) -> None:
        now = asyncio.get_running_loop().time()
        for cut, name in self._cuts.items():
            if which(name) and not cut.expired():
                cut.reschedule(now)

    async def _ended(self, seconds: float) -> None:
        if self._open:
            await asyncio.wait(tuple(self._open), timeout=seconds)
