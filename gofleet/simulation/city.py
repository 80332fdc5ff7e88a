"""Streets without a network: drivers on a map, and trips between places on it. No clock, no input or output."""

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
    """A driver's way for one order: from where they were to the pickup, and on to the dropoff."""

    order_id: str
    start: Place
    pickup: Place
    dropoff: Place
    began: float
    seconds: float

    def at(self, now: float) -> Place:
        """Where the driver is at `now`, in seconds of the same clock as `began`."""
        share = min(max((now - self.began) / self.seconds, 0.0), 1.0)
        if share < 0.5:
            return _between(self.start, self.pickup, share * 2)
        return _between(self.pickup, self.dropoff, share * 2 - 1)

    def over(self, now: float) -> bool:
        return now >= self.began + self.seconds


@dataclass
class Courier:
    """A simulated driver: stands somewhere or is on a trip."""

    id: str
    name: str
    place: Place
    trip: Trip | None = None


@dataclass
class City:
    """`radius_km` around `centre`; everything random in it comes from `seed`."""

    centre: Place
    seed: int
    drivers: int
    radius_km: float = 2.5
    couriers: dict[str, Courier] = field(default_factory=dict[str, Courier])

    def __post_init__(self) -> None:
        self.chance = Random(self.seed)  # noqa: S311  a game, not a secret
        for number in range(1, self.drivers + 1):
            name = f"{self.chance.choice(FIRST_NAMES)} {self.chance.choice(LAST_NAMES)}"
            courier = Courier(f"driver-{number:03}", name, self.somewhere())
            self.couriers[courier.id] = courier

    def somewhere(self) -> Place:
        """A place in the city; all are equally likely."""
        angle, distance_km = self.chance.uniform(0, 2 * math.pi), self.radius_km * math.sqrt(self.chance.random())
        lat = self.centre.lat + distance_km * math.cos(angle) / KM_PER_DEGREE
        lng = self.centre.lng + distance_km * math.sin(angle) / (KM_PER_DEGREE * math.cos(math.radians(lat)))
        return Place(round(lat, 6), round(lng, 6))

    def price(self) -> tuple[float, float]:
        """Price and tax of the next order."""
        price = round(self.chance.uniform(8, 120), 2)
        return price, round(price * 0.1, 2)

    def send(self, courier_id: str, order_id: str, pickup: Place, dropoff: Place, now: float) -> Trip | None:
        """Let the courier drive; None if they do so already."""
        courier = self.couriers[courier_id]
        if courier.trip is not None and courier.trip.order_id == order_id:
            return None
        courier.trip = Trip(order_id, courier.place, pickup, dropoff, now, self.chance.uniform(0.5, 1.5))
        return courier.trip

    def drive(self, now: float) -> list[Courier]:
        """Move everybody to where they are at `now`; idle ones wander a little."""
        for courier in self.couriers.values():
            if courier.trip is not None:
                courier.place = courier.trip.at(now)
            else:
                courier.place = _between(courier.place, self.somewhere(), 0.01)
        return list(self.couriers.values())


def _between(here: Place, there: Place, share: float) -> Place:
    return Place(
        round(here.lat + (there.lat - here.lat) * share, 6), round(here.lng + (there.lng - here.lng) * share, 6)
    )
