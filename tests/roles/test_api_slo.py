"""GET /slo and the counting of requests."""

from __future__ import annotations

import httpx
import pytest

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.middleware import RequestCounter
from gofleet.adapters.http.server import serving
from gofleet.domain.errors import Unavailable
from gofleet.domain.indicators import RequestCounts
from gofleet.testing.orders import MemoryIndicators
from tests.roles.conftest import World

ORDER = {"id": "o-1", "price": 10, "tax": 1}


async def test_shows_the_indicators(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/slo")

    assert response.status_code == 200
    assert response.json()["window_seconds"] == 900
    assert [
        (each["name"], each["objective"], each["value"], each["met"]) for each in response.json()["indicators"]
    ] == [
        ("ingest", 0.95, None, None),
        ("availability", 0.999, None, None),
        ("dispatch", 0.99, None, None),
        ("success", 0.995, None, None),
    ]


async def test_counts_the_answered_requests(world: World) -> None:
    counter, indicators = RequestCounter(), MemoryIndicators(world.orders)
    app = api_app(world.api(), counter=counter)
    async with serving(app, "127.0.0.1", 0) as listening, httpx.AsyncClient(base_url=listening.url) as client:
        statuses = [
            (await client.post("/api/v1/orders", json=ORDER)).status_code,
            (await client.post("/api/v1/orders", json=ORDER)).status_code,
            (await client.post("/api/v1/orders", json={"id": "o-2"})).status_code,  # a client error
            (await client.get("/api/v1/orders/o-1")).status_code,
            (await client.get("/health/live")).status_code,
            (await client.get("/nowhere")).status_code,
        ]
    await counter.flush(indicators)

    assert statuses == [201, 200, 422, 200, 200, 404]
    [(_, counts)] = indicators.counts.values()
    assert counts == RequestCounts(answered=4, failed=0, ingests=2, fast_ingests=2)


@pytest.mark.parametrize(
    ("status", "seconds", "counts"),
    [
        (201, 0.2, RequestCounts(1, 0, 1, 1)),
        (201, 0.21, RequestCounts(1, 0, 1, 0)),
        (503, 0.01, RequestCounts(1, 1, 1, 0)),
        (429, 0.01, RequestCounts(1, 0, 0, 0)),
    ],
)
async def test_counts_an_ingest_by_status_and_duration(
    world: World, status: int, seconds: float, counts: RequestCounts
) -> None:
    counter, indicators = RequestCounter(), MemoryIndicators(world.orders)

    counter.count("POST", "/api/v1/orders", status, seconds)
    await counter.flush(indicators)

    assert [stored for _, stored in indicators.counts.values()] == [counts]


async def test_sends_counts_of_unknown_outcome_again_without_counting_twice(world: World) -> None:
    class LosesFirstResponse(MemoryIndicators):
        """Stores the counts but raises `Unavailable` at the first call."""

        calls = 0

        async def count(self, process: str, number: int, counts: RequestCounts) -> None:
            await super().count(process, number, counts)
            self.calls += 1
            if self.calls == 1:
                raise Unavailable("PostgreSQL", "the response was lost")

    counter, indicators = RequestCounter(), LosesFirstResponse(world.orders)
    counter.count("GET", "/api/v1/orders", 200, 0.1)
    with pytest.raises(Unavailable):
        await counter.flush(indicators)
    counter.count("GET", "/api/v1/orders", 200, 0.1)
    await counter.flush(indicators)
    await counter.flush(indicators)
    await counter.flush(indicators)  # no new counts

    assert [counts.answered for _, counts in indicators.counts.values()] == [1, 1]
    assert indicators.calls == 3
