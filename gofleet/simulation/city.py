"""Simulated drivers on a map and their trips. Without a clock, input or output."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

from gofleet.domain.place import Place

KM_PER_DEGREE = 111.195
FIRST_NAMES = ("Ana", "Bia", "Caio", "Davi", "Elis", "Gil", "Iara", "João", "Lia", "Nina", "Otto", "Rui", "Tia", "Vera")
LAST_NAMES = ("Alves", "Braga", "Costa", "Dias", "Lima", "Melo", "Nunes", "Pires", "Rocha", "Silva", "Souza", "Vaz")


@dataclass(frozen=True)
class Trip:
    """A driver's route for one order: from the current position to the pickup, and then to the dropoff."""

    order_id: str
    start: Place
    pickup: Place
    dropoff: Place
    started_at: float
    seconds: float

    def at(self, now: float) -> Place:
        """Position of the driver at `now`, in seconds of the same clock as `started_at`."""
        share = min(max((now - self.started_at) / self.seconds, 0.0), 1.0)
        if share < 0.5:
            return _between(self.start, self.pickup, share * 2)
        return _between(self.pickup, self.dropoff, share * 2 - 1)

    def over(self, now: float) -> bool:
        return now >= self.started_at + self.seconds


@dataclass
class SimulatedDriver:
    """Simulated driver, idle or on a trip."""

    id: str
    name: str
    place: Place
    trip: Trip | None = None


@dataclass
class City:
    """A circle of `radius_km` around `centre`; all random values are derived from `seed`."""

    centre: Place
    seed: int
    driver_count: int
    radius_km: float = 2.5
    drivers: dict[str, SimulatedDriver] = field(default_factory=dict[str, SimulatedDriver])

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311  not a secret
        for number in range(1, self.driver_count + 1):
            name = f"{self.random.choice(FIRST_NAMES)} {self.random.choice(LAST_NAMES)}"
            driver = SimulatedDriver(f"driver-{number:03}", name, self.random_place())
            self.drivers[driver.id] = driver

    def random_place(self) -> Place:
        """A uniformly distributed random place in the city."""
        angle, distance_km = self.random.uniform(0, 2 * math.pi), self.radius_km * math.sqrt(self.random.random())
        lat = self.centre.lat + distance_km * math.cos(angle) / KM_PER_DEGREE
        lng = self.centre.lng + distance_km * math.sin(angle) / (KM_PER_DEGREE * math.cos(math.radians(lat)))
        return Place(round(lat, 6), round(lng, 6))

    def price(self) -> tuple[float, float]:
        """Random price and tax of an order."""
        price = round(self.random.uniform(8, 120), 2)
        return price, round(price * 0.1, 2)

    def start_trip(self, driver_id: str, order_id: str, pickup: Place, dropoff: Place, now: float) -> Trip | None:
        """Start the driver's trip for an order; None if it has already started."""
        driver = self.drivers[driver_id]
        if driver.trip is not None and driver.trip.order_id == order_id:
            return None
        driver.trip = Trip(order_id, driver.place, pickup, dropoff, now, self.random.uniform(0.5, 1.5))
        return driver.trip

    def advance(self, now: float) -> list[SimulatedDriver]:
        """Update all positions to the time `now`; idle drivers move a little."""
        for driver in self.drivers.values():
            if driver.trip is not None:
                driver.place = driver.trip.at(now)
            else:
                driver.place = _between(driver.place, self.random_place(), 0.01)
        return list(self.drivers.values())


def _between(start: Place, end: Place, share: float) -> Place:
    return Place(
        round(start.lat + (end.lat - start.lat) * share, 6), round(start.lng + (end.lng - start.lng) * share, 6)
    )
