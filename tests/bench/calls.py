"""The fleet service called in a closed loop by a process of its own, and a service that does nothing at all."""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import uvloop
from grpclib.client import Channel
from grpclib.server import Server

from gofleet.adapters.grpc.pb import (
    FleetServiceBase,
    FleetServiceStub,
    SearchDriverRequest,
    SearchDriverResponse,
    StreamPositionsRequest,
    StreamPositionsResponse,
    UpdatePositionRequest,
)
from gofleet.listening import free_port
from tests.bench.connections import HOST
from tests.bench.figures import percentile
from tests.bench.load import CENTRE

SEARCHED_DEGREES = 0.2
"""How far drivers and pickups are from the centre, north and east: a city of 40 km by 40 km or so."""
PICKUP_DEGREES = 0.15
"""Pickups keep away from the edge of it, for there are drivers on one side only."""
BATCH = 1000
DRIVER_PREFIX, DRIVER_DIGITS = "driver-", 7


@dataclass
class CallResult:
    """How long each call took, seconds; `things` is what they were about: searches, positions; `cpu`: milliseconds of
    each process that was accounted for."""

    seconds: float
    took: list[float] = field(default_factory=list[float])
    things: int = 0
    cpu: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def rate(self) -> float:
        """Things a second."""
        return self.things / self.seconds

    def milliseconds(self, percent: float) -> float:
        return 1000 * percentile(self.took, percent)


@dataclass(frozen=True)
class Calls:
    """Concurrent calls on one connection, each followed by the next, about one of `drivers` or a place in the
    city; a stream is one call with a batch of positions after the other. GRPCError or AssertionError if any of them is
    not answered well."""

    kind: Literal["search", "move", "stream"]
    port: int
    seconds: float
    at_once: int = 8
    drivers: int = 1

    def __call__(self) -> CallResult:
        return uvloop.run(self._measured())

    async def _measured(self) -> CallResult:
        channel = Channel(HOST, self.port)
        stub, chance = FleetServiceStub(channel), random.Random(1)  # noqa: S311
        once = {"search": _search, "move": _move, "stream": _stream}[self.kind](self, stub, chance)
        try:
            await once(time.perf_counter())  # also connects
            began = time.perf_counter()
            answered = CallResult(0.0)
            await asyncio.gather(*(_repeated(once, began + self.seconds, answered) for _ in range(self.at_once)))
            answered.seconds = time.perf_counter() - began
            return answered
        finally:
            channel.close()


Call = Callable[[float], Coroutine[None, None, int]]
"""One call, which ends by the given time if that is for it to say: how many things it was about."""


async def _repeated(once: Call, until: float, answered: CallResult) -> None:
    while (began := time.perf_counter()) < until:
        things = await once(until)  # on a line of its own: `+=` would have read the sum before all others added to it
        answered.things += things
        answered.took.append(time.perf_counter() - began)


def somewhere(chance: random.Random, degrees: float = SEARCHED_DEGREES) -> tuple[float, float]:
    lat, lng = CENTRE
    return lat + chance.uniform(-degrees, degrees), lng + chance.uniform(-degrees, degrees)


def _search(calls: Calls, stub: FleetServiceStub, chance: random.Random) -> Call:
    numbers, name = itertools.count(), f"{time.time_ns():x}"

    async def once(until: float) -> int:
        lat, lng = somewhere(chance, PICKUP_DEGREES)
        answer = await stub.search_driver(
            SearchDriverRequest(order_id=f"{name}-{next(numbers)}", pickup_lat=lat, pickup_lng=lng)
        )
        if not answer.driver_id:
            raise AssertionError("no driver was found")
        return 1

    return once


def _move(calls: Calls, stub: FleetServiceStub, chance: random.Random) -> Call:
    async def once(until: float) -> int:
        lat, lng = somewhere(chance)
        driver_id = driver(chance.randrange(calls.drivers))
        await stub.update_position(UpdatePositionRequest(driver_id=driver_id, lat=lat, lng=lng))
        return 1

    return once


def _stream(calls: Calls, stub: FleetServiceStub, chance: random.Random) -> Call:
    batches = itertools.cycle(_batches(calls.drivers, chance))  # made beforehand: that is no work of the service

    async def sent(until: float) -> AsyncGenerator[StreamPositionsRequest]:
        yield next(batches)
        while time.perf_counter() < until:
            yield next(batches)

    async def once(until: float) -> int:
        answer: StreamPositionsResponse = await stub.stream_positions(sent(until))
        if answer.refused:
            raise AssertionError(f"{answer.refused} positions were refused")
        return answer.accepted + answer.older

    return once


def _batches(drivers: int, chance: random.Random) -> list[StreamPositionsRequest]:
    batches: list[StreamPositionsRequest] = []
    for first in range(0, drivers, BATCH):
        numbers = range(first, min(first + BATCH, drivers))
        places = [somewhere(chance) for _ in numbers]
        lats, lngs = [lat for lat, _ in places], [lng for _, lng in places]
        batches.append(StreamPositionsRequest([driver(n) for n in numbers], lats, lngs, [0] * len(lats)))
    return batches


def driver(number: int) -> str:
    return f"{DRIVER_PREFIX}{number:0{DRIVER_DIGITS}}"


class EmptyService(NamedTuple):
    port: int
    pid: int


class _Empty(FleetServiceBase):
    async def search_driver(self, search_driver_request: SearchDriverRequest) -> SearchDriverResponse:
        return SearchDriverResponse(driver_id="anybody")


@asynccontextmanager
async def an_empty_service() -> AsyncGenerator[EmptyService]:
    """A process that answers SearchDriver without having searched."""
    port = free_port(HOST, 18_400)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.calls", str(port), stdout=asyncio.subprocess.PIPE
    )
    try:
        if process.stdout is None or not await process.stdout.readline():
            raise AssertionError("the empty service did not start")
        yield EmptyService(port, process.pid)
    finally:
        process.terminate()
        await process.wait()


async def _serve(arguments: Sequence[str]) -> None:
    server = Server([_Empty()])
    await server.start(HOST, int(arguments[0]))
    print("ready", flush=True)  # noqa: T201
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
