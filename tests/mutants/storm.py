"""Everything at once and everything failing, for a second or two: what is found at the end is a broken promise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from uuid import uuid4

import psycopg
from redis.asyncio import Redis

from gofleet.adapters.postgres.inbox import PostgresInbox
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresOutbox
from gofleet.adapters.postgres.pool import Pool, create_pool
from gofleet.adapters.redis.leases import RedisLeases
from gofleet.domain.errors import InvalidTransition, StaleOrder, Unavailable
from gofleet.domain.messages import ACK, DISPATCH_QUEUE, Delivery, Handler, Outcome
from gofleet.domain.order import Order, Status
from gofleet.domain.principal import CLIENT
from gofleet.guards.chain import ChainSettings, dispatch_chain
from gofleet.guards.manual_fallback import WaitLimits
from gofleet.guards.parking import RetryRules
from gofleet.ports import OrderFilter
from gofleet.testing.parked import MemoryParked
from gofleet.usecases.create_order import CreateOrder
from gofleet.usecases.dispatch_order import DispatchOrder, SearchRadius
from gofleet.usecases.maintenance import RepublishPending, SweepOrders
from gofleet.usecases.relay import RelayOutbox
from gofleet.usecases.transitions import Transition, transition_order
from tests.makers import an_order, in_status
from tests.mutants.broker import BadBroker, BadDay, published_out_of_order
from tests.mutants.dice import Dice, Weather
from tests.mutants.findings import findings, published, unpublished
from tests.mutants.ports import ForgetfulFleet, RiskyInbox, RiskyOrders, WatchedLeases, Witness
from tests.waiting import eventually

DRIVERS, RELAYS, WORKERS = 8, 2, 3
LEASE_SECONDS = 0.15
T_MAX_SECONDS = 1.0
# Tries without end: an order given up after so many would be somebody's answer, too, and hide what was lost.
RULES = ChainSettings(RetryRules(10**6, (0.02, 0.05)), WaitLimits(0.5, 30, 0.05), deadline_seconds=5, hold_seconds=0.2)
VERBS: list[tuple[Status, Transition]] = [
    (Status.CANCELLED, Order.cancel),
    (Status.DELIVERED, Order.deliver),
    (Status.DELIVERED, Order.deliver),
    (Status.PENDING, Order.redispatch),
]


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
        self.broker = BadBroker(self.random, BadDay(repeated=self.weather.repeated, lost=self.weather.lost))
        self.orders = RiskyOrders(PostgresOrders(self.pool), self.dice, self.witness)
        self.outbox = PostgresOutbox(self.pool)
        self.inbox = PostgresInbox(self.pool)
        leases = RedisLeases(self.redis, prefix=f"storm-{uuid4().hex}:", lease_ms=round(LEASE_SECONDS * 1000))
        self.leases = WatchedLeases(leases, self.inbox, LEASE_SECONDS, self.dice, self.witness)

    async def rage(self) -> set[str]:
        """Until all is quiet; what was found."""
        async with self._beside(*[self._relay] * RELAYS, *([self._sweep] if self.weather.sweeps else [])):
            async with self._workers():
                async with self._beside(self._deliver):
                    await asyncio.gather(*(self._customer(f"o-{number}") for number in range(self.weather.orders)))
                await eventually(self._quiet, within=40, every=0.05)
                if self.weather.sweeps:
                    with suppress(AssertionError):  # then the findings tell
                        await eventually(self._nobody_waits, within=2.5 * T_MAX_SECONDS)
            await eventually(lambda: unpublished(self.conninfo) == 0)
        assert self.dice.counts.keys() == {"killed", "stalled", "struck"}, f"a calm day: {self.dice.counts}"
        return await asyncio.to_thread(self._found)

    def _found(self) -> set[str]:
        found = findings(self.conninfo) | self.witness.findings
        if never := published(self.conninfo) - self.broker.arrived.keys():
            found.add(f"marked as published, and the broker never had it: {sorted(never)[:5]}")
        if wrong := published_out_of_order(list(self.broker.arrived.values())):
            found.add(f"published out of order: {wrong[:5]}")
        return found

    def _quiet(self) -> bool:
        """Whether nothing will move by itself any more; asked in one go, so that nothing does in between."""
        return self.broker.at_rest() and unpublished(self.conninfo) == 0

    async def _nobody_waits(self) -> bool:
        return not await self.orders.list(OrderFilter(status=Status.PENDING), 1)

    async def _customer(self, order_id: str) -> None:
        await asyncio.sleep(self.random.random() * 0.8)
        await CreateOrder(self.orders)(an_order(order_id))
        for _ in range(self.random.randint(0, 4)):
            await asyncio.sleep(self.random.random() * 0.15)
            await self._move(order_id, *self.random.choice(VERBS))

    async def _move(self, order_id: str, wanted: Status, verb: Transition) -> None:
        with suppress(InvalidTransition, StaleOrder, psycopg.Error):  # the last are among the findings already
            await transition_order(self.orders, order_id, verb, by=CLIENT, done=in_status(wanted))

    async def _deliver(self) -> None:
        """Drivers hand over what they have, so that others may have them."""
        for order in await self.orders.list(OrderFilter(status=Status.DISPATCHED), 3):
            await self._move(order.id, Status.DELIVERED, Order.deliver)
        await asyncio.sleep(0.02)

    async def _relay(self) -> None:
        """One act of a relay, which may be killed in the middle: its transaction is rolled back."""
        act = asyncio.create_task(RelayOutbox(self.outbox, self.broker, 20)())
        if self.dice.happens(0.2):
            await asyncio.wait({act}, timeout=self.random.random() * 0.03)
            act.cancel()
        await asyncio.wait({act})
        if not act.cancelled() and not isinstance(act.exception(), Unavailable) and act.result():
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
        risky = RiskyInbox(self.inbox, self.dice)
        fleet = ForgetfulFleet([f"driver-{number}" for number in range(DRIVERS)], self.dice)
        return dispatch_chain(
            DispatchOrder(self.orders, risky, fleet, SearchRadius(5, 10, 0.5)),
            orders=self.orders,
            inbox=risky,
            leases=self.leases,
            parked=MemoryParked(),
            rules=RULES,
            stopping=asyncio.Event(),
        )

    def _mortal(self, handler: Handler) -> Handler:
        async def handle(delivery: Delivery) -> Outcome:
            if self.dice.happens(0.1):  # it works on, as a zombie, while the message is given to somebody else
                asyncio.get_running_loop().call_later(0.05, self.broker.lose_connection, delivery)
            with self.dice.life():
                return await handler(delivery)
            self.broker.lose_connection(delivery)
            return ACK  # over a connection that is no more

        return handle

    @asynccontextmanager
    async def _beside(self, *acts: Callable[[], Awaitable[None]]) -> AsyncGenerator[None]:
        """Each act again and again, until the block ends."""
        stop = asyncio.Event()

        async def again(act: Callable[[], Awaitable[None]]) -> None:
            while not stop.is_set():
                await act()

        async with asyncio.TaskGroup() as group:
            for act in acts:
                group.create_task(again(act))
            try:
                yield
            finally:
                stop.set()


async def a_storm(conninfo: str, redis: Redis, seed: int, weather: Weather) -> set[str]:
    """What was found after the storm of that seed, in a database that is emptied first."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("truncate orders, outbox, inbox, order_log, parked")
    async with create_pool(conninfo, size=12, wait_seconds=10) as pool:
        return await Storm(pool, redis, conninfo, Random(seed), weather).rage()  # noqa: S311  a storm, not a secret
