"""L4 and L11, and the order of events: committed events are published soon and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresOutbox
from gofleet.adapters.postgres.pool import Pool
from gofleet.domain.errors import GoFleetError, MessageRefused, Unavailable
from gofleet.domain.messages import Delivery, Message
from gofleet.domain.principal import CLIENT
from gofleet.usecases.relay import RelayOutbox
from gofleet.usecases.transitions import CancelOrder
from tests.defects.lossy_relays import AllAtOnce, FailedWithoutRetry, MarkedAsProcessing
from tests.defects.ways import Way, both_ways
from tests.makers import an_order
from tests.waiting import eventually


@dataclass
class ScriptedPublisher:
    """Returns the given results first and accepts everything afterwards; `slow` sequences take longer."""

    answers: list[GoFleetError] = field(default_factory=list[GoFleetError])
    slow: dict[int, float] = field(default_factory=dict[int, float])
    taken: list[Message] = field(default_factory=list[Message])

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        """Concurrently, as a batch is sent: the order of arrival is not guaranteed."""
        return list(await asyncio.gather(*(self._publish(message) for message in messages)))

    async def put_back(self, deliveries: Sequence[Delivery]) -> list[GoFleetError | None]:
        raise AssertionError("no replay was requested")

    async def _publish(self, message: Message) -> GoFleetError | None:
        if self.answers:
            return self.answers.pop(0)
        await asyncio.sleep(self.slow.get(message.sequence, 0))
        self.taken.append(message)
        return None


class HungPublisher:
    """A publisher that never returns."""

    def __init__(self) -> None:
        self.claimed = asyncio.Event()

    async def publish(self, messages: Sequence[Message]) -> list[GoFleetError | None]:
        self.claimed.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def put_back(self, deliveries: Sequence[Delivery]) -> list[GoFleetError | None]:
        raise AssertionError("no replay was requested")


@both_ways
@pytest.mark.parametrize("failure", [Unavailable("the broker", "restarting"), MessageRefused("no queue takes it")])
async def test_l4_an_event_that_could_not_be_published_is_published_later(
    pool: Pool, failure: GoFleetError, way: Way
) -> None:
    publisher = ScriptedPublisher([failure])
    ours = RelayOutbox(PostgresOutbox(pool), publisher, 10)
    relay = ours if way is Way.OURS else FailedWithoutRetry(pool, publisher)
    await PostgresOrders(pool).add(an_order())

    async def relayed() -> bool:
        with suppress(Unavailable):
            await relay()
        return bool(publisher.taken)

    with way.fails("still False"):
        await eventually(relayed, within=15 if way is Way.OURS else 2, every=0.05)


@both_ways
async def test_l4_a_failed_event_is_kept_for_an_operator(pool: Pool, way: Way) -> None:
    refusing = ScriptedPublisher([MessageRefused("no queue takes it")])
    outbox, lossy = PostgresOutbox(pool, max_attempts=1), FailedWithoutRetry(pool, refusing)
    await PostgresOrders(pool).add(an_order())

    if way is Way.OURS:
        await RelayOutbox(outbox, refusing, 10)()
        await outbox.prune(0, 100)
    else:
        await lossy()
        await lossy.purge()

    with way.fails("purged"):
        assert (await outbox.lag())[0] == 1, "purged"


@both_ways
async def test_l11_the_claim_of_a_killed_relay_is_published_by_another_at_once(pool: Pool, way: Way) -> None:
    hung, publisher = HungPublisher(), ScriptedPublisher()
    await PostgresOrders(pool).add(an_order())

    def relay(through: HungPublisher | ScriptedPublisher) -> RelayOutbox | MarkedAsProcessing:
        return RelayOutbox(PostgresOutbox(pool), through, 10) if way is Way.OURS else MarkedAsProcessing(pool, through)

    killed = asyncio.ensure_future(relay(hung)())
    await hung.claimed.wait()
    async with pool.connection() as connection:  # as its socket would end with it
        query = "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'"
        await connection.execute(query)

    async def relayed() -> bool:
        await relay(publisher)()
        return bool(publisher.taken)

    with way.fails("still False"):
        await eventually(relayed, within=5 if way is Way.OURS else 1)
    killed.cancel()
    await asyncio.wait({killed})
    with suppress(asyncio.CancelledError, Exception):
        killed.result()


@both_ways
async def test_events_of_one_order_are_published_in_order_whatever_each_takes(pool: Pool, way: Way) -> None:
    publisher = ScriptedPublisher(slow={1: 0.1})
    ours = RelayOutbox(PostgresOutbox(pool), publisher, 10)
    relay = ours if way is Way.OURS else AllAtOnce(pool, publisher)
    orders = PostgresOrders(pool)
    await orders.add(an_order())
    await CancelOrder(orders)("o-1", by=CLIENT)

    await asyncio.gather(relay(), relay())
    while await relay():
        pass

    with way.fails(r"\[2, 1\]"):
        assert [message.sequence for message in publisher.taken] == [1, 2]
