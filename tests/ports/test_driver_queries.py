"""The contract of the queries of `Positions`."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from gofleet.adapters.redis.driver_queries import EXAMINED_MAX
from gofleet.adapters.redis.positions import RedisPositions
from gofleet.domain.driver import AreaQuery, Driver, DriverState, Position
from gofleet.domain.place import BoundingBox, Place, distance_m
from gofleet.ports import Positions, Search
from gofleet.testing.positions import MemoryPositions
from tests.makers import CENTRE, a_position, on_the_map
from tests.ports.redises import SERVERS, a_client
from tests.waiting import eventually

WORLD = BoundingBox(-180, -90, 180, 90)
TOWN = BoundingBox(CENTRE.lng - 0.1, CENTRE.lat - 0.1, CENTRE.lng + 0.1, CENTRE.lat + 0.1)
# (forget_seconds) -> positions
Make = Callable[[float], Positions]


@pytest.fixture(params=["memory", *SERVERS])
async def make(request: pytest.FixtureRequest) -> AsyncGenerator[Make]:
    if request.param == "memory":
        yield lambda forget: MemoryPositions(stale_seconds=60, claim_ms=60_000, forget_seconds=forget)
        return
    async with AsyncExitStack() as stack:
        redis, prefix = await stack.enter_async_context(a_client(request, request.param))
        yield lambda forget: RedisPositions(
            redis, prefix=prefix, stale_seconds=60, claim_ms=60_000, forget_seconds=forget
        )


@pytest.fixture
def positions(make: Make) -> Positions:
    return make(3600)


async def inside(positions: Positions, area: AreaQuery) -> list[str]:
    return [one.position.driver_id for one in (await positions.within(area)).sightings]


async def near(positions: Positions, *, radius_km: float = 5, limit: int = 10) -> list[str]:
    return [one.position.driver_id for one in await positions.nearest(CENTRE, radius_km, limit)]


async def a_mixed_town(positions: Positions) -> None:
    """One driver of each kind, in alphabetical order from south to north."""
    for metres, driver_id in enumerate(["busy", "free", "off", "stale"], start=1):
        age = 61 if driver_id == "stale" else 0
        await on_the_map(positions, [a_position(driver_id, metres_north=100 * metres, age_seconds=age)])
    await positions.occupy("busy", "o-1", 2)
    await positions.register(Driver("off", "Off Duty", on_duty=False))


async def test_a_sighting_has_name_place_time_and_distance(positions: Positions) -> None:
    await positions.register(Driver("ana", "Ana Souza"))
    at = datetime.now(UTC).replace(microsecond=123_000)
    fix = Position("ana", Place(CENTRE.lat + 1000 / 111_195, CENTRE.lng), at)
    await on_the_map(positions, [fix])

    [near_by] = await positions.nearest(CENTRE, 5, 10)
    [inside] = (await positions.within(AreaQuery(TOWN))).sightings
    [located] = await positions.locate(["ana"])

    for one in (near_by, inside, located):
        assert (one.position, one.name, one.on_duty, one.free) == (fix, "Ana Souza", True, True)
    assert near_by.distance_m == pytest.approx(1000, abs=2)


async def test_nearest_returns_drivers_on_duty_nearest_first(positions: Positions) -> None:
    await a_mixed_town(positions)
    await on_the_map(positions, [a_position("far", metres_north=5100)])

    found = await positions.nearest(CENTRE, 5, 10)

    assert [(one.position.driver_id, one.free) for one in found] == [("busy", False), ("free", True), ("stale", False)]
    assert [one.state for one in found] == [DriverState.BUSY, DriverState.FREE, DriverState.SILENT]
    assert await near(positions, limit=2) == ["busy", "free"]
    assert await near(positions, radius_km=6) == ["busy", "free", "stale", "far"]


async def test_queries_claim_no_driver_and_show_claimed_drivers_as_free(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana")])
    await positions.nearest(CENTRE, 5, 10)

    assert [one.driver_id for one in await positions.claim_nearest(Search("o-1", CENTRE, 5))] == ["ana"]
    [ana] = await positions.nearest(CENTRE, 5, 10)
    assert ana.free


@pytest.mark.parametrize(
    ("free", "on_duty", "shown"),
    [
        (None, None, ["busy", "free", "off", "stale"]),
        (True, None, ["free"]),
        (False, None, ["busy", "off", "stale"]),
        (None, False, ["off"]),
        (False, True, ["busy", "stale"]),
        (True, False, []),
    ],
)
async def test_an_area_query_applies_its_filters(
    positions: Positions, free: bool | None, on_duty: bool | None, shown: list[str]
) -> None:
    await a_mixed_town(positions)

    assert sorted(await inside(positions, AreaQuery(TOWN, free, on_duty))) == shown


async def test_a_driver_with_a_stale_position_is_shown_but_not_free(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana", age_seconds=59.8)])

    assert await eventually(lambda: _shown_as_silent(positions))
    assert await inside(positions, AreaQuery(TOWN, free=True)) == []


async def _shown_as_silent(positions: Positions) -> bool:
    [ana] = (await positions.within(AreaQuery(TOWN))).sightings
    return ana.state is DriverState.SILENT


async def test_a_freed_driver_is_shown_as_free(positions: Positions) -> None:
    await a_mixed_town(positions)

    await positions.free("busy", "o-1", 3)
    await positions.register(Driver("off", "Back"))

    assert sorted(await inside(positions, AreaQuery(TOWN, free=True))) == ["busy", "free", "off"]


async def test_area_results_are_nearest_to_the_centre_first_and_limited(positions: Positions) -> None:
    await on_the_map(
        positions, [a_position(f"d-{number:04}", metres_north=number) for number in reversed(range(1, 1001))]
    )

    found = await inside(positions, AreaQuery(TOWN, limit=500))

    assert found == [f"d-{number:04}" for number in range(1, 501)]


async def test_an_area_says_whether_drivers_are_missing_and_counts_on_demand(positions: Positions) -> None:
    await a_mixed_town(positions)

    exact = await positions.within(AreaQuery(TOWN, limit=4))
    assert (exact.truncated, exact.total) == (False, None)
    fewer = await positions.within(AreaQuery(TOWN, limit=3, count=True))
    assert (len(fewer.sightings), fewer.truncated, fewer.total) == (3, True, 4)
    filtered = await positions.within(AreaQuery(TOWN, free=True, limit=3, count=True))
    assert ([one.state for one in filtered.sightings], filtered.truncated, filtered.total) == (["free"], False, 1)
    empty = await positions.within(AreaQuery(BoundingBox(1, 1, 2, 2), count=True))
    assert (empty.sightings, empty.truncated, empty.total) == ([], False, 0)


async def test_counts_many_drivers_beyond_the_limit(positions: Positions) -> None:
    await on_the_map(positions, [a_position(f"d-{number}", metres_north=number) for number in range(901)])

    found = await positions.within(AreaQuery(TOWN, limit=500, count=True))

    assert (len(found.sightings), found.truncated, found.total) == (500, True, 901)


async def test_a_driver_off_duty_with_an_order_is_busy(positions: Positions) -> None:
    await a_mixed_town(positions)
    await positions.occupy("off", "o-2", 2)
    await positions.register(Driver("busy", "Busy", on_duty=False))

    located = {one.position.driver_id: one.state for one in await positions.locate(["busy", "off", "stale"])}
    assert located == {"busy": "busy", "off": "busy", "stale": "silent"}
    await positions.free("off", "o-2", 3)
    assert [one.state for one in await positions.locate(["off"])] == ["off_duty"]


async def test_finds_few_matching_drivers_among_many_others(positions: Positions) -> None:
    await on_the_map(positions, [a_position(f"d-{number}", metres_north=number) for number in range(900)])
    for number in (3, 450, 899):
        await positions.register(Driver(f"d-{number}", "Off", on_duty=False))

    assert await inside(positions, AreaQuery(TOWN, on_duty=False, limit=2)) == ["d-3", "d-450"]
    assert await inside(positions, AreaQuery(TOWN, on_duty=False, limit=5)) == ["d-3", "d-450", "d-899"]


@pytest.mark.parametrize("seed", range(3))
async def test_a_box_contains_exactly_the_drivers_inside(positions: Positions, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  not a secret
    places = [Place(chance.uniform(-85.05, 85.05), chance.uniform(-180, 180)) for _ in range(300)]
    places += [Place(lat, lng) for lat in (-85.05, 0.001, 85.05) for lng in (-180.0, -90.0, 0.001, 179.99999, 180.0)]
    places += [Place(CENTRE.lat + chance.gauss(0, 0.1), CENTRE.lng + chance.gauss(0, 0.1)) for _ in range(300)]
    now = datetime.now(UTC)
    await on_the_map(positions, [Position(f"d-{number}", place, now) for number, place in enumerate(places)])
    boxes = [
        WORLD,
        BoundingBox(-180, 80, 180, 90),
        BoundingBox(-180, -90, 180, -85.05),
        BoundingBox(0, -90, 180, 0),
        BoundingBox(-180, -1, 180, 1),
    ]
    boxes += [BoundingBox(179, -10, 180, 10), BoundingBox(-180, 86, 180, 90)]
    boxes += [_a_box(chance) for _ in range(60)]

    for box in boxes:
        expected = {f"d-{number}" for number, place in enumerate(places) if box.contains(place)}
        found = (await positions.within(AreaQuery(box, limit=1000))).sightings
        assert {one.position.driver_id for one in found} == expected, box
        distances = [distance_m(one.position.place, box.center) for one in found]
        assert all(later > sooner - 2 for sooner, later in pairwise(distances)), box
        few = (await positions.within(AreaQuery(box, limit=7))).sightings
        nearest = [distance_m(one.position.place, box.center) for one in few]
        assert nearest == pytest.approx(distances[:7], abs=2), box


def _a_box(chance: random.Random) -> BoundingBox:
    size = 10 ** chance.uniform(-3, 2.3)
    centre = CENTRE if size < 1 else Place(chance.uniform(-90, 90), chance.uniform(-180, 180))
    width, height = size * chance.uniform(0.1, 1), size * chance.uniform(0.1, 1)
    west, south = max(centre.lng - width, -180), max(centre.lat - height, -90)
    return BoundingBox(west, south, min(centre.lng + width, 180), min(centre.lat + height, 90))


async def test_the_edges_of_a_box_belong_to_it(positions: Positions) -> None:
    now = datetime.now(UTC)
    corners = [Place(lat, lng) for lat in (TOWN.min_lat, TOWN.max_lat) for lng in (TOWN.min_lng, TOWN.max_lng)]
    await on_the_map(positions, [Position(f"d-{number}", place, now) for number, place in enumerate(corners)])

    assert len(await inside(positions, AreaQuery(TOWN))) == 4


@pytest.mark.parametrize("box", [BoundingBox(179, -10, 180, 10), BoundingBox(-180, -10, -179, 10)])
async def test_longitudes_180_and_minus_180_are_one_edge(positions: Positions, box: BoundingBox) -> None:
    now = datetime.now(UTC)
    await on_the_map(positions, [Position(f"at{lng}", Place(1, lng), now) for lng in (180, -180)])

    assert sorted(await inside(positions, AreaQuery(box))) == ["at-180", "at180"]


async def test_locate_returns_known_drivers_once_in_request_order(positions: Positions) -> None:
    await on_the_map(positions, [a_position(f"d-{number}") for number in range(500)])
    await positions.register(Driver("nowhere", "Never moved"))

    requested = [f"d-{number}" for number in reversed(range(500))]
    found = await positions.locate([*requested, "d-3", "unregistered", "nowhere"])

    assert [one.position.driver_id for one in found] == requested
    assert await positions.locate([]) == []


async def test_a_new_position_replaces_the_old_one(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana")])
    await on_the_map(positions, [a_position("ana", metres_north=50_000)])

    assert await inside(positions, AreaQuery(TOWN)) == []
    assert await near(positions) == []


async def test_drivers_without_updates_expire_and_registration_counts_as_an_update(make: Make) -> None:
    positions = make(1.0)
    await on_the_map(positions, [a_position("gone"), a_position("kept")])

    async def only_kept() -> bool:
        await positions.register(Driver("kept", "Kept"))
        return await inside(positions, AreaQuery(TOWN)) == ["kept"]

    assert await eventually(only_kept)
    assert await positions.locate(["gone"]) == []
    await on_the_map(positions, [a_position("gone")])
    assert sorted(await inside(positions, AreaQuery(TOWN))) == ["gone", "kept"]


@pytest.mark.parametrize("server", SERVERS)
async def test_a_query_examines_a_bounded_number_of_drivers(request: pytest.FixtureRequest, server: str) -> None:
    async with a_client(request, server) as (redis, prefix):
        positions = RedisPositions(redis, prefix=prefix, stale_seconds=60, claim_ms=1000)
        await on_the_map(positions, [a_position(f"d-{number}") for number in range(EXAMINED_MAX)])
        await on_the_map(positions, [a_position("off", metres_north=1000)])
        await positions.register(Driver("off", "Off", on_duty=False))

        assert await inside(positions, AreaQuery(TOWN, on_duty=False)) == []
        smaller = BoundingBox(TOWN.min_lng, CENTRE.lat + 0.005, TOWN.max_lng, TOWN.max_lat)
        assert await inside(positions, AreaQuery(smaller, on_duty=False)) == ["off"]


@pytest.mark.parametrize("server", SERVERS)
async def test_expired_drivers_are_removed_from_the_indexes(request: pytest.FixtureRequest, server: str) -> None:
    async with a_client(request, server) as (redis, prefix):
        positions = RedisPositions(redis, prefix=prefix, stale_seconds=60, claim_ms=1000, forget_seconds=0.2)
        await on_the_map(positions, [a_position(f"d-{number}") for number in range(100)])

        async def one_is_left() -> bool:
            await on_the_map(positions, [a_position("here")])
            sets = [f"{prefix}drivers:{each}" for each in ("free", "seen", "heard")]
            return [await redis.zcard(each) for each in sets] == [1, 1, 1]

        assert await eventually(one_is_left)
