"""The contract of `Parked`, in memory and in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import pytest
from psycopg import AsyncConnection

from gofleet.adapters.postgres.parked import PostgresParked
from gofleet.adapters.postgres.pool import create_pool
from gofleet.domain.errors import (
    CountMismatch,
    GoFleetError,
    Malformed,
    MessageRefused,
    NotReplayable,
    OrderNotFound,
    ParkedMessageNotFound,
    Unavailable,
)
from gofleet.domain.messages import AGGREGATE_ID, ATTEMPT, DISPATCH_QUEUE, EVENT_ID, FLEET_QUEUE, Delivery
from gofleet.domain.parked import Cause, HandlingFailure, ParkedMessage, Stage
from gofleet.ports import Parked, ParkedFilter
from gofleet.testing.parked import MemoryParked
from tests.databases import waits_for_a_lock
from tests.waiting import eventually

EVERYTHING = ParkedFilter()
MANY = 1000


@pytest.fixture(params=["memory", "postgres"])
async def parked(request: pytest.FixtureRequest) -> AsyncGenerator[Parked]:
    if request.param == "memory":
        yield MemoryParked()
        return
    async with create_pool(request.getfixturevalue("clean_database"), size=4, wait_seconds=5) as pool:
        yield PostgresParked(pool)


async def park(
    parked: Parked, *names: str, queue: str = DISPATCH_QUEUE, error: Exception | None = None
) -> list[ParkedMessage]:
    """Park one event for each name; the list of parked messages then."""
    for name in names:
        headers = {EVENT_ID: f"e-{name}", AGGREGATE_ID: name, ATTEMPT: "2"}
        await parked.add(Delivery(queue, name.encode(), headers), HandlingFailure.of(error or OrderNotFound(name)))
    return list(reversed(await parked.list(EVERYTHING, len(names))))


async def replayed(parked: Parked, answer: GoFleetError | None = None) -> list[Delivery]:
    """Replay all requested messages to a broker with this response; the deliveries."""
    async with parked.claiming(MANY) as claim:
        await claim.settle([answer] * len(claim.deliveries))
        return list(claim.deliveries)


async def stages(parked: Parked, ids: Sequence[int]) -> list[Stage]:
    return [(await parked.open(id, 0))[0].stage for id in ids]


@pytest.mark.parametrize(
    "delivery",
    [
        Delivery("orders.created", b"{}", {"x-event-id": "e-1", "x-attempt": "6"}),
        Delivery("orders.created", b""),
        Delivery("orders.created", b"\x00\xff\x80 not text", {"a\x00b": "c\x00d", "x-event-id": "\x00"}),
        Delivery("orders.created", b"x" * 1_000_000, {"\ud800": "\udfff"}),
    ],
    ids=["plain", "empty", "NUL and no text", "large, lone surrogates"],
)
async def test_any_delivery_can_be_parked_shown_and_replayed(parked: Parked, delivery: Delivery) -> None:
    await parked.add(delivery, HandlingFailure.of(Malformed("no event: \x00 \ud800")))

    assert await parked.count() == 1
    [message] = await parked.list(EVERYTHING, MANY)
    assert message.body_bytes == len(delivery.body)
    _, opened = await parked.open(message.id, 100)
    assert opened.body == delivery.body[:100]
    await parked.request(message.id)
    [back] = await replayed(parked)
    assert (back.queue, back.body) == (delivery.queue, delivery.body)
    assert len(back.headers) == len(delivery.headers.keys() | {ATTEMPT})


async def test_what_is_shown_of_a_message_is_bounded(parked: Parked) -> None:
    delivery = Delivery(DISPATCH_QUEUE, b"{}", {EVENT_ID: "e" * 1_000_000, AGGREGATE_ID: "o" * 1_000_000})
    await parked.add(delivery, HandlingFailure.of(ValueError("x" * 1_000_000)))

    [message] = await parked.list(EVERYTHING, MANY)

    assert (message.event_id, message.order_id) == ("e" * 64, "o" * 64)
    assert len(message.detail) <= 520
    [group] = await parked.groups(EVERYTHING, MANY)
    assert len(group.detail) <= 520


async def test_a_parked_message_has_its_event_and_its_failure(parked: Parked) -> None:
    [message] = await park(parked, "o-1")

    assert message == ParkedMessage(
        id=message.id,
        queue=DISPATCH_QUEUE,
        stage=Stage.WAITING,
        cause=Cause.NO_SUCH_ORDER,
        detail="there is no order o-1",
        fingerprint=message.fingerprint,
        event_id="e-o-1",
        order_id="o-1",
        attempts=2,
        body_bytes=3,
        parked_at=message.parked_at,
    )
    headers = {EVENT_ID: "e-o-1", AGGREGATE_ID: "o-1", ATTEMPT: "2"}
    assert await parked.open(message.id, 2) == (message, Delivery(DISPATCH_QUEUE, b"o-", headers))
    with pytest.raises(ParkedMessageNotFound):
        await parked.open(message.id + 1, 0)


async def test_pages_hold_every_message_once_newest_first(parked: Parked) -> None:
    ids = [message.id for message in await park(parked, *(f"o-{n}" for n in range(7)))]
    seen: list[int] = []
    which = EVERYTHING

    while page := await parked.list(which, 3):
        seen += [message.id for message in page]
        which = replace(which, before=page[-1].id)

    assert seen == list(reversed(ids))


async def test_messages_are_found_by_queue_cause_fingerprint_and_stage(parked: Parked) -> None:
    [lost, other] = await park(parked, "lost", "other")
    [broken] = await park(parked, "broken", error=Malformed("no JSON"))
    [fleet] = await park(parked, "fleet", queue=FLEET_QUEUE, error=Malformed("no JSON"))
    await parked.request(lost.id)
    await replayed(parked)
    await parked.request(broken.id)

    async def found(which: ParkedFilter) -> list[int]:
        messages = [message.id for message in await parked.list(which, MANY)]
        assert sum(group.count for group in await parked.groups(which, MANY)) == len(messages)
        return messages

    assert await found(EVERYTHING) == [fleet.id, broken.id, other.id]
    assert await parked.count() == 3
    assert await found(ParkedFilter(queue=DISPATCH_QUEUE)) == [broken.id, other.id]
    assert await found(ParkedFilter(cause=Cause.MALFORMED)) == [fleet.id, broken.id]
    assert await found(ParkedFilter(fingerprint=fleet.fingerprint)) == [fleet.id]
    assert await found(ParkedFilter(stage=Stage.WAITING)) == [fleet.id, other.id]
    assert await found(ParkedFilter(stage=Stage.REQUESTED)) == [broken.id]
    assert await found(ParkedFilter(stage=Stage.REPLAYED)) == [lost.id]


async def test_equal_failures_are_one_group_the_largest_first(parked: Parked) -> None:
    [broken] = await park(parked, "broken", error=Malformed("no JSON"))
    lost = await park(parked, "a", "b", "c")
    await parked.request(lost[0].id)

    first, second = await parked.groups(EVERYTHING, MANY)

    assert (first.fingerprint, first.count, first.waiting) == (lost[0].fingerprint, 3, 2)
    assert (first.queue, first.cause, first.detail) == (DISPATCH_QUEUE, Cause.NO_SUCH_ORDER, "there is no order c")
    assert (first.first_at, first.last_at) == (lost[0].parked_at, lost[2].parked_at)
    assert (second.fingerprint, second.count) == (broken.fingerprint, 1)
    assert len(await parked.groups(EVERYTHING, 1)) == 1


async def test_a_replay_requested_twice_happens_once(parked: Parked) -> None:
    [message] = await park(parked, "o-1")

    first, again = [await parked.request(message.id) for _ in range(2)]
    assert (first.stage, again) == (Stage.REQUESTED, first)
    headers = {EVENT_ID: "e-o-1", AGGREGATE_ID: "o-1", ATTEMPT: "0"}
    assert await replayed(parked) == [Delivery(DISPATCH_QUEUE, b"o-1", headers)]

    done = await parked.request(message.id)
    assert (done.stage, done.replay_count) == (Stage.REPLAYED, 1)
    assert await replayed(parked) == []
    assert await parked.count() == 0


async def test_a_request_is_kept_while_the_broker_is_unavailable(parked: Parked) -> None:
    [message] = await park(parked, "o-1")
    await parked.request(message.id)

    await replayed(parked, Unavailable("broker", "away"))

    assert await stages(parked, [message.id]) == [Stage.REQUESTED]
    assert len(await replayed(parked)) == 1


async def test_a_refused_replay_stays_parked_with_the_reason(parked: Parked) -> None:
    [message] = await park(parked, "o-1")
    await parked.request(message.id)

    await replayed(parked, MessageRefused("no queue\0 takes it" + "x" * 10_000))

    [shown] = await parked.list(EVERYTHING, MANY)
    assert (shown.stage, shown.replay_count) == (Stage.WAITING, 0)
    assert (shown.error or "").startswith("no queue")
    assert (await parked.request(message.id)).error is None


async def test_the_claim_of_a_killed_relay_is_released(parked: Parked) -> None:
    [message] = await park(parked, "o-1")
    await parked.request(message.id)

    with pytest.raises(ConnectionResetError):
        async with parked.claiming(MANY):
            raise ConnectionResetError

    assert await stages(parked, [message.id]) == [Stage.REQUESTED]
    assert len(await replayed(parked)) == 1


async def test_concurrent_claims_share_no_message_and_take_the_oldest_request_first(parked: Parked) -> None:
    ids = [message.id for message in await park(parked, "a", "b", "c")]
    for id in reversed(ids):
        await parked.request(id)

    async with parked.claiming(2) as first, parked.claiming(MANY) as second:
        bodies = [[one.body for one in claim.deliveries] for claim in (first, second)]

    assert bodies == [[b"c", b"b"], [b"a"]]


async def test_a_group_is_replayed_only_if_it_has_the_expected_size(parked: Parked) -> None:
    lost = [message.id for message in await park(parked, "a", "b", "c")]
    [broken] = await park(parked, "broken", error=Malformed("no JSON"))
    await parked.request(lost[0])
    which = ParkedFilter(cause=Cause.NO_SUCH_ORDER)

    for expected in (0, 1, 3):
        with pytest.raises(CountMismatch) as refused:
            await parked.request_all(which, expected)
        assert refused.value.actual == 2
    assert await stages(parked, lost) == [Stage.REQUESTED, Stage.WAITING, Stage.WAITING]
    await parked.request_all(which, 2)

    assert await stages(parked, [*lost, broken.id]) == [Stage.REQUESTED] * 3 + [Stage.WAITING]
    await parked.request_all(which, 0)


async def test_of_two_requests_for_the_same_group_one_is_refused(parked: Parked) -> None:
    await park(parked, *(f"o-{n}" for n in range(50)))

    ended = await asyncio.gather(*(parked.request_all(EVERYTHING, 50) for _ in range(2)), return_exceptions=True)

    assert sorted(type(end).__name__ for end in ended) == ["CountMismatch", "NoneType"]
    assert len(await replayed(parked)) == 50


async def test_a_message_of_an_unknown_queue_is_not_replayed_nor_its_group(parked: Parked) -> None:
    [ours] = await park(parked, "ours")
    [foreign] = await park(parked, "foreign", queue="elsewhere")

    with pytest.raises(NotReplayable):
        await parked.request(foreign.id)
    with pytest.raises(NotReplayable):
        await parked.request_all(EVERYTHING, 2)

    assert await stages(parked, [ours.id, foreign.id]) == [Stage.WAITING, Stage.WAITING]


async def test_messages_requested_concurrently_are_counted_once(clean_database: str) -> None:
    async with (
        create_pool(clean_database, size=4, wait_seconds=5) as pool,
        await AsyncConnection.connect(clean_database) as rival,
    ):
        parked = PostgresParked(pool)
        [first, second] = await park(parked, "a", "b")
        await rival.execute(
            "update parked set replay_requested_at = now(), replayed_at = now() where id = %s", [first.id]
        )
        asking = asyncio.create_task(parked.request_all(EVERYTHING, 2))
        await eventually(lambda: waits_for_a_lock(pool))
        await rival.commit()

        with pytest.raises(CountMismatch) as refused:
            await asking
        assert refused.value.actual == 1
        assert await stages(parked, [first.id, second.id]) == [Stage.REPLAYED, Stage.WAITING]


async def test_an_unknown_cause_is_shown_as_a_failure(clean_database: str) -> None:
    async with create_pool(clean_database, size=2, wait_seconds=5) as pool:
        parked = PostgresParked(pool)
        await parked.add(Delivery("orders.created", b"{}"), HandlingFailure.of(RuntimeError("boom")))
        async with pool.connection() as connection:
            await connection.execute("update parked set cause = 'from-the-future'")

        assert [message.cause for message in await parked.list(ParkedFilter(), 10)] == [Cause.FAILED]
        assert [group.cause for group in await parked.groups(ParkedFilter(), 10)] == [Cause.FAILED]
