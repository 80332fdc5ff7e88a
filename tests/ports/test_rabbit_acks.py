"""What is acknowledged together leaves out nothing that is still to be answered."""

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
from tests.ports.test_rabbit_batches import a_message, bench
from tests.waiting import eventually

__all__ = ["bench"]

DELIVERED = 12


@given(
    order=st.permutations(range(1, DELIVERED + 1)),
    sizes=st.lists(st.integers(1, 5), min_size=DELIVERED, max_size=DELIVERED),
    given_back=st.sets(st.integers(1, DELIVERED)),
)
def test_a_broker_hears_of_exactly_what_was_acknowledged(
    order: list[int], sizes: list[int], given_back: set[int]
) -> None:
    answered, unanswered = AckWindow(), set(range(1, DELIVERED + 1))
    while order:
        batch, order = order[: sizes[0]], order[sizes.pop(0) :]
        back = [tag for tag in batch if tag in given_back]
        unanswered.difference_update(back)
        answered.note(back)
        tags = [tag for tag in batch if tag not in given_back]
        before = set(unanswered)
        answered.note(tags)
        for frame in answered.frames(tags):
            tag = frame.delivery_tag
            assert tag in unanswered  # or the broker would close the channel
            unanswered -= {one for one in unanswered if one <= tag} if frame.multiple else {tag}
        assert before - unanswered == set(tags)


def test_what_was_delivered_in_a_row_is_acknowledged_in_one_frame() -> None:
    answered = AckWindow()

    def told(*tags: int) -> list[tuple[int, bool]]:
        answered.note(tags)
        return [(frame.delivery_tag, frame.multiple) for frame in answered.frames(tags)]

    assert told(3, 1, 2) == [(3, True)]
    assert told(6, 5) == [(6, False), (5, False)]  # 4 is still to be answered
    assert told(4, 8) == [(4, True), (8, False)]
    answered.note([7])
    assert told(9, 10) == [(10, True)]


async def test_who_is_still_at_work_keeps_its_message_whatever_is_acknowledged_around_it(bench: RabbitBench) -> None:
    held, done = "event-7", list[str]()

    async def handle(delivery: Delivery) -> Outcome:
        if delivery.event_id == held:
            await asyncio.Event().wait()
        done.append(delivery.event_id)
        return ACK

    async with RabbitPublisher(bench.server(), bench.topology) as publisher:
        assert set(await publisher.publish([a_message(number) for number in range(30)])) == {None}
    consumer = RabbitConsumer(bench.server(), bench.topology, grace_seconds=0.1)
    async with consumer.consuming(DISPATCH_QUEUE, handle, concurrency=4, prefetch=10):
        await eventually(lambda: len(done) == 29)

    assert [one.event_id for one in await drained(bench, DISPATCH_QUEUE)] == [held]
