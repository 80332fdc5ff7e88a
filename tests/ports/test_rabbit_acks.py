"""Batched acknowledgements never cover a delivery that is still unsettled."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from gofleet.adapters.rabbit.acks import AckWindow
from gofleet.adapters.rabbit.consumer import RabbitConsumer
from gofleet.adapters.rabbit.publisher import RabbitPublisher
from gofleet.domain.messages import ACK, DISPATCH_QUEUE, Delivery, Outcome
from tests.ports.brokers import RabbitBench
from tests.ports.test_broker import drained
from tests.ports.test_rabbit_amqp import a_message, bench
from tests.waiting import eventually

__all__ = ["bench"]

DELIVERED = 12


@given(
    order=st.permutations(range(1, DELIVERED + 1)),
    sizes=st.lists(st.integers(1, 5), min_size=DELIVERED, max_size=DELIVERED),
    nacked=st.sets(st.integers(1, DELIVERED)),
)
def test_frames_acknowledge_exactly_the_given_tags(order: list[int], sizes: list[int], nacked: set[int]) -> None:
    window, unsettled = AckWindow(), set(range(1, DELIVERED + 1))
    while order:
        batch, order = order[: sizes[0]], order[sizes.pop(0) :]
        returned = [tag for tag in batch if tag in nacked]
        unsettled.difference_update(returned)
        window.settle(returned)
        tags = [tag for tag in batch if tag not in nacked]
        before = set(unsettled)
        window.settle(tags)
        for frame in window.ack_frames(tags):
            tag = frame.delivery_tag
            assert tag in unsettled  # or the broker would close the channel
            unsettled -= {other for other in unsettled if other <= tag} if frame.multiple else {tag}
        assert before - unsettled == set(tags)


def test_consecutive_deliveries_are_acknowledged_in_one_frame() -> None:
    window = AckWindow()

    def ack(*tags: int) -> list[tuple[int, bool]]:
        window.settle(tags)
        return [(frame.delivery_tag, frame.multiple) for frame in window.ack_frames(tags)]

    assert ack(3, 1, 2) == [(3, True)]
    assert ack(6, 5) == [(6, False), (5, False)]  # 4 is still unsettled
    assert ack(4, 8) == [(4, True), (8, False)]
    window.settle([7])
    assert ack(9, 10) == [(10, True)]


async def test_a_running_handler_keeps_its_message_while_others_are_acknowledged(bench: RabbitBench) -> None:
    unfinished, done = "event-7", list[str]()

    async def handle(delivery: Delivery) -> Outcome:
        if delivery.event_id == unfinished:
            await asyncio.Event().wait()
        done.append(delivery.event_id)
        return ACK

    async with RabbitPublisher(bench.server(), bench.topology) as publisher:
        assert set(await publisher.publish([a_message(number) for number in range(30)])) == {None}
    consumer = RabbitConsumer(bench.server(), bench.topology, grace_seconds=0.1)
    async with consumer.consuming(DISPATCH_QUEUE, handle, concurrency=4, prefetch=10):
        await eventually(lambda: len(done) == 29)

    assert [delivery.event_id for delivery in await drained(bench, DISPATCH_QUEUE)] == [unfinished]
