"""Relay of the outbox, in memory, with a scripted broker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from gofleet.domain.errors import GoFleetError, MessageRefused, Unavailable
from gofleet.domain.messages import Delivery, Message
from gofleet.testing.orders import MemoryOrders
from gofleet.testing.outbox import MemoryOutbox
from gofleet.usecases.relay import Relayed, RelayOutbox
from tests.makers import an_order


@dataclass
class Answering:
    answers: dict[str, GoFleetError] = field(default_factory=dict[str, GoFleetError])
    taken: list[str] = field(default_factory=list[str])

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        answers = [self.answers.get(message.order_id) for message in messages]
        self.taken += [m.order_id for m, answer in zip(messages, answers, strict=True) if answer is None]
        return answers

    async def put_back(self, deliveries: Sequence[Delivery]) -> list[GoFleetError | None]:
        raise AssertionError("the outbox puts nothing back")


async def three_orders() -> MemoryOrders:
    orders = MemoryOrders()
    for number in (1, 2, 3):
        await orders.add(an_order(f"o-{number}"))
    return orders


async def test_publishes_every_event_once() -> None:
    outbox, broker = MemoryOutbox(await three_orders()), Answering()
    relay = RelayOutbox(outbox, broker, batch=2)

    assert [await relay(), await relay(), await relay()] == [Relayed(2, more=True), Relayed(1, more=True), Relayed()]
    assert sorted(broker.taken) == ["o-1", "o-2", "o-3"]


async def test_an_outage_counts_no_attempt() -> None:
    away = Unavailable("broker", "away")
    outbox, broker = MemoryOutbox(await three_orders()), Answering({f"o-{n}": away for n in (1, 2, 3)})
    relay = RelayOutbox(outbox, broker, batch=10)

    with pytest.raises(Unavailable):
        await relay()
    broker.answers.clear()

    assert await relay() == Relayed(3)
    assert all(row.attempts == 0 for row in outbox.orders.outbox)


async def test_a_refused_event_is_counted_and_does_not_stop_the_others() -> None:
    outbox, broker = MemoryOutbox(await three_orders()), Answering({"o-2": MessageRefused("no queue")})

    assert await RelayOutbox(outbox, broker, batch=10)() == Relayed(2)
    assert {row.message.order_id: row.attempts for row in outbox.orders.outbox if not row.published_at} == {"o-2": 1}


async def test_a_later_event_of_a_published_order_is_more_to_relay() -> None:
    """Its notification may have come while the earlier event held it back, and no other follows."""
    orders = await three_orders()
    order = await orders.get("o-2")
    order.cancel(by="client")
    await orders.save(order)
    relay = RelayOutbox(MemoryOutbox(orders), Answering(), batch=10)

    assert await relay() == Relayed(3, more=True)
    assert await relay() == Relayed(1)


async def test_a_later_event_of_a_refused_one_is_not() -> None:
    orders = await three_orders()
    order = await orders.get("o-2")
    order.cancel(by="client")
    await orders.save(order)

    refusing = Answering({"o-2": MessageRefused("no queue")})
    assert await RelayOutbox(MemoryOutbox(orders), refusing, batch=10)() == Relayed(2)
