"""L9 and L10: neither a message nor a lost connection ends the consuming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from loguru import logger

from gofleet.domain import events
from gofleet.domain.errors import Unavailable
from gofleet.domain.messages import ACK, DISPATCH_QUEUE, Delivery, Handler, Message, Outcome
from gofleet.process import Process
from gofleet.settings import load
from gofleet.testing.broker import MemoryBroker
from tests.defects.ways import Way, both_ways
from tests.waiting import eventually

WORKERS = 10
POISON = b"poison"


def consuming(way: Way, broker: MemoryBroker, handler: Handler) -> AbstractAsyncContextManager[None]:
    if way is Way.OURS:
        return broker.consuming(DISPATCH_QUEUE, handler, concurrency=WORKERS, prefetch=2 * WORKERS)
    return loops(broker, handler)


@asynccontextmanager
async def loops(broker: MemoryBroker, handler: Handler) -> AsyncGenerator[None]:
    """Workers that recover around their whole loop; the starting task only waits for the stop signal."""
    messages: asyncio.Queue[Delivery | None] = asyncio.Queue()

    async def receive(delivery: Delivery) -> Outcome:
        messages.put_nowait(delivery)
        return ACK

    async def work() -> None:
        try:
            while (delivery := await messages.get()) is not None:
                await handler(delivery)
        except Exception as error:
            logger.error("worker panic recovered: {!r}", error)

    async def notice_the_loss() -> None:
        await eventually(lambda: lost(broker), within=60)
        for _ in workers:
            messages.put_nowait(None)  # the channel of messages is closed

    workers = [asyncio.create_task(work()) for _ in range(WORKERS)]
    losing = asyncio.create_task(notice_the_loss())
    async with broker.consuming(DISPATCH_QUEUE, receive, concurrency=WORKERS, prefetch=2 * WORKERS):
        yield
    for task in [*workers, losing]:
        task.cancel()
    await asyncio.wait([*workers, losing])


async def lost(broker: MemoryBroker) -> bool:
    try:
        await broker.check()
    except Unavailable:
        return True
    return False


def message(body: bytes, event_id: str) -> Message:
    return Message(event_id, events.ORDERS_CREATED, event_id, 1, body)


class Handling:
    """A handler that panics on poison."""

    def __init__(self) -> None:
        self.handled: list[str] = []
        self.poisoned = 0

    async def __call__(self, delivery: Delivery) -> Outcome:
        if delivery.body == POISON:
            self.poisoned += 1
            raise ZeroDivisionError
        self.handled.append(delivery.event_id)
        return ACK


@both_ways
async def test_l9_poison_messages_end_no_worker(way: Way) -> None:
    broker, handling = MemoryBroker(), Handling()

    async with consuming(way, broker, handling):
        await broker.publish([message(POISON, f"p-{number}") for number in range(WORKERS)])
        await eventually(lambda: handling.poisoned == WORKERS)
        await broker.publish([message(b"{}", "good")])

        with way.fails("still False"):
            await eventually(lambda: handling.handled == ["good"], within=10 if way is Way.OURS else 0.5)


@both_ways
async def test_l10_a_lost_connection_is_replaced_and_no_worker_stays_idle(way: Way) -> None:
    broker, handling = MemoryBroker(), Handling()

    async with consuming(way, broker, handling):
        broker.disconnect()
        await asyncio.sleep(0.1)
        broker.reconnect()
        await broker.publish([message(b"{}", "after")])

        with way.fails("still False"):
            await eventually(lambda: handling.handled == ["after"], within=10 if way is Way.OURS else 0.5)


@both_ways
async def test_l10_the_end_of_consuming_ends_the_process(way: Way) -> None:
    """An orchestrator restarts only processes that end."""

    async def dies(stop: asyncio.Event) -> None:
        await asyncio.sleep(0)

    @asynccontextmanager
    async def role(process: Process) -> AsyncGenerator[None]:
        if way is Way.OURS:
            async with process.keeping(dies):
                yield
        else:
            task = asyncio.create_task(dies(asyncio.Event()))
            yield
            await task

    process = Process(load({}, dotenv=None), ["worker"])
    running = asyncio.create_task(process.run([role]))

    with way.fails("still False"):
        await eventually(process.stopping.is_set, within=10 if way is Way.OURS else 0.5)
    process.stopping.set()
    await asyncio.wait({running})
    assert (running.exception() is not None) == (way is Way.OURS)
