"""Where a search begins changes its cost and not its result, and is learnt from the search before."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from random import Random
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from gofleet.adapters.redis.positions import RedisPositions
from gofleet.adapters.redis.reaches import SMALLEST_M, STEPS, SearchReaches
from gofleet.domain.driver import Candidate
from gofleet.domain.place import Place
from gofleet.ports import Search
from tests.makers import CENTRE, a_position, on_the_map
from tests.ports.redises import SERVERS, a_client

RADIUS_KM = 5.0
RADIUS_M = RADIUS_KM * 1000
PLACES = 25


class Begins(SearchReaches):
    """Every search begins with this radius."""

    def __init__(self, metres: float) -> None:
        super().__init__()
        self.metres = metres

    def first(self, place: Place, radius_m: float) -> float:
        return min(self.metres, radius_m)


@pytest.fixture(params=SERVERS)
async def server(request: pytest.FixtureRequest) -> AsyncGenerator[tuple[Redis, str]]:
    async with a_client(request, request.param) as client:
        yield client


def positions(server: tuple[Redis, str], name: str = "") -> RedisPositions:
    redis, prefix = server
    return RedisPositions(redis, prefix=prefix + name, stale_seconds=60, claim_ms=10_000)


async def outcomes(fleet: RedisPositions, seed: int) -> list[list[Candidate]]:
    """The results of one random series of searches: repeated, with exclusions, from several places, among drivers that
    earlier ones have claimed and others that are taken."""
    random = Random(seed)  # noqa: S311  reproducible
    drivers = [f"d-{number}" for number in range(random.choice([3, 40, 150]))]
    spread_m = random.choice([100, 2000, 8000])
    await on_the_map(fleet, [a_position(one, metres_north=random.uniform(0, spread_m)) for one in drivers])
    for taken in random.sample(drivers, len(drivers) // 3):
        await fleet.occupy(taken, f"o-of-{taken}", 2)
    found = list[list[Candidate]]()
    for number in range(PLACES):
        place = Place(CENTRE.lat + random.uniform(-0.02, 0.08), CENTRE.lng)
        exclude = tuple(random.sample(drivers, random.choice([0, 0, 2])))
        search = Search(f"o-{number % 10}", place, random.choice([1.0, RADIUS_KM]), exclude=exclude)
        found.append(await fleet.claim_nearest(search))
    return found


@pytest.mark.parametrize("seed", range(6))
async def test_the_result_is_the_same_wherever_a_search_begins(server: tuple[Redis, str], seed: int) -> None:
    plain = positions(server, "plain:")
    plain._reaches = Begins(RADIUS_M / STEPS)  # pyright: ignore[reportPrivateUsage]
    expected = await outcomes(plain, seed)
    assert any(expected)

    assert await outcomes(positions(server, "learning:"), seed) == expected
    for metres in (SMALLEST_M, 300.0, RADIUS_M):
        fleet = positions(server, f"{metres}:")
        fleet._reaches = Begins(metres)  # pyright: ignore[reportPrivateUsage]
        assert await outcomes(fleet, seed) == expected


async def geosearches(redis: Redis) -> int:
    """Calls since the server started."""
    return int((await cast("Any", redis).info("commandstats"))["cmdstat_geosearch"]["calls"])


async def cost(server: tuple[Redis, str], fleet: RedisPositions, order: str) -> int:
    before = await geosearches(server[0])
    assert await fleet.claim_nearest(Search(order, CENTRE, RADIUS_KM))
    return await geosearches(server[0]) - before


async def test_searches_from_a_place_with_distant_drivers_begin_farther_away(server: tuple[Redis, str]) -> None:
    fleet = positions(server)
    await on_the_map(fleet, [a_position(f"d-{n}", metres_north=3000 + n) for n in range(50)])

    assert await cost(server, fleet, "o-1") > 5
    assert await cost(server, fleet, "o-2") == 1


async def test_a_search_that_began_too_far_away_is_corrected(server: tuple[Redis, str]) -> None:
    fleet = positions(server)
    reaches = fleet._reaches  # pyright: ignore[reportPrivateUsage]
    await on_the_map(fleet, [a_position(f"d-{n}", metres_north=3000 + n) for n in range(5)])
    await cost(server, fleet, "o-1")
    assert reaches.first(CENTRE, RADIUS_M) > 3000
    await on_the_map(fleet, [a_position(f"e-{n}", metres_north=n) for n in range(500)])

    await cost(server, fleet, "o-2")

    assert reaches.first(CENTRE, RADIUS_M) == SMALLEST_M


def test_what_is_learnt_is_bounded_and_within_the_search() -> None:
    reaches = SearchReaches(places_max=3)
    places = [Place(10.0 + number, 20.0) for number in range(4)]
    for place in places:
        reaches.learn(place, 400.0)

    assert reaches.first(places[0], RADIUS_M) == RADIUS_M / STEPS  # the oldest one is forgotten
    assert reaches.first(places[3], RADIUS_M) == 500.0
    assert reaches.first(places[3], 450.0) == 450.0
    reaches.learn(places[3], 0.0)
    assert reaches.first(places[3], RADIUS_M) == SMALLEST_M
