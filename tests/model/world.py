"""The real thing that the state machine drives: use cases and guards, over PostgreSQL's adapters or memory's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Protocol, TypeAlias

from gofleet.adapters.postgres.drivers import PostgresDrivers
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresInbox, PostgresOutbox
from gofleet.adapters.postgres.pool import Pool, acquire
from gofleet.domain.driver import Candidate, Driver, Position
from gofleet.domain.errors import FleetBreakerOpen
from gofleet.domain.messages import DISPATCH_QUEUE, Delivery, Message, Outcome
from gofleet.domain.order import Order, Reason, Status
from gofleet.domain.principal import CLIENT
from gofleet.guards.chain import ChainSettings, dispatch_chain
from gofleet.guards.manual_fallback import WaitLimits
from gofleet.guards.parking import RetryRules
from gofleet.ports import Drivers, Inbox, Orders, Outbox, Search
from gofleet.testing.drivers import MemoryDrivers
from gofleet.testing.leases import MemoryLeases
from gofleet.testing.orders import MemoryOrders
from gofleet.testing.outbox import MemoryInbox, MemoryOutbox
from gofleet.testing.parked import MemoryParked
from gofleet.usecases.create_order import CreateOrder
from gofleet.usecases.dispatch_order import DispatchOrder, SearchRadius
from gofleet.usecases.maintenance import SweepOrders
from gofleet.usecases.transitions import CancelOrder, DeliverOrder, DispatchManually, RedispatchOrder
from tests.makers import CENTRE
from tests.model.expected import Act, ByHand, Create, Known, Move, Picture, Row, Sweep, Work

EXCLUSION_SECONDS = 3600.0
"""Longer than a test: no exclusion ends."""
VERBS: dict[Status, Callable[[Orders], CancelOrder | DeliverOrder | RedispatchOrder]] = {
    Status.CANCELLED: CancelOrder,
    Status.DELIVERED: DeliverOrder,
    Status.PENDING: partial(RedispatchOrder, exclusion_seconds=EXCLUSION_SECONDS),
}
ALL = 1_000
LogRow: TypeAlias = tuple[str, str | None, str, int]
"""(order, was, became, version), oldest first."""


class Store(Protocol):
    """One database, empty at first, and what a test may see and do behind its back."""

    @property
    def orders(self) -> Orders: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def drivers(self) -> Drivers: ...

    async def look(self) -> Picture: ...
    async def log(self) -> Sequence[LogRow]: ...
    async def let_backoffs_pass(self) -> None: ...


class MemoryStore:
    def __init__(self) -> None:
        self.orders = MemoryOrders()
        self.outbox, self.inbox = MemoryOutbox(self.orders), MemoryInbox(self.orders)
        self.drivers = MemoryDrivers(self.orders)

    async def look(self) -> Picture:
        rows = [
            Row(row.message.order_id, row.message.sequence, row.message.type, row.published_at is not None)
            for row in self.orders.outbox
        ]
        known = {id: self._known(order) for id, order in self.orders.rows.items()}
        return Picture(known, sorted(rows), {receipt.event_id: how for receipt, how in self.orders.inbox.items()})

    def _known(self, order: Order) -> Known:
        excluded = frozenset(each.driver_id for each in self.orders.exclusions if each.order_id == order.id)
        has_pickup, price = order.pickup is not None, int(order.price)
        return Known(price, has_pickup, order.status, order.version, order.driver_id, order.reason, excluded)

    async def log(self) -> Sequence[LogRow]:
        return []  # it keeps no history

    async def let_backoffs_pass(self) -> None:
        pass  # it knows none


class PostgresStore:
    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.orders, self.outbox, self.inbox = PostgresOrders(pool), PostgresOutbox(pool), PostgresInbox(pool)
        self.drivers = PostgresDrivers(pool)

    async def clear(self) -> None:
        async with acquire(self.pool) as connection:
            await connection.execute("truncate orders, order_exclusions, outbox, inbox, order_log, drivers")

    async def look(self) -> Picture:
        """By statements of its own: the adapters are what is under test."""
        async with acquire(self.pool) as connection:
            orders = await connection.execute(
                "select id, price, pickup_lat is not null, status, version, driver_id, reason,"
                " array(select driver_id from order_exclusions where order_id = id) from orders"
            )
            known = {
                id: Known(
                    int(price), pickup, Status(status), version, driver, reason and Reason(reason), frozenset(out)
                )
                for id, price, pickup, status, version, driver, reason, out in await orders.fetchall()
            }
            query = "select aggregate_id, seq, event_type, published_at is not null from outbox"
            outbox = await connection.execute(query)
            rows = sorted(Row(*row) for row in await outbox.fetchall())
            inbox = await connection.execute("select event_id::text, outcome from inbox where consumer = 'dispatch'")
            return Picture(known, rows, dict(await inbox.fetchall()))

    async def log(self) -> Sequence[LogRow]:
        async with acquire(self.pool) as connection:
            found = await connection.execute("select order_id, was, became, version from order_log order by id")
            return [(order_id, was, became, version) for order_id, was, became, version in await found.fetchall()]

    async def let_backoffs_pass(self) -> None:
        async with acquire(self.pool) as connection:
            await connection.execute("update outbox set next_attempt_at = now() where next_attempt_at > now()")


@dataclass(frozen=True)
class Fleet:
    """Finds these drivers and no others; None = its breaker is open."""

    drivers: tuple[str, ...] | None

    async def search(self, search: Search) -> list[Candidate]:
        if self.drivers is None:
            raise FleetBreakerOpen(1.0)
        await asyncio.sleep(0)  # lets other tasks run
        return [Candidate(name, name, CENTRE, 10.0) for name in self.drivers if name not in search.exclude]

    async def register(self, driver: Driver) -> None:
        raise AssertionError("no worker registers drivers")

    async def update_position(self, position: Position) -> bool:
        raise AssertionError("no worker moves drivers")


@dataclass
class World:
    """`heard` = the messages that came out of the broker for workers; any may be delivered again at any time."""

    store: Store
    heard: list[Message] = field(default_factory=list[Message])
    parked: MemoryParked = field(default_factory=MemoryParked)
    redis: list[MemoryLeases] = field(default_factory=lambda: [MemoryLeases(), MemoryLeases()])

    async def perform(self, act: Act) -> object:
        """Do it for real; returns what the use case or the worker answered."""
        orders = self.store.orders
        match act:
            case Create(order_id, price, has_pickup):
                spot = CENTRE if has_pickup else None
                order = Order.create(order_id, Decimal(price), Decimal(0), by=CLIENT, pickup=spot)
                return await CreateOrder(orders)(order)
            case Move(order_id, wanted):
                return await VERBS[wanted](orders)(order_id, by=CLIENT)
            case ByHand(order_id, driver):
                return await DispatchManually(orders, self.store.drivers)(order_id, driver, None, by=CLIENT)
            case Sweep():
                return await SweepOrders(orders, 0.0, ALL)()
            case Work():
                return await self._work(act) if self.heard else None

    async def _work(self, work: Work) -> Outcome:
        store = self.store
        handler = dispatch_chain(
            DispatchOrder(store.orders, store.inbox, Fleet(work.drivers), SearchRadius(5.0, 5.0, 60.0)),
            orders=store.orders,
            inbox=store.inbox,
            leases=self.redis[work.redis],
            parked=self.parked,
            rules=ChainSettings(RetryRules(), WaitLimits(patience_seconds=3600.0 if work.patient else 0.0)),
            stopping=asyncio.Event(),
        )
        message = self.heard[work.number % len(self.heard)]
        return await handler(Delivery(DISPATCH_QUEUE, message.body, message.headers()))

    async def register(self, *names: str) -> None:
        for name in names:
            await self.store.drivers.put(Driver(name, name))
