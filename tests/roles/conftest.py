"""The REST API over memory ports, behind the real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import pytest

from gofleet.adapters.history_feed import HistoryFeed
from gofleet.adapters.http.app import Api, api_app
from gofleet.adapters.http.driver_positions import DriverPositionFeed, DriversInBox
from gofleet.adapters.http.health import HealthApp
from gofleet.adapters.http.schemas.events import DriverPositionView
from gofleet.adapters.http.server import Listening, serving
from gofleet.adapters.http.sse import EventStreamLimits, EventStreams
from gofleet.domain.driver import Driver, DriverState, Sighting
from gofleet.domain.errors import FleetUnavailable
from gofleet.domain.order import Order
from gofleet.domain.place import BoundingBox, Place
from gofleet.testing.drivers import MemoryDrivers
from gofleet.testing.orders import MemoryHistory, MemoryIndicators, MemoryOrders
from gofleet.testing.outbox import MemoryFailedEvents
from gofleet.testing.parked import MemoryParked
from gofleet.usecases.create_order import CreateOrder
from gofleet.usecases.drivers import FindCandidates, UpdatePosition
from gofleet.usecases.transitions import CancelOrder, ChangeOrder, DeliverOrder, DispatchManually, RedispatchOrder
from tests.fleets import FakeFleet
from tests.makers import CENTRE


@dataclass
class MovingDrivers:
    """Positions of drivers, for the streams of a map."""

    away: bool = False
    looks: int = 0
    truncated: bool = False
    drivers: dict[str, DriverPositionView] = field(default_factory=dict[str, DriverPositionView])

    async def within(self, box: BoundingBox) -> DriversInBox:
        self.looks += 1
        if self.away:
            raise FleetUnavailable("no answer from 10.1.2.3")
        inside = [driver for driver in self.drivers.values() if box.contains(Place(driver.lat, driver.lng))]
        return DriversInBox(inside, self.truncated)


@dataclass
class World:
    """The ports and use cases behind the API, in memory."""

    orders: MemoryOrders = field(default_factory=MemoryOrders)
    drivers: MemoryDrivers = field(init=False)
    parked: MemoryParked = field(default_factory=MemoryParked)
    fleet: FakeFleet = field(default_factory=FakeFleet)
    moving: MovingDrivers = field(default_factory=MovingDrivers)
    bounds: EventStreamLimits = field(default_factory=EventStreamLimits)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    depot: Place | None = CENTRE

    def __post_init__(self) -> None:
        self.drivers = MemoryDrivers(orders=self.orders)
        self.history = MemoryHistory(self.orders)
        self.feed = HistoryFeed(self.history, poll_seconds=0.02, window=100, page=10)

    @property
    def streams(self) -> EventStreams:
        return EventStreams(
            self.feed,
            stopping=self.stopping,
            limits=self.bounds,
            positions=DriverPositionFeed(self.moving.within, interval_seconds=0.02),
        )

    def drivers_at(self, **places: tuple[float, float]) -> None:
        """Set the current positions of drivers, by name."""
        for name, (lat, lng) in places.items():
            self.moving.drivers[name] = DriverPositionView(
                driver_id=name, lat=lat, lng=lng, recorded_at=datetime.now(UTC), free=True, state=DriverState.FREE
            )

    async def save(self, order: Order) -> None:
        """Save a transition, to a driver that is registered unless there is none."""
        if order.driver_id:
            self.drivers.rows.setdefault(order.driver_id, Driver(order.driver_id, order.driver_id))
        await self.orders.save(order)

    async def find_candidates(
        self, order_id: str, radius_km: float | None, limit: int, driver_id: str | None = None
    ) -> Sequence[Sighting]:
        """Candidates near the current depot."""
        return await FindCandidates(self.orders, self.fleet, self.depot, 5, 10)(order_id, radius_km, limit, driver_id)

    def api(self) -> Api:
        return Api(
            orders=self.orders,
            create_order=CreateOrder(self.orders, 20),
            change_order=ChangeOrder(self.orders),
            cancel_order=CancelOrder(self.orders),
            deliver_order=DeliverOrder(self.orders),
            dispatch_manually=DispatchManually(self.orders, self.drivers),
            redispatch_order=RedispatchOrder(self.orders),
            find_candidates=self.find_candidates,
            history=self.history,
            streams=self.streams,
            drivers=self.drivers,
            update_position=UpdatePosition(self.fleet, 200),
            parked=self.parked,
            failed_events=MemoryFailedEvents(self.orders),
            fleet=self.fleet,
            indicators=MemoryIndicators(self.orders),
            operations=HealthApp({}, roles=["api"]),
        )


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def body_seconds() -> float:
    """Time limit of a request body; only some tests reach it."""
    return 30


@pytest.fixture
async def listening(world: World, body_seconds: float) -> AsyncIterator[Listening]:
    stop = asyncio.Event()
    feed_task = asyncio.create_task(world.feed.run(stop))
    async with serving(api_app(world.api(), body_seconds=body_seconds), "127.0.0.1", 0, grace_seconds=2) as listening:
        yield listening
        world.stopping.set()
    stop.set()
    await feed_task


@pytest.fixture
async def client(listening: Listening) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=listening.url, timeout=10) as client:
        yield client
