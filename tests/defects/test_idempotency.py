"""L1 to L3: an event whose handling was not finished is no duplicate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from gofleet.domain.driver import Candidate
from gofleet.domain.messages import DISPATCH_QUEUE, Delivery, Handler, Outcome
from gofleet.domain.order import Status
from gofleet.guards.parking import Parking
from gofleet.guards.retries import Deadline
from gofleet.ports import Search
from gofleet.testing.broker import MemoryBroker
from tests.defects.lossy_guards import Dedup
from tests.defects.ways import Way, both_ways
from tests.defects.worker import RULES, Answer, ScriptedFleet, WorkerInMemory, a_driver, at_rest, handled, never
from tests.waiting import eventually


@both_ways
@pytest.mark.parametrize(
    ("script", "becomes"),
    [([never, a_driver], Status.DISPATCHED), ([never], Status.MANUAL_DISPATCH)],
    ids=["hangs once", "hangs always"],
)
async def test_l1_a_hung_fleet_delays_an_order_and_strands_none(
    redis: Redis, prefix: str, script: list[Answer], becomes: Status, way: Way
) -> None:
    worker = WorkerInMemory(ScriptedFleet(script))
    handler = worker.handler(redis, prefix) if way is Way.OURS else two_layers(worker, redis, prefix)

    await handled(handler, await worker.created_event())

    with way.fails("Status.PENDING"):
        assert worker.status() is becomes


def two_layers(worker: WorkerInMemory, redis: Redis, prefix: str) -> Handler:
    """Two deduplications with a timeout between them: it deletes the outer key and not the inner one."""
    inner = Deadline(Dedup(worker.act, redis, f"{prefix}idem:"), RULES.deadline_seconds)
    return Parking(Dedup(inner, redis, f"{prefix}dedup:"), worker.parked, RULES.retry)


@both_ways
async def test_l2_a_worker_killed_between_lease_and_commit_strands_nothing(redis: Redis, prefix: str, way: Way) -> None:
    worker = WorkerInMemory(ScriptedFleet([never, a_driver]))
    rules = replace(RULES, deadline_seconds=60.0)
    handler = worker.handler(redis, prefix, rules) if way is Way.OURS else Dedup(worker.act, redis, prefix)
    delivery = await worker.created_event()
    killed = asyncio.ensure_future(handler(delivery))
    await eventually(lambda: worker.fleet.searches == 1)  # from here on it does nothing any more, nor does it clean up

    await handled(handler, delivery)

    with way.fails("Status.PENDING"):
        assert worker.status() is Status.DISPATCHED
    killed.cancel()
    await asyncio.wait({killed})


@both_ways
@pytest.mark.parametrize("grace_seconds", [10, 0.05], ids=["enough time", "too little time"])
async def test_l3_a_stopping_worker_strands_no_message_in_flight(
    redis: Redis, prefix: str, grace_seconds: float, way: Way
) -> None:
    searching = asyncio.Event()

    async def slowly(search: Search) -> list[Candidate]:
        searching.set()
        await asyncio.sleep(0.15)
        return await a_driver(search)

    worker, broker = WorkerInMemory(ScriptedFleet([slowly])), MemoryBroker(grace_seconds=grace_seconds)
    await worker.publish_created(broker, *(f"o-{number}" for number in range(10)))
    ours = way is Way.OURS
    lossy = Parking(Dedup(worker.act, redis, prefix), worker.parked, RULES.retry)
    handler = worker.handler(redis, prefix) if ours else lossy

    async with (
        broker.consuming(DISPATCH_QUEUE, handler, concurrency=5, prefetch=10)
        if ours
        else closing_first(broker, handler)
    ):
        await searching.wait()

    async with broker.consuming(DISPATCH_QUEUE, handler, concurrency=5, prefetch=10):  # the one that replaces it
        await eventually(lambda: at_rest(broker))
    with way.fails("o-0"):
        assert worker.waiting() == []


@asynccontextmanager
async def closing_first(broker: MemoryBroker, handler: Handler) -> AsyncGenerator[None]:
    """Cancels the context and closes the channel before it waits for the workers."""
    running: set[asyncio.Future[Outcome]] = set()

    async def cancellable(delivery: Delivery) -> Outcome:
        task = asyncio.ensure_future(_awaited(handler(delivery)))
        running.add(task)
        return await task

    async with broker.consuming(DISPATCH_QUEUE, cancellable, concurrency=5, prefetch=10):
        yield
        for task in running:
            task.cancel()
        broker.disconnect()
    broker.reconnect()


async def _awaited(handling: Awaitable[Outcome]) -> Outcome:
    return await handling
