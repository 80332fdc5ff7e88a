"""The demo's simulated city, and its summary."""

from __future__ import annotations

import math

from gofleet.domain.place import Place
from gofleet.simulation.city import KM_PER_DEGREE, City
from gofleet.simulation.summary import OrderOutcome, summarize_orders
from tests.makers import CENTRE


def km(here: Place, there: Place) -> float:
    north = (here.lat - there.lat) * KM_PER_DEGREE
    east = (here.lng - there.lng) * KM_PER_DEGREE * math.cos(math.radians(here.lat))
    return math.hypot(north, east)


def test_the_same_seed_is_the_same_city() -> None:
    first, second, other = City(CENTRE, 1, 20), City(CENTRE, 1, 20), City(CENTRE, 2, 20)

    assert first.drivers == second.drivers
    assert first.drivers != other.drivers


def test_customers_live_inside_the_city() -> None:
    city = City(CENTRE, 1, 200, radius_km=2.5)

    assert all(km(CENTRE, courier.place) <= 2.51 for courier in city.drivers.values())


def test_a_trip_leads_over_the_pickup_to_the_dropoff() -> None:
    city = City(CENTRE, 1, 1)
    (courier,) = city.drivers.values()
    start, pickup, dropoff = courier.place, city.random_place(), city.random_place()
    trip = city.start_trip(courier.id, "o-1", pickup, dropoff, now=100.0)
    assert trip is not None

    assert trip.at(100.0) == start
    assert km(trip.at(100.0 + trip.seconds / 2), pickup) < 0.001
    assert km(trip.at(100.0 + trip.seconds), dropoff) < 0.001
    assert trip.over(100.0 + trip.seconds)
    assert city.start_trip(courier.id, "o-1", pickup, dropoff, now=101.0) is None


def test_a_waiting_or_unknown_order_counts_as_lost() -> None:
    endings = {
        "o-1": OrderOutcome("DELIVERED", 0.010),
        "o-2": OrderOutcome("DELIVERED", 0.030),
        "o-3": OrderOutcome("MANUAL_DISPATCH", None),
        "o-4": OrderOutcome("PENDING", None),
    }

    summary = summarize_orders(["o-1", "o-2", "o-3", "o-4", "o-5"], endings, 1.0, final=True)

    assert (summary.created, summary.dispatched, summary.by_hand, summary.delivered, summary.lost) == (5, 2, 1, 2, 2)
    assert (summary.p50_ms, summary.p95_ms) == (30.0, 30.0)
    assert not summary.good
    assert summarize_orders(["o-4"], endings, 1.0, final=False).lost == 0


def test_all_is_good_only_when_every_order_ended_where_it_should() -> None:
    assert summarize_orders(["o-1"], {"o-1": OrderOutcome("DELIVERED", 0.01)}, 1.0, final=True).good
    assert summarize_orders(["o-1"], {"o-1": OrderOutcome("MANUAL_DISPATCH", None)}, 1.0, final=True).good
    assert not summarize_orders(["o-1"], {"o-1": OrderOutcome("DISPATCHED", 0.01)}, 1.0, final=True).good
    assert not summarize_orders(["o-1"], {}, 1.0, final=True).good
