"""What the dispatcher does with a message that it cannot settle, and with one that may kill its consumer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from gofleet.adapters.dispatcher import Dispatcher
from gofleet.domain.messages import ACK, CRASHES, Delivery, Outcome, Retry
from tests.waiting import eventually


@dataclass
class OnlyNackable:
    """A message whose broker accepts nothing but a nack."""

    delivery: Delivery = field(default_factory=lambda: Delivery("orders.created", b"{}"))
    nacked: int = 0

    async def ack(self) -> None:
        raise RuntimeError("unexpected failure of ack")

    async def retry_later(self, retry: Retry) -> None:
        raise RuntimeError("unexpected failure of retry_later")

    async def nack(self) -> None:
        self.nacked += 1


@pytest.mark.parametrize("outcome", [ACK, Retry(1)])
async def test_nacks_a_message_that_cannot_be_settled(outcome: Outcome) -> None:
    async def handler(_: Delivery) -> Outcome:
        return outcome

    message = OnlyNackable()
    dispatcher = Dispatcher(handler, concurrency=1)

    dispatcher.accept(message)

    await eventually(lambda: message.nacked == 1 and not len(dispatcher))


@dataclass
class Recorded:
    """A message that records how it was settled."""

    name: str
    settled: list[str]
    crashes: int = 0

    @property
    def delivery(self) -> Delivery:
        return Delivery("orders.created", self.name.encode(), {CRASHES: str(self.crashes)})

    async def ack(self) -> None:
        self.settled.append(f"{self.name} acked")

    async def retry_later(self, retry: Retry) -> None:
        assert not retry.counted
        self.settled.append(f"{self.name} given back")

    async def nack(self) -> None:
        raise AssertionError("may count as a lost consumer")


async def test_a_suspect_is_handled_alone() -> None:
    happened, gate, alone = list[str](), asyncio.Event(), asyncio.Event()

    async def handler(delivery: Delivery) -> Outcome:
        happened.append(f"{delivery.body.decode()} begins")
        await (alone if delivery.is_suspect else gate).wait()
        return ACK

    async def pause() -> None:
        happened.append("paused")

    dispatcher = Dispatcher(handler, concurrency=2)
    dispatcher.pause = pause
    for name in ("first", "second", "waiting"):
        dispatcher.accept(Recorded(name, happened))
    dispatcher.accept(Recorded("suspect", happened, crashes=2))
    dispatcher.accept(Recorded("late", happened))
    dispatcher.accept(Recorded("other suspect", happened, crashes=2))
    assert dispatcher.suspected.is_set()
    assert dispatcher.capacity(64) < 0
    await eventually(lambda: {"waiting given back", "late given back", "other suspect given back"} <= set(happened))
    assert "suspect begins" not in happened

    gate.set()
    await eventually(lambda: happened[-1] == "suspect begins")
    assert happened.index("paused") < happened.index("first acked")
    assert len(dispatcher) == 1
    alone.set()

    await eventually(lambda: happened[-1] == "suspect acked" and not len(dispatcher))
    assert dispatcher.capacity(64) == 1
    dispatcher.accept(Recorded("next", happened))
    await eventually(lambda: happened[-1] == "next acked")


async def test_a_suspect_whose_connection_is_lost_before_it_begins_is_dropped() -> None:
    happened, gate = list[str](), asyncio.Event()

    async def handler(delivery: Delivery) -> Outcome:
        happened.append(f"{delivery.body.decode()} begins")
        await gate.wait()
        return ACK

    dispatcher = Dispatcher(handler, concurrency=2)
    dispatcher.accept(Recorded("first", happened))
    dispatcher.accept(Recorded("suspect", happened, crashes=2))
    await eventually(lambda: happened == ["first begins"])

    dispatcher.drop_waiting()
    gate.set()

    await eventually(lambda: not len(dispatcher))
    assert happened == ["first begins", "first acked"]


async def test_a_suspect_redelivered_while_the_first_still_waits_is_handled() -> None:
    happened, gate = list[str](), asyncio.Event()

    async def handler(delivery: Delivery) -> Outcome:
        happened.append(f"{delivery.body.decode()} begins")
        await gate.wait()
        return ACK

    dispatcher = Dispatcher(handler, concurrency=2)
    dispatcher.accept(Recorded("first", happened))
    dispatcher.accept(Recorded("suspect", happened, crashes=2))
    await eventually(lambda: happened == ["first begins"])

    dispatcher.drop_waiting()
    dispatcher.accept(Recorded("suspect again", happened, crashes=2))
    gate.set()

    await eventually(lambda: not len(dispatcher))
    assert happened == ["first begins", "first acked", "suspect again begins", "suspect again acked"]


async def test_a_suspect_stays_alone_when_its_connection_is_lost_meanwhile() -> None:
    happened, gate = list[str](), asyncio.Event()

    async def handler(delivery: Delivery) -> Outcome:
        happened.append(f"{delivery.body.decode()} begins")
        await gate.wait()
        return ACK

    dispatcher = Dispatcher(handler, concurrency=2)
    dispatcher.accept(Recorded("suspect", happened, crashes=2))
    await eventually(lambda: happened == ["suspect begins"])

    dispatcher.drop_waiting()
    dispatcher.accept(Recorded("next", happened))

    await eventually(lambda: happened == ["suspect begins", "next given back"])
    gate.set()
    await eventually(lambda: happened[-1] == "suspect acked" and not len(dispatcher))
