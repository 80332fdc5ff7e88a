"""A storm: concurrent customers, relays and workers with faults for a second or two, then a check of invariants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from uuid import uuid4

import psycopg
from redis.asyncio import Redis

from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresInbox, PostgresOutbox
from gofleet.adapters.postgres.pool import Pool, create_pool
from gofleet.adapters.redis.leases import RedisLeases
from gofleet.domain.errors import InvalidTransition, OrderEnded, StaleOrder, TooManyChanges, Unavailable
from gofleet.domain.messages import ACK, DISPATCH_QUEUE, Delivery, Handler, Outcome
from gofleet.domain.order import Order, OrderFilter, Status
from gofleet.domain.principal import CLIENT
from gofleet.guards.chain import ChainSettings, dispatch_chain
from gofleet.guards.manual_fallback import WaitLimits
from gofleet.guards.parking import RetryRules
from gofleet.testing.parked import MemoryParked
from gofleet.usecases.create_order import CreateOrder
from gofleet.usecases.dispatch_order import DispatchOrder, SearchRadius
from gofleet.usecases.maintenance import RepublishPending, SweepOrders
from gofleet.usecases.relay import RelayOutbox
from gofleet.usecases.transitions import ChangeOrder, Transition, transition_order
from tests.databases import register
from tests.makers import an_order, in_status
from tests.mutants.broker import BrokerFaults, FaultyBroker, published_out_of_order
from tests.mutants.dice import Dice, Weather
from tests.mutants.findings import findings, published, unpublished
from tests.mutants.ports import AllFreeFleet, CheckedLeases, FaultyInbox, FaultyOrders, Witness
from tests.waiting import eventually

RELAYS, WORKERS = 2, 3
DRIVER_IDS = [f"driver-{number}" for number in range(8)]
LEASE_SECONDS = 0.15
T_MAX_SECONDS = 1.0
# Unlimited attempts: an order parked after a number of attempts would hide a lost one.
RETRIES = RetryRules(10**6, (0.02, 0.05), crashes_max=10**6)
RULES = ChainSettings(RETRIES, WaitLimits(0.5, 30, 0.05), deadline_seconds=5, hold_seconds=0.2)
VERBS: list[tuple[Status, Transition]] = [
    (Status.CANCELLED, Order.cancel),
    (Status.DELIVERED, Order.deliver),
    (Status.DELIVERED, Order.deliver),
    (Status.PENDING, Order.redispatch),
]


CHANGE_SHARE = 0.2
"""Of the requests of customers; these change data only."""


@dataclass
class Storm:
    """One installation in one process."""

    pool: Pool
    redis: Redis
    conninfo: str
    random: Random
    weather: Weather
    witness: Witness = field(default_factory=Witness)

    def __post_init__(self) -> None:
        self.dice = Dice(self.random, self.weather)
        self.broker = FaultyBroker(self.random, BrokerFaults(repeated=self.weather.repeated, lost=self.weather.lost))
        self.orders = FaultyOrders(PostgresOrders(self.pool), self.dice, self.witness)
        self.outbox = PostgresOutbox(self.pool)
        self.inbox = PostgresInbox(self.pool)
        leases = RedisLeases(self.redis, prefix=f"storm-{uuid4().hex}:", lease_ms=round(LEASE_SECONDS * 1000))
        self.leases = CheckedLeases(leases, self.inbox, LEASE_SECONDS, self.dice, self.witness)

    async def run(self) -> set[str]:
        """Run until nothing moves any more; returns the violations."""
        await register(self.pool, *DRIVER_IDS)
        async with self._beside(*[self._relay] * RELAYS, *([self._sweep] if self.weather.sweeps else [])):
            async with self._workers():
                async with self._beside(self._deliver):
                    await asyncio.gather(*(self._customer(f"o-{number}") for number in range(self.weather.orders)))
                await eventually(self._quiet, within=40, every=0.05)
                if self.weather.sweeps:
                    with suppress(AssertionError):  # reported by the findings
                        await eventually(self._none_pending, within=2.5 * T_MAX_SECONDS)
            await eventually(lambda: unpublished(self.conninfo) == 0)
        assert self.dice.counts.keys() == {"killed", "stalled", "failed"}, f"not all faults: {self.dice.counts}"
        return await asyncio.to_thread(self._violations)

    def _violations(self) -> set[str]:
        violations = findings(self.conninfo) | self.witness.findings
        if never := published(self.conninfo) - self.broker.arrived.keys():
            violations.add(f"marked as published, and the broker never had it: {sorted(never)[:5]}")
        if unordered := published_out_of_order(list(self.broker.arrived.values())):
            violations.add(f"published out of order: {unordered[:5]}")
        return violations

    def _quiet(self) -> bool:
        """Whether no message and no event is left; both are read without a pause, so that none moves in between."""
        return self.broker.at_rest() and unpublished(self.conninfo) == 0

    async def _none_pending(self) -> bool:
        return not await self.orders.list(OrderFilter(status=Status.PENDING), 1)

    async def _customer(self, order_id: str) -> None:
        await asyncio.sleep(self.random.random() * 0.8)
        await CreateOrder(self.orders)(an_order(order_id))
        for _ in range(self.random.randint(0, 4)):
            await asyncio.sleep(self.random.random() * 0.15)
            if self.random.random() < CHANGE_SHARE:
                await self._change(order_id)
            else:
                await self._transition(order_id, *self.random.choice(VERBS))

    async def _change(self, order_id: str) -> None:
        wanted = {"metadata": {"note": str(self.random.random())}}
        with suppress(OrderEnded, TooManyChanges, StaleOrder, psycopg.Error):
            await ChangeOrder(self.orders)(order_id, wanted, None, by=CLIENT)

    async def _transition(self, order_id: str, target: Status, transition: Transition) -> None:
        with suppress(InvalidTransition, StaleOrder, psycopg.Error):  # the invariants report the last
            await transition_order(self.orders, order_id, transition, by=CLIENT, done=in_status(target))

    async def _deliver(self) -> None:
        """Deliver some orders, so that their drivers become free."""
        for order in await self.orders.list(OrderFilter(status=Status.DISPATCHED), 3):
            await self._transition(order.id, Status.DELIVERED, Order.deliver)
        await asyncio.sleep(0.02)

    async def _relay(self) -> None:
        """One batch of a relay, sometimes killed in the middle: its transaction is rolled back."""
        batch = asyncio.create_task(RelayOutbox(self.outbox, self.broker, 20)())
        if self.dice.happens(0.2):
            await asyncio.wait({batch}, timeout=self.random.random() * 0.03)
            batch.cancel()
        await asyncio.wait({batch})
        if not batch.cancelled() and not isinstance(batch.exception(), Unavailable) and batch.result():
            return
        await asyncio.sleep(0.005)

    async def _sweep(self) -> None:
        await RepublishPending(self.orders, 0.3, 100)()
        await SweepOrders(self.orders, T_MAX_SECONDS, 100)()
        await asyncio.sleep(0.05)

    @asynccontextmanager
    async def _workers(self) -> AsyncGenerator[None]:
        async with AsyncExitStack() as workers:
            for _ in range(WORKERS):
                consuming = self.broker.consuming(
                    DISPATCH_QUEUE, self._mortal(self._handler()), concurrency=6, prefetch=9
                )
                await workers.enter_async_context(consuming)
            yield

    def _handler(self) -> Handler:
        inbox = FaultyInbox(self.inbox, self.dice)
        fleet = AllFreeFleet(DRIVER_IDS, self.dice)
        return dispatch_chain(
            DispatchOrder(self.orders, inbox, fleet, SearchRadius(5, 10, 0.5)),
            orders=self.orders,
            inbox=inbox,
            leases=self.leases,
            parked=MemoryParked(),
            rules=RULES,
            stopping=asyncio.Event(),
        )

    def _mortal(self, handler: Handler) -> Handler:
        async def handle(delivery: Delivery) -> Outcome:
            if self.dice.happens(0.1):  # it continues as a zombie while the message is redelivered
                asyncio.get_running_loop().call_later(0.05, self.broker.lose_connection, delivery)
            with self.dice.life():
                return await handler(delivery)
            self.broker.lose_connection(delivery)
            return ACK  # over the broken connection

        return handle

    @asynccontextmanager
    async def _beside(self, *acts: Callable[[], Awaitable[None]]) -> AsyncGenerator[None]:
        """Repeat each act until the block ends."""
        stop = asyncio.Event()

        async def repeat(act: Callable[[], Awaitable[None]]) -> None:
            while not stop.is_set():
                await act()

        async with asyncio.TaskGroup() as group:
            for act in acts:
                group.create_task(repeat(act))
            try:
                yield
            finally:
                stop.set()


async def a_storm(conninfo: str, redis: Redis, seed: int, weather: Weather) -> set[str]:
    """The violations after the storm of that seed, in an emptied database."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("truncate orders, outbox, inbox, order_log, parked")
    async with create_pool(conninfo, size=12, wait_seconds=10) as pool:
        return await Storm(pool, redis, conninfo, Random(seed), weather).run()  # noqa: S311  a storm, not a secret
