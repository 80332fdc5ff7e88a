"""Orders, outbox and inbox over one database, in memory and in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest

from gofleet.adapters.postgres.drivers import PostgresDrivers
from gofleet.adapters.postgres.history import PostgresHistory
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresInbox, PostgresOutbox
from gofleet.adapters.postgres.pool import create_pool
from gofleet.domain.driver import Driver
from gofleet.domain.messages import Message
from gofleet.domain.order import Order
from gofleet.domain.principal import CLIENT
from gofleet.ports import Drivers, History, Inbox, Orders, Outbox
from gofleet.testing.drivers import MemoryDrivers
from gofleet.testing.orders import MemoryHistory, MemoryOrders
from gofleet.testing.outbox import MemoryInbox, MemoryOutbox
from gofleet.usecases.transitions import Transition
from tests.makers import an_order

DRIVERS = ("ana", "bia", "carla", "dora", "eva", "x", "y", "z", *(f"driver-{number}" for number in range(10)))


@dataclass
class Store:
    orders: Orders
    outbox: Outbox
    inbox: Inbox
    history: History
    drivers: Drivers

    async def kept(self, order_id: str, *moves: Transition) -> Order:
        """An order after its creation and these transitions; its drivers are registered."""
        assert await self.orders.add(an_order(order_id))
        for move in moves:
            order = await self.orders.get(order_id)
            move(order, by=CLIENT)
            if order.driver_id:
                await self.drivers.put(Driver(order.driver_id, order.driver_id))
            await self.orders.save(order)
        return await self.orders.get(order_id)

    async def published(self) -> list[Message]:
        """All messages of the outbox, in the order in which a relay claims them, marked as published."""
        taken: list[Message] = []
        while True:
            async with self.outbox.claiming(100) as claim:
                if not claim.messages:
                    return taken
                taken += claim.messages
                await claim.settle([None] * len(claim.messages))


async def registered(store: Store) -> Store:
    """The store, in which the drivers that tests name are registered."""
    for driver_id in DRIVERS:
        await store.drivers.put(Driver(driver_id, driver_id))
    return store


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncGenerator[Store]:
    if request.param == "memory":
        orders = MemoryOrders()
        outbox, inbox, history = MemoryOutbox(orders), MemoryInbox(orders), MemoryHistory(orders)
        yield await registered(Store(orders, outbox, inbox, history, MemoryDrivers(orders)))
        return
    async with create_pool(request.getfixturevalue("clean_database"), size=8, wait_seconds=5) as pool:
        outbox, inbox, history = PostgresOutbox(pool), PostgresInbox(pool), PostgresHistory(pool)
        yield await registered(Store(PostgresOrders(pool), outbox, inbox, history, PostgresDrivers(pool)))
