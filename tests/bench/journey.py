"""An order's journey in bare libraries, nothing of ours between them: what its hops themselves take on this machine.

Committed with its event, published and confirmed, consumed, a driver asked for and found, dispatched and committed with
its receipt and that event, acknowledged; then delivered, and these two events published and consumed, too. Each hop is
made for one order at a time and is its own customer: no HTTP, no validation, no logs, metrics or traces.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aio_pika
import psycopg
import redis.asyncio
import uvloop
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from grpclib.client import Channel

from gofleet.adapters.grpc.pb import FleetServiceStub, SearchDriverRequest
from gofleet.embedded import ValkeyAddress
from tests.bench.accounting import Reading, Roots, read
from tests.bench.calls import CallResult, EmptyService, an_empty_service
from tests.bench.ceilings import ADD, PAYLOAD
from tests.bench.connections import HOST
from tests.bench.load import SETTLE_SECONDS, in_own_process
from tests.bench.servers import Bench
from tests.bench.town import anywhere

Connection = psycopg.AsyncConnection[Any]
_calls = itertools.count(1)
"""What one leaves behind in Redis (leases) must not meet the next one."""
PROCESSES = 2
BARE = "bare libraries"
DRIVERS = 2000
ADD_ONE = ADD.format(id="%(id)s", event_id="%(event_id)s", payload="%(payload)s::jsonb").encode()
# One order's move in one statement and one commit, with its receipt and its event: what ours does to many.
MOVE = b"""
with handled as (
    insert into inbox (consumer, event_id, outcome)
    select 'worker', %(handled_id)s, 'dispatched' where %(status)s = 'DISPATCHED'
), moved as (
    update orders set status = %(status)s, driver_id = %(driver_id)s, version = version + 1, moved_by = 'worker',
        dispatched_at = coalesce(dispatched_at, now()),
        delivered_at = case when %(status)s = 'DELIVERED' then now() end
    where id = %(id)s and version = %(version)s
    returning id, version
)
insert into outbox (event_id, aggregate_id, seq, event_type, payload)
select %(event_id)s, id, version, %(type)s, %(payload)s::jsonb || jsonb_build_object('occurred_at', now()) from moved
"""


async def bare_journeys(at: Bench, case: str, seconds: float, at_once: int, rate: float | None = None) -> CallResult:
    """Concurrent journeys, made by two processes if there are many: how long each took until its order was
    dispatched, and how many came to their end. With a `rate`, that number begins each second, at even distances, in one
    process, which also accounts for the CPU."""
    processes = min(PROCESSES, at_once) if rate is None else 1
    valkey = at.servers.valkey.address
    name = f"{case}-bare-{next(_calls)}"
    with at.servers.database(f"{case}_bare") as conninfo:
        async with an_empty_service() as fleet:
            journeys = [
                Journeys(
                    number,
                    f"{name}-{number}",
                    conninfo=conninfo,
                    amqp_url=at.servers.rabbit.address.url,
                    redis_at=valkey,
                    fleet=fleet,
                    seconds=seconds,
                    at_once=at_once // processes,
                    rate=rate,
                    services=at.servers.pids(),
                )
                for number in range(processes)
            ]
            parts = await asyncio.gather(*(in_own_process(each) for each in journeys))
    took = [seconds for part in parts for seconds in part.took]
    seconds, things = max(part.seconds for part in parts), sum(part.things for part in parts)
    return CallResult(seconds, took, things, parts[0].cpu if len(parts) == 1 else {})


@dataclass(frozen=True)
class Journeys:
    """The journeys of process `number`; `name` separates its queue, keys and orders from others. TimeoutError if one of
    them does not end."""

    number: int
    name: str
    conninfo: str
    amqp_url: str
    redis_at: ValkeyAddress
    fleet: EmptyService
    seconds: float
    at_once: int
    rate: float | None
    services: Roots

    def __call__(self) -> CallResult:
        return uvloop.run(self._made())

    async def _made(self) -> CallResult:
        async with AsyncExitStack() as stack:
            road = await self._road(stack)
            connections = [
                await stack.enter_async_context(await psycopg.AsyncConnection.connect(self.conninfo, autocommit=True))
                for _ in range(self.at_once)
            ]
            await self._travel(road, connections, self.seconds / 4)  # what is first asked of a connection is slower
            before = self._cpu()
            answered = await self._travel(road, connections, self.seconds)
            answered.cpu = self._cpu().since(before)
            return answered

    def _cpu(self) -> Reading:
        return read({**self.services, BARE: [os.getpid(), self.fleet.pid]})

    async def _travel(self, road: _Road, connections: list[Connection], seconds: float) -> CallResult:
        answered, began = CallResult(0.0), time.perf_counter()
        async with asyncio.timeout(seconds + SETTLE_SECONDS):
            await asyncio.gather(
                *(
                    road.travel(
                        connection, f"{self.name}-{number}", self._turns(number, began, began + seconds), answered
                    )
                    for number, connection in enumerate(connections)
                )
            )
        answered.seconds = time.perf_counter() - began
        return answered

    async def _turns(self, number: int, began: float, until: float) -> AsyncGenerator[float]:
        """When each journey of a connection begins: as soon as the one before has ended, or by the rate."""
        if self.rate is None:
            while (now := time.perf_counter()) < until:
                yield now
            return
        due = began + number / self.rate
        while due < until:
            await asyncio.sleep(due - time.perf_counter())
            yield due
            due += self.at_once / self.rate

    async def _road(self, stack: AsyncExitStack) -> _Road:
        at = self.redis_at
        pooled = redis.asyncio.Redis(host=at.host, port=at.port, password=at.password)
        client: Any = await stack.enter_async_context(pooled)
        chance = random.Random(1)  # noqa: S311
        places = [(anywhere(chance), f"driver-{number}") for number in range(DRIVERS)]
        await client.geoadd(self.name, [part for (lat, lng), driver in places for part in (lng, lat, driver)])
        stack.push_async_callback(client.delete, self.name)
        grpc = Channel(HOST, self.fleet.port)
        stack.callback(grpc.close)
        amqp = await stack.enter_async_context(await aio_pika.connect(self.amqp_url))
        channel = await amqp.channel(publisher_confirms=True, on_return_raises=True)
        await channel.set_qos(prefetch_count=4 * self.at_once)
        queue = await channel.declare_queue(self.name, durable=True, arguments={"x-queue-type": "quorum"})
        stack.push_async_callback(queue.delete, if_unused=False, if_empty=False)
        road = _Road(self, channel.default_exchange, client, FleetServiceStub(grpc), chance)
        stack.push_async_callback(queue.cancel, await queue.consume(road.arrived))
        return road


@dataclass
class _Road:
    of: Journeys
    exchange: AbstractExchange
    redis: Any
    fleet: FleetServiceStub
    chance: random.Random
    coming: dict[str, asyncio.Future[AbstractIncomingMessage]] = field(
        default_factory=dict[str, "asyncio.Future[AbstractIncomingMessage]"]
    )
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def arrived(self, message: AbstractIncomingMessage) -> None:
        self.coming.pop(str(message.message_id)).set_result(message)

    async def travel(
        self, connection: Connection, driver_id: str, turns: AsyncGenerator[float], answered: CallResult
    ) -> None:
        """One order after the other, each to the same driver."""
        async for began in turns:
            number = next(self.numbers)
            order_id = f"{self.of.name}-{number:012}"
            events = [UUID(int=number << 16 | self.of.number << 8 | version) for version in (1, 2, 3)]
            new = {"id": order_id, "event_id": events[0], "payload": PAYLOAD}
            added = await connection.execute(ADD_ONE, new, prepare=True)
            if await added.fetchone() is None:
                raise AssertionError(f"{order_id} was there already")
            created = await self._announced(events[0])
            await self._searched(order_id)
            move = {"id": order_id, "driver_id": driver_id, "handled_id": events[0], "payload": PAYLOAD}
            await _moved(connection, {**move, "version": 1, "status": "DISPATCHED", "event_id": events[1]})
            answered.took.append(time.perf_counter() - began)
            await created.ack()
            await (await self._announced(events[1])).ack()
            await _moved(connection, {**move, "version": 2, "status": "DELIVERED", "event_id": events[2]})
            await (await self._announced(events[2])).ack()
            answered.things += 1

    async def _announced(self, event_id: UUID) -> AbstractIncomingMessage:
        """Published and confirmed: the message as it comes in again."""
        self.coming[str(event_id)] = coming = asyncio.get_running_loop().create_future()
        persistent = aio_pika.DeliveryMode.PERSISTENT
        message = aio_pika.Message(PAYLOAD.encode(), message_id=str(event_id), delivery_mode=persistent)
        await self.exchange.publish(message, self.of.name, mandatory=True)
        return await coming

    async def _searched(self, order_id: str) -> None:
        lat, lng = anywhere(self.chance)
        await self.fleet.search_driver(SearchDriverRequest(order_id=order_id, pickup_lat=lat, pickup_lng=lng))
        found = await self.redis.geosearch(
            self.of.name, longitude=lng, latitude=lat, radius=5000, unit="m", sort="ASC", count=18, withdist=True
        )
        if not await self.redis.set(f"{self.of.name}:lease:{order_id}", found[0][0], px=30_000, nx=True):
            raise AssertionError(f"{order_id} was searched for before")


async def _moved(connection: Connection, move: dict[str, object]) -> None:
    moved = await connection.execute(MOVE, {**move, "type": f"orders.{str(move['status']).lower()}"}, prepare=True)
    if moved.rowcount != 1:
        raise AssertionError(f"{move['id']} was not moved")
