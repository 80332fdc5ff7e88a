"""A hundred concurrent requests that create the same order."""

from __future__ import annotations

import asyncio

import httpx
import psycopg

from tests.journeys.installation import Installation

BODY = b'{"id":"pedido-100","price":100.0,"tax":10.0,"pickup":{"lat":-23.55,"lng":-46.63}}'
AT_ONCE = 100


async def test_of_a_hundred_equal_requests_one_creates_the_order_and_all_return_it(
    installation: Installation, clean_database: str
) -> None:
    installation.start("api")
    gate = asyncio.Event()

    async def create(http: httpx.AsyncClient) -> httpx.Response:
        await gate.wait()
        return await http.post("/api/v1/orders", content=BODY, headers={"Content-Type": "application/json"})

    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(base_url=installation.api, limits=limits, timeout=30, trust_env=False) as http:
        creating = [asyncio.create_task(create(http)) for _ in range(AT_ONCE)]
        gate.set()
        answers = await asyncio.gather(*creating)

    assert sorted(answer.status_code for answer in answers) == [200] * (AT_ONCE - 1) + [201]
    replayed = [answer for answer in answers if answer.headers.get("idempotent-replayed") == "true"]
    assert {answer.status_code for answer in replayed} == {200}
    assert len(replayed) == AT_ONCE - 1
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["x-request-id"] for answer in answers}) == AT_ONCE
    with psycopg.connect(clean_database) as connection:
        counted = connection.execute("select (select count(*) from orders), (select count(*) from outbox)").fetchone()
    assert counted == (1, 1)
