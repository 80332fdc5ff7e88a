"""Responses to generated requests of one role agree with the description and contain nothing of another owner."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from gofleet.adapters.postgres.orders import PostgresOrders
from gofleet.adapters.postgres.pool import create_pool
from gofleet.embedded import Postgres, Valkey
from tests.auth.mint import AUDIENCE, FIRST, claims, published, token
from tests.auth.provider import a_provider
from tests.databases import register
from tests.fuzz.hooks import CUSTOMER, MARKER
from tests.fuzz.run import an_api, furnish, fuzz
from tests.makers import an_order, dispatch_to

EXAMPLES = 8
SEED = 1
FOREIGN = "zz-foreign-zz"


async def foreign_rows(conninfo: str) -> None:
    """Add orders, customers and drivers whose names contain the marker."""
    async with create_pool(conninfo, size=2, wait_seconds=5) as pool:
        orders = PostgresOrders(pool)
        await register(pool, *(f"{FOREIGN}-driver-{number}" for number in range(10)))
        for number in range(10):
            id = f"{FOREIGN}-{number}"
            await orders.add(an_order(id, customer_id=f"{FOREIGN}-customer"))
            if number % 2:
                order = await orders.get(id)
                dispatch_to(f"{FOREIGN}-driver-{number}")(order, by="worker")
                await orders.save(order)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("role", ["customer", "driver", "dispatcher", "admin"])
async def test_responses_to_each_role_agree_with_the_description(
    role: str, postgres_server: Postgres, valkey_server: Valkey, clean_database: str, tmp_path: Path
) -> None:
    database = str(conninfo_to_dict(clean_database)["dbname"])
    await furnish(postgres_server, database)
    await foreign_rows(clean_database)
    async with a_provider() as provider:
        provider.publish(published(FIRST))
        settings = {"AUTH": "oidc", "AUTH_ISSUER": provider.url, "AUTH_AUDIENCE": AUDIENCE}
        given = token(claims(iss=provider.url, sub=f"some-{role}", roles=[role], exp=claims()["iat"] + 3000))
        with an_api(postgres_server, valkey_server, database, tmp_path, **settings) as installation:
            variables = {MARKER: FOREIGN} if role in {"customer", "driver"} else {}
            variables |= {CUSTOMER: "1"} if role == "customer" else {}
            outcome = await asyncio.to_thread(
                fuzz, installation.api, tmp_path, examples=EXAMPLES, seed=SEED, token=given, **variables
            )
            logged = [event for process in installation.processes for event in process.events()]

    assert outcome.flawless, outcome.output
    assert outcome.cases > 300
    assert outcome.leaks == ""
    assert [event for event in logged if event.get("event") == "request failed"] == []
