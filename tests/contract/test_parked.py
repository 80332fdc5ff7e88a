"""What every `Parked` promises, in memory and in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from gofleet.adapters.memory.parked import MemoryParked
from gofleet.adapters.postgres.links import a_pool
from gofleet.adapters.postgres.parked import PostgresParked
from gofleet.domain.messages import Delivery
from gofleet.ports import Parked


@pytest.fixture(params=["memory", "postgres"])
async def parked(request: pytest.FixtureRequest) -> AsyncGenerator[Parked]:
    if request.param == "memory":
        yield MemoryParked()
        return
    async with a_pool(request.getfixturevalue("clean_database"), size=2, wait_seconds=5) as pool:
        yield PostgresParked(pool)


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
async def test_whatever_arrives_can_be_parked(parked: Parked, delivery: Delivery) -> None:
    await parked.add(delivery, "no event: \x00 \ud800")

    assert await parked.count() == 1
