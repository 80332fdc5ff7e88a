"""A slow, locked or overloaded database is answered with 503 and Retry-After, in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.server import serving
from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.pool import create_pool
from gofleet.usecases.create_order import CreateOrder
from gofleet.usecases.transitions import CancelOrder
from tests.roles.conftest import World
from tests.waiting import eventually

ORDER = {"id": "o-1", "price": 10, "tax": 1}
BOUNDED = 5.0
"""Far less than a client waits, and far more than the timeouts below."""


@asynccontextmanager
async def an_api(
    database: str, bounds: str, *, connections: int = 2, wait_seconds: float = 5.0
) -> AsyncGenerator[httpx.AsyncClient]:
    """The API over PostgreSQL with these session bounds."""
    async with create_pool(
        make_conninfo(database, options=bounds), size=connections, wait_seconds=wait_seconds
    ) as pool:
        orders = PostgresOrders(pool)
        api = replace(World().api(), orders=orders, create_order=CreateOrder(orders), cancel_order=CancelOrder(orders))
        async with (
            serving(api_app(api), "127.0.0.1", 0, grace_seconds=2) as listening,
            httpx.AsyncClient(base_url=listening.url, timeout=BOUNDED, trust_env=False) as client,
        ):
            yield client


def waits_for_a_lock(database: str) -> bool:
    with psycopg.connect(database, autocommit=True) as connection:
        waiting = connection.execute(
            "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )
        return waiting.fetchone() is not None


def is_unavailable(answer: httpx.Response) -> bool:
    assert answer.json()["type"] == "/problems/unavailable"
    return answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("bounds", ["-c lock_timeout=300", "-c statement_timeout=300"])
async def test_a_locked_row_is_unavailable_in_time(clean_database: str, bounds: str) -> None:
    async with an_api(clean_database, bounds) as client:
        assert (await client.post("/api/v1/orders", json=ORDER)).status_code == 201
        with psycopg.connect(clean_database) as locker:
            locker.execute("select from orders where id = 'o-1' for update")
            assert is_unavailable(await client.post("/api/v1/orders/o-1/cancel"))

        assert (await client.post("/api/v1/orders/o-1/cancel")).json()["status"] == "CANCELLED"


async def test_a_locked_table_delays_no_other_request(clean_database: str) -> None:
    async with an_api(clean_database, "-c lock_timeout=300") as client:
        with psycopg.connect(clean_database) as locker:
            locker.execute("lock table orders in access exclusive mode")
            answers = await asyncio.gather(
                client.post("/api/v1/orders", json=ORDER),
                client.get("/api/v1/orders"),
                client.get("/api/v1/orders/o-1"),
            )
            assert all(is_unavailable(answer) for answer in answers)

        assert (await client.post("/api/v1/orders", json=ORDER)).status_code == 201


async def test_a_request_without_a_free_connection_is_unavailable(clean_database: str) -> None:
    async with an_api(clean_database, "-c lock_timeout=3000", connections=1, wait_seconds=0.2) as client:
        assert (await client.post("/api/v1/orders", json=ORDER)).status_code == 201
        with psycopg.connect(clean_database) as locker:
            locker.execute("select from orders where id = 'o-1' for update")
            waiting = asyncio.create_task(client.post("/api/v1/orders/o-1/cancel"))
            await eventually(lambda: waits_for_a_lock(clean_database))  # so it has the only connection
            answers = await asyncio.gather(*(client.get("/api/v1/orders/o-1") for _ in range(5)))
            locker.rollback()

        assert (await waiting).status_code == 200
        assert all(is_unavailable(answer) for answer in answers)
