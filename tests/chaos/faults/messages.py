"""F12, F13: every event again and again, and messages that no consumer can understand."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel

from gofleet.domain.messages import DISPATCH_QUEUE, EVENT_ID
from tests.chaos.bounds import DELIVERY_LIMIT
from tests.chaos.faults.redis import flush
from tests.chaos.tap import Tapped
from tests.chaos.trial import Trial, fault
from tests.waiting import eventually

TIMES = 10
EVENTS = 60
KILLER = "kills-its-consumer"


@fault("F12", "sixty events ten times more, shuffled, a day later", in_ci=True)
async def duplicates(trial: Trial) -> None:
    async with trial.load(orders=40):
        pass
    before = await _history(trial)
    await flush(trial)  # a day later Redis has forgotten what was done
    known = {message.headers[EVENT_ID]: message for message in trial.world.tap.messages}
    again = trial.dice.sample(list(known.values()), min(EVENTS, len(known))) * TIMES
    trial.dice.shuffle(again)
    async with (
        trial.load(orders=20, rate=10),
        await aio_pika.connect(trial.world.rabbit.url) as connection,
        connection.channel() as channel,
    ):
        await asyncio.gather(*(_publish_again(trial, channel, message) for message in again))
    if trial.background is None:
        after = await _history(trial)
        moved = [line for line in after if line not in before and line[0] in {order for order, _ in before}]
        late = {message.headers["x-aggregate-id"] for message in again}
        # Orders that were over when their events came again must not have moved.
        trial.check(not moved, f"repeated events moved {sorted({order for order, _ in moved} & late)[:5]}")
    trial.note(f"{len(again)} messages")


@fault(
    "F13",
    "poison: not JSON, 10 MB, 5000 deep, NUL, pickle, no id, unheard of, one that kills",
    in_ci=True,
)
async def poison(trial: Trial) -> None:
    bodies = _bodies()
    run = uuid4().hex[:8]
    async with trial.load(orders=30, rate=10):
        async with await aio_pika.connect(trial.world.rabbit.url) as connection, connection.channel() as channel:
            await _put(trial, channel, LATER, {"x-poison": f"{run}-later", EVENT_ID: str(uuid4())})
            for name, (body, headers) in bodies.items():
                await _put(trial, channel, body, {"x-poison": f"{run}-{name}", **headers})
        await _all_parked(trial, {f"{run}-{name}" for name in bodies})
    # With an otherwise empty queue: a message taken together with a poison shares its fate.
    await _crash_consumers(trial, f"{run}-{KILLER}")
    await _all_parked(trial, {f"{run}-{KILLER}"})
    later = await _parked(trial, f"headers->>'x-poison' = '{run}-later'")
    trial.check(not later, "an event of a later release was parked")
    if trial.background is None:
        innocent = await _parked(
            trial, "not headers ? 'x-poison' and coalesce(headers->>'x-aggregate-id', '') not like '%-kills'"
        )
        trial.check(not innocent, f"parked without being poison: {sorted(innocent)[:5]}")
    for member in trial.world.of("worker"):
        trial.check(member.alive, f"{member.name} died of poison")


LATER = b'{"type":"orders.teleported","order_id":"o","sequence":1}'
"""An event of a later release: acknowledged, not parked."""


def _bodies() -> dict[str, tuple[bytes, dict[str, str]]]:
    id = str(uuid4())
    return {
        "not-json": (b'{"type": "orders.created", ', {EVENT_ID: str(uuid4())}),
        "empty": (b"", {EVENT_ID: str(uuid4())}),
        "wrong-types": (b'{"type":"orders.created","order_id":7,"sequence":"x","event_id":[]}', {EVENT_ID: id}),
        "list": (b"[1, 2, 3]", {EVENT_ID: str(uuid4())}),
        "10-MB": (b'{"type":"orders.created","x":"' + b"a" * 10_000_000 + b'"}', {EVENT_ID: str(uuid4())}),
        "deep": (b"[" * 5000 + b"]" * 5000, {EVENT_ID: str(uuid4())}),
        "nul": (b'{"type":"orders.created\\u0000","order_id":"a\\u0000b"}\x00', {EVENT_ID: str(uuid4())}),
        "unknown-type": (b'{"type":"things.teleported","order_id":"o","sequence":1}', {EVENT_ID: str(uuid4())}),
        "no-id": (b'{"type":"orders.created","order_id":"o-1","sequence":1}', {}),
        "pickle": (pickle.dumps({"type": "orders.created"}), {EVENT_ID: str(uuid4())}),
        "not-utf-8": (b'{"type":"orders.created","order_id":"\xff\xfe"}', {EVENT_ID: "\u00ff"}),
        "no-such-order": (_created(id).encode(), {EVENT_ID: id}),
    }


def _created(event_id: str) -> str:
    return (
        f'{{"type":"orders.created","order_id":"nobody-knows-{event_id[:8]}","sequence":1,"event_id":"{event_id}",'
        '"version":1,"price":1.0,"tax":0.0,"final_price":1.0}'
    )


async def _put(trial: Trial, channel: AbstractChannel, body: bytes, headers: dict[str, str]) -> None:
    """Straight into the workers' queue, so that the tap, which knows our own events only, does not see it."""
    message = aio_pika.Message(body, headers=dict(headers), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await channel.default_exchange.publish(message, trial.world.prefix + DISPATCH_QUEUE)


async def _crash_consumers(trial: Trial, name: str) -> None:
    """What a message does that kills its consumer: the workers are paused, and consumers take it and vanish,
    again and again, until the broker has had enough of it."""
    for edge in trial.world.edges("rabbit", "worker"):
        edge.cut()
    queue_name = trial.world.prefix + DISPATCH_QUEUE
    async with await aio_pika.connect(trial.world.rabbit.url) as keeper, keeper.channel() as channel:
        await _put(trial, channel, b'{"killer":true}', {"x-poison": name, EVENT_ID: str(uuid4())})
    for _ in range(DELIVERY_LIMIT + 2):
        async with await aio_pika.connect(trial.world.rabbit.url) as victim, victim.channel() as channel:
            queue = await channel.declare_queue(queue_name, passive=True)
            held = [await queue.get(fail=False) for _ in range(queue.declaration_result.message_count or 0)]
            for message in held:
                if message and message.headers.get("x-poison") != name:
                    await message.nack(requeue=True)
    for edge in trial.world.edges("rabbit", "worker"):
        await edge.heal()


async def _publish_again(trial: Trial, channel: AbstractChannel, message: Tapped) -> None:
    exchange = await channel.get_exchange(f"{trial.world.prefix}orders", ensure=False)
    copy = aio_pika.Message(message.body, headers=dict(message.headers), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await exchange.publish(copy, message.routing_key)


async def _history(trial: Trial) -> list[tuple[str, int]]:
    """Every move of every order."""
    async with trial.world.connection() as connection:
        rows = await (await connection.execute("select order_id, version from order_log order by id")).fetchall()
    return [(str(order), int(version)) for order, version in rows]


async def _all_parked(trial: Trial, names: set[str]) -> None:
    """Wait until each poison is parked. Twice is allowed: a worker that parks and dies parks again."""

    async def missing() -> set[str]:
        return names - await _parked(trial, "headers ? 'x-poison'")

    try:
        await eventually(lambda: _is_empty(missing), within=40, every=0.3)
    except AssertionError:
        trial.check(False, f"never parked: {sorted(await missing())}")


async def _is_empty(found: Callable[[], Awaitable[set[str]]]) -> bool:
    return not await found()


async def _parked(trial: Trial, which: str) -> set[str]:
    """Parked messages by the name of their poison, or else by their event's id."""
    query = f"select coalesce(headers->>'x-poison', event_id, id::text) from parked where {which}"
    async with trial.world.connection() as connection:
        return {str(row[0]) for row in await (await connection.execute(query.encode())).fetchall()}
