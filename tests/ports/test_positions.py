"""The contract of `Positions`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from gofleet.adapters.redis.positions import RedisPositions
from gofleet.domain.driver import Driver, Position, PositionOutcome, PositionTooFar
from gofleet.domain.place import Place, distance_m
from gofleet.ports import Holding, Positions, Search
from gofleet.testing.positions import MemoryPositions
from tests.makers import CENTRE, a_position, on_the_map
from tests.ports.redises import SERVERS, a_client
from tests.waiting import eventually

STORED, OLDER, UNREGISTERED = PositionOutcome.STORED, PositionOutcome.OLDER, PositionOutcome.UNREGISTERED
# (claim_ms) -> positions
Make = Callable[[int], Positions]


@pytest.fixture(params=["memory", *SERVERS])
async def make(request: pytest.FixtureRequest) -> AsyncGenerator[Make]:
    if request.param == "memory":
        yield lambda claim_ms: MemoryPositions(stale_seconds=60, claim_ms=claim_ms)
        return
    async with a_client(request, request.param) as (redis, prefix):
        yield lambda claim_ms: RedisPositions(redis, prefix=prefix, stale_seconds=60, claim_ms=claim_ms)


@pytest.fixture
def positions(make: Make) -> Positions:
    return make(60_000)


def a_search(
    order_id: str = "o-1", *, near: Place = CENTRE, radius_km: float = 5, limit: int = 5, exclude: tuple[str, ...] = ()
) -> Search:
    return Search(order_id, near, radius_km, limit, exclude)


async def registrations(positions: Positions) -> dict[str, int | None]:
    return {
        id: version for page in [page async for page in positions.registrations(1000)] for id, version in page.items()
    }


async def found(positions: Positions, search: Search) -> list[str]:
    return [candidate.driver_id for candidate in await positions.claim_nearest(search)]


async def test_candidates_are_nearest_first_and_within_the_radius(positions: Positions) -> None:
    for driver_id, metres in {"far": 3000, "near": 100, "middle": 900, "outside": 5100}.items():
        await on_the_map(positions, [a_position(driver_id, metres_north=metres)])

    assert await found(positions, a_search()) == ["near", "middle", "far"]


async def test_a_candidate_has_name_place_and_distance(positions: Positions) -> None:
    await positions.register(Driver("ana", "Ana Souza"))
    fix = a_position("ana", metres_north=1000)
    await on_the_map(positions, [fix])

    [ana] = await positions.claim_nearest(a_search())

    assert (ana.driver_id, ana.name, ana.place) == ("ana", "Ana Souza", fix.place)
    assert ana.distance_m == pytest.approx(1000, abs=2)


async def test_distances_are_measured_alike_everywhere(positions: Positions) -> None:
    paris, berlin = Place(48.8566, 2.3522), Place(52.52, 13.405)
    await on_the_map(positions, [a_position("ana", near=berlin)])

    [ana] = await positions.claim_nearest(a_search(near=paris, radius_km=1000))

    assert ana.distance_m == pytest.approx(877_700, abs=500)


async def test_no_driver_nearby_is_an_empty_result(positions: Positions) -> None:
    assert await positions.claim_nearest(a_search()) == []


async def test_an_unregistered_driver_is_neither_found_nor_seen(positions: Positions) -> None:
    for _ in range(2):
        assert await positions.update_positions([a_position("ana")]) == [UNREGISTERED]
    assert await positions.update_own_position(a_position("bia"), 200) is UNREGISTERED
    await positions.occupy("ana", "o-1", 2)
    await positions.free("ana", "o-1", 3)

    assert await found(positions, a_search()) == []
    assert await positions.nearest(CENTRE, 5, 10) == []
    assert await positions.locate(["ana", "bia"]) == []
    assert await registrations(positions) == {"ana": None, "bia": None}


async def test_a_driver_counts_where_it_was_when_it_is_registered(positions: Positions) -> None:
    newest = a_position("ana", metres_north=300)
    await positions.update_positions([newest, a_position("ana", age_seconds=20)])

    await positions.register(Driver("ana", "Ana"))

    [ana] = await positions.claim_nearest(a_search())
    assert (ana.name, ana.place) == ("Ana", newest.place)
    [seen] = await positions.nearest(CENTRE, 5, 10)
    assert (seen.on_duty, seen.free) == (True, True)
    assert await positions.update_positions([a_position("ana")]) == [STORED]


async def test_an_older_record_does_not_replace_a_newer_one(positions: Positions) -> None:
    await positions.register(Driver("ana", "Ana", on_duty=False, version=3))
    await positions.register(Driver("ana", "Ana", version=2))
    await on_the_map(positions, [a_position("ana")])
    assert await registrations(positions) == {"ana": 3}
    assert await found(positions, a_search()) == []

    await positions.register(Driver("ana", "Ana", version=2), seen=2)  # it has changed since
    assert await registrations(positions) == {"ana": 3}
    await positions.register(Driver("ana", "Ana", version=2), seen=3)  # the database has lost a version
    assert await registrations(positions) == {"ana": 2}
    assert await found(positions, a_search()) == ["ana"]
    await positions.register(Driver("ana", "Ana", on_duty=False, version=3), seen=1)
    assert await found(positions, a_search()) == []


async def test_an_unregistered_driver_vanishes_unless_registered_anew_meanwhile(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana")])
    await positions.register(Driver("ana", "Ana", version=2))

    for seen in (1, None):
        await positions.unregister("ana", seen)
        assert len(await positions.locate(["ana"])) == 1

    await positions.unregister("ana", 2)
    assert await positions.locate(["ana"]) == []
    assert await positions.nearest(CENTRE, 5, 10) == []
    assert await found(positions, a_search()) == []
    await positions.register(Driver("ana", "Ana", version=3))
    await positions.unregister("ana", None)
    assert await found(positions, a_search()) == ["ana"]


async def test_a_driver_that_holds_an_order_is_not_free_when_it_is_registered(positions: Positions) -> None:
    await positions.occupy("ana", "o-1", 2)

    await on_the_map(positions, [a_position("ana")])

    assert await found(positions, a_search("o-2")) == []


async def test_registrations_come_in_pages(positions: Positions) -> None:
    for number in range(250):
        await positions.register(Driver(f"d-{number}", "D", version=number + 1))
    await positions.update_positions([a_position("a:b")])

    pages = [page async for page in positions.registrations(100)]

    assert len(pages) > 1
    assert {id: version for page in pages for id, version in page.items()} == {
        "a:b": None, **{f"d-{number}": number + 1 for number in range(250)}
    }  # fmt: skip


async def test_the_limit_holds_for_drivers_at_one_place(positions: Positions) -> None:
    await on_the_map(positions, [a_position(f"d-{number}") for number in range(100)])

    answers = await found(positions, a_search(limit=7))

    assert len(answers) == len(set(answers)) == 7


async def test_a_claimed_driver_is_not_offered_to_another_order(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana"), a_position("bia", metres_north=500)])

    assert (await found(positions, a_search("o-1")))[0] == "ana"
    assert await found(positions, a_search("o-2")) == ["bia"]
    assert await found(positions, a_search("o-3")) == []


async def test_the_same_order_gets_its_driver_back_first(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana", metres_north=500)])
    assert await found(positions, a_search("o-1")) == ["ana"]
    await on_the_map(positions, [a_position(f"d-{number}", metres_north=10) for number in range(60)])

    again = await found(positions, a_search("o-1", limit=3))

    assert again[0] == "ana"
    assert len(set(again)) == 3


async def test_a_claim_on_an_excluded_driver_is_released(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana"), a_position("bia", metres_north=500)])
    await found(positions, a_search("o-1"))

    assert await found(positions, a_search("o-1", exclude=("ana",))) == ["bia"]
    assert await found(positions, a_search("o-2")) == ["ana"]


async def test_a_claim_expires(make: Make) -> None:
    positions = make(50)
    await on_the_map(positions, [a_position("ana")])
    assert await found(positions, a_search("o-1")) == ["ana"]

    await eventually(lambda: found(positions, a_search("o-2")))


async def test_concurrent_searches_get_different_drivers(positions: Positions) -> None:
    await on_the_map(positions, [a_position(f"d-{number}", metres_north=number) for number in range(50)])

    answers = await asyncio.gather(*(found(positions, a_search(f"o-{number}", limit=1)) for number in range(50)))

    assert len({driver_id for [driver_id] in answers}) == 50


async def test_a_search_passes_many_claimed_drivers(positions: Positions) -> None:
    await on_the_map(positions, [a_position(f"d-{number}", metres_north=number) for number in range(200)])
    for number in range(150):
        await positions.claim_nearest(a_search(f"o-{number}", limit=1))

    assert await found(positions, a_search("o-last", limit=2)) == ["d-150", "d-151"]


async def test_an_older_fix_never_overwrites_a_newer_one(positions: Positions) -> None:
    newer, older = a_position("ana"), a_position("ana", metres_north=4000, age_seconds=10)

    await positions.register(Driver("ana", "Ana"))
    assert await positions.update_positions([newer, older, newer]) == [STORED, OLDER, STORED]
    [ana] = await positions.claim_nearest(a_search())

    assert ana.place == newer.place


async def test_many_positions_in_one_call_are_answered_in_order(positions: Positions) -> None:
    batch = [a_position(f"d-{number}") for number in range(1200)]
    batch[700] = a_position("d-3", age_seconds=30)

    for number in range(0, 1200, 2):
        await positions.register(Driver(f"d-{number}", "D"))
    await positions.register(Driver("d-3", "D"))

    outcomes = await positions.update_positions(batch)

    expected = [STORED if number % 2 == 0 or number == 3 else UNREGISTERED for number in range(1200)]
    expected[700] = OLDER
    assert outcomes == expected


async def test_an_empty_update_is_accepted(positions: Positions) -> None:
    assert await positions.update_positions([]) == []


async def test_a_driver_with_a_stale_position_is_not_found_until_the_next_update(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana", age_seconds=61)])
    assert await found(positions, a_search()) == []

    await on_the_map(positions, [a_position("ana")])
    assert await found(positions, a_search()) == ["ana"]


async def test_off_duty_is_never_found_and_back_on_duty_is(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana")])

    await positions.register(Driver("ana", "Ana", on_duty=False))
    await on_the_map(positions, [a_position("ana")])
    assert await found(positions, a_search()) == []

    await positions.register(Driver("ana", "Ana", on_duty=True))
    assert await found(positions, a_search()) == ["ana"]


async def test_back_on_duty_with_a_stale_position_is_not_found(positions: Positions) -> None:
    await positions.register(Driver("ana", "Ana", on_duty=False))
    await on_the_map(positions, [a_position("ana", age_seconds=61)])
    await positions.register(Driver("ana", "Ana", on_duty=True))

    assert await found(positions, a_search()) == []


async def test_a_busy_driver_is_not_found_wherever_it_moves_until_free(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana")])

    await positions.occupy("ana", "o-1", 2)
    await on_the_map(positions, [a_position("ana", metres_north=10)])
    await positions.register(Driver("ana", "Ana"))
    assert await found(positions, a_search("o-2")) == []

    await positions.free("ana", "o-1", 3)
    assert await found(positions, a_search("o-2")) == ["ana"]


async def test_a_drivers_events_may_arrive_in_reverse_order(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana")])

    await positions.free("ana", "o-1", 3)
    await positions.occupy("ana", "o-1", 2)

    assert await found(positions, a_search("o-2")) == ["ana"]


async def test_the_same_driver_may_be_given_the_same_order_again(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana")])

    await positions.occupy("ana", "o-1", 2)
    await positions.free("ana", "o-1", 3)
    await positions.occupy("ana", "o-1", 4)
    await positions.free("ana", "o-1", 3)  # a redelivery
    await positions.occupy("ana", "o-1", 2)

    assert await found(positions, a_search("o-2")) == []


async def test_an_event_of_another_order_does_not_free_the_driver(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana")])

    await positions.occupy("ana", "o-1", 2)
    await positions.free("ana", "o-2", 9)

    assert await found(positions, a_search("o-3")) == []


async def test_a_late_event_of_an_old_order_does_not_affect_the_new_one(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana")])

    await positions.occupy("ana", "new", 2)
    await positions.occupy("ana", "old", 2)
    await positions.free("ana", "old", 3)
    assert await found(positions, a_search("o-3")) == []

    await positions.free("ana", "new", 3)
    assert await found(positions, a_search("o-3")) == ["ana"]


async def test_a_replayed_event_changes_nothing(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana")])
    beginning, end = partial(positions.occupy, "ana", "o-1", 2), partial(positions.free, "ana", "o-1", 3)

    for event in (beginning, beginning, end, beginning, end, beginning):
        await event()

    assert await found(positions, a_search("o-2")) == ["ana"]


async def test_an_order_given_to_its_claimed_driver_needs_no_claim_any_more(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana")])
    await positions.claim_nearest(a_search("o-1"))

    await positions.occupy("ana", "o-1", 2)
    await positions.free("ana", "o-1", 3)

    assert await found(positions, a_search("o-2")) == ["ana"]


async def test_a_claim_of_another_order_survives_the_occupation(positions: Positions) -> None:
    await on_the_map(positions, [a_position("ana")])
    await positions.claim_nearest(a_search("o-2"))

    await positions.occupy("ana", "o-1", 2)
    await positions.free("ana", "o-1", 3)

    assert await found(positions, a_search("o-3")) == []


async def test_a_driver_busy_before_its_first_position_is_not_found(positions: Positions) -> None:
    await positions.occupy("ana", "o-1", 2)
    await on_the_map(positions, [a_position("ana")])

    assert await found(positions, a_search("o-2")) == []


async def test_holdings_lists_the_orders_of_all_drivers(positions: Positions) -> None:
    for number in range(50):
        await positions.occupy(f"driver-{number:02}", f"o-{number}", 2)
    await positions.occupy("driver-00", "o-99", 4)
    await positions.free("driver-01", "o-1", 3)

    holdings = await positions.holdings()

    expected = {Holding(f"driver-{n:02}", f"o-{n}", 2) for n in range(50) if n != 1} | {Holding("driver-00", "o-99", 4)}
    assert len(holdings) == len(expected)
    assert set(holdings) == expected


async def test_holdings_of_a_name_with_wildcards_are_its_own(positions: Positions) -> None:
    await positions.occupy("a:b", "o.1", 2)

    assert await positions.holdings() == [Holding("a:b", "o.1", 2)]


@pytest.mark.parametrize("lng", [180.0, -180.0, 179.9999999, -179.9999999])
@pytest.mark.parametrize("lat", [0.5, -33.0, 80.0])
async def test_the_antimeridian_is_no_border(positions: Positions, lat: float, lng: float) -> None:
    pickup, now = Place(lat, lng), datetime.now(UTC)
    fixes = {"west": 179.99, "east": -179.99, "on": 180.0, "on-too": -180.0}
    await on_the_map(positions, [Position(name, Place(lat, at), now) for name, at in fixes.items()])

    found = await positions.claim_nearest(Search("o-1", pickup, radius_km=5, limit=10))
    seen = await positions.nearest(pickup, 5, 10)

    assert {one.driver_id for one in found} == set(fixes)
    assert {one.position.driver_id for one in seen} == set(fixes)
    for sighting in seen:
        assert sighting.distance_m == pytest.approx(distance_m(pickup, sighting.position.place), abs=2)


HOUR = 3600.0
KMH = 200.0


def an_own_position(metres_north: float, age_seconds: float = 0.0) -> Position:
    return a_position("ana", metres_north=metres_north, age_seconds=age_seconds)


@pytest.fixture
async def ana(positions: Positions) -> Positions:
    """Positions in which she is registered."""
    await positions.register(Driver("ana", "Ana"))
    return positions


async def where(positions: Positions) -> Position:
    [ana] = await positions.locate(["ana"])
    return ana.position


async def test_an_own_position_is_reachable_or_changes_nothing(ana: Positions) -> None:
    start = an_own_position(0, age_seconds=0.01)  # positions of the same millisecond are not older
    assert await ana.update_own_position(start, KMH) is STORED

    with pytest.raises(PositionTooFar, match="than 200 km/h allows"):
        await ana.update_own_position(replace(an_own_position(100_000), recorded_at=start.recorded_at), KMH)
    with pytest.raises(PositionTooFar):
        await ana.update_own_position(an_own_position(600), KMH)

    assert (await where(ana)).place == start.place
    assert await ana.update_own_position(an_own_position(400), KMH) is STORED
    assert await ana.update_own_position(replace(start, place=an_own_position(100_000).place), KMH) is OLDER


async def test_many_small_steps_reach_no_further_than_one(ana: Positions) -> None:
    first = an_own_position(0)
    await ana.update_own_position(first, KMH)
    accepted = 0
    for step in range(1, 91):
        fix = replace(an_own_position(490 * step), recorded_at=first.recorded_at + timedelta(milliseconds=step))
        with suppress(PositionTooFar):
            await ana.update_own_position(fix, KMH)
            accepted = step

    assert accepted == 1


async def test_a_device_cannot_gain_time_by_its_clock(ana: Positions) -> None:
    await ana.update_own_position(an_own_position(0, age_seconds=HOUR), KMH)

    with pytest.raises(PositionTooFar):
        await ana.update_own_position(an_own_position(100_000), KMH)


async def test_standing_still_saves_up_no_distance(ana: Positions) -> None:
    await on_the_map(ana, [an_own_position(0, age_seconds=HOUR)])
    for age in range(59, 0, -1):
        await ana.update_own_position(an_own_position(0, age_seconds=60.0 * age), KMH)
    await ana.update_own_position(an_own_position(0), KMH)

    with pytest.raises(PositionTooFar):
        await ana.update_own_position(an_own_position(1_000), KMH)


async def test_positions_sent_late_together_count_by_their_times(ana: Positions) -> None:
    await on_the_map(ana, [an_own_position(0, age_seconds=HOUR)])

    for minute in range(1, 61):  # 120 km/h, while there was no network
        assert await ana.update_own_position(an_own_position(2_000 * minute, HOUR - 60 * minute), KMH) is STORED


async def test_a_position_set_by_others_is_not_charged(ana: Positions) -> None:
    await ana.update_own_position(an_own_position(0), KMH)
    await on_the_map(ana, [an_own_position(100_000)])

    assert await ana.update_own_position(an_own_position(100_300), KMH) is STORED
