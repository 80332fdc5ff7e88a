"""Orders, outbox and inbox over one database, in memory and in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest

from gofleet.adapters.postgres.history import PostgresHistory
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.outbox import PostgresInbox, PostgresOutbox
from gofleet.adapters.postgres.pool import create_pool
from gofleet.domain.messages import Message
from gofleet.domain.order import Order
from gofleet.domain.principal import CLIENT
from gofleet.ports import History, Inbox, Orders, Outbox
from gofleet.testing.orders import MemoryHistory, MemoryOrders
from gofleet.testing.outbox import MemoryInbox, MemoryOutbox
from gofleet.usecases.transitions import Transition
from tests.makers import an_order


@dataclass
class Store:
    orders: Orders
    outbox: Outbox
    inbox: Inbox
    history: History

    async def kept(self, order_id: str, *moves: Transition) -> Order:
        """An order after its creation and these transitions."""
        assert await self.orders.add(an_order(order_id))
        for move in moves:
            order = await self.orders.get(order_id)
            move(order, by=CLIENT)
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


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncGenerator[Store]:
    if request.param == "memory":
        orders = MemoryOrders()
        yield Store(orders, MemoryOutbox(orders), MemoryInbox(orders), MemoryHistory(orders))
        return
    async with create_pool(request.getfixturevalue("clean_database"), size=8, wait_seconds=5) as pool:
        yield Store(PostgresOrders(pool), PostgresOutbox(pool), PostgresInbox(pool), PostgresHistory(pool))
