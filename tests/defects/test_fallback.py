"""L7 and L8: orders are escalated if no driver is nearby, and if the fleet is unavailable."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

from gofleet.domain.driver import Candidate, Driver, Position
from gofleet.domain.errors import FleetUnavailable, NoDriverNearby
from gofleet.domain.messages import Delivery, Handler, Outcome
from gofleet.domain.order import Reason, Status
from gofleet.domain.place import Place
from gofleet.guards.breaker import BreakerOpen, BreakerState, GuardedFleet, RatioBreaker
from gofleet.guards.parking import Parking
from gofleet.guards.retries import Backoff
from gofleet.ports import DriverSearch, Search
from gofleet.usecases.dispatch_order import SendToManual
from tests.defects.lossy_guards import FallbackOnlyOnOpen, NoDriverIsAFailure
from tests.defects.ways import Way, both_ways
from tests.defects.worker import RULES, ScriptedFleet, WorkerInMemory, a_driver, handled, no_driver
from tests.makers import CENTRE

SUBURB, CITY = Place(-23.9, -46.9), CENTRE


@both_ways
async def test_l7_an_order_without_a_driver_nearby_is_escalated(redis: Redis, prefix: str, way: Way) -> None:
    worker = WorkerInMemory(ScriptedFleet([no_driver]))
    lossy = Parking(NoDriverIsAFailure(worker.act), worker.parked, RULES.retry)
    handler: Handler = worker.handler(redis, prefix) if way is Way.OURS else lossy

    await handled(handler, await worker.created_event())

    with way.fails("no drivers found"):
        assert [row.message.detail for row in worker.parked.rows] == []
        assert (worker.status(), worker.orders.rows["o-1"].reason) == (Status.MANUAL_DISPATCH, Reason.NO_DRIVER)


@both_ways
async def test_l7_an_order_without_a_driver_nearby_gets_one_that_comes_later(
    redis: Redis, prefix: str, way: Way
) -> None:
    worker = WorkerInMemory(
        ScriptedFleet([no_driver] * 3 + [a_driver])
    )  # with three attempts the fourth search is one too many
    lossy = Parking(NoDriverIsAFailure(worker.act), worker.parked, RULES.retry)

    await handled(worker.handler(redis, prefix) if way is Way.OURS else lossy, await worker.created_event())

    with way.fails("Status.PENDING"):
        assert worker.status() is Status.DISPATCHED


@both_ways
async def test_l7_searches_without_a_driver_do_not_open_the_breaker(way: Way) -> None:
    breaker = RatioBreaker(counts=(FleetUnavailable,) if way is Way.OURS else (Exception,))
    searching = GuardedFleet(CityFleet(), breaker) if way is Way.OURS else NoneFoundIsAnError(CityFleet(), breaker)

    for number in range(20):
        assert await searched(searching, Search(f"suburb-{number}", SUBURB, 5)) == []

    with way.fails("is open"):
        assert breaker.state is BreakerState.CLOSED, "the breaker is open"
        assert await searched(searching, Search("city", CITY, 5)) == ["ana"]


async def searched(fleet: DriverSearch, search: Search) -> Sequence[str]:
    try:
        return [driver.driver_id for driver in await fleet.search(search)]
    except (NoDriverNearby, BreakerOpen):
        return []


class CityFleet:
    """All drivers are in the city."""

    async def search(self, search: Search) -> list[Candidate]:
        return [Candidate("ana", "Ana", CITY, 100)] if search.pickup == CITY else []

    async def register(self, driver: Driver) -> None: ...
    async def update_position(self, position: Position) -> bool:
        return True


class NoneFoundIsAnError(GuardedFleet):
    async def search(self, search: Search) -> list[Candidate]:
        async def none_is_an_error() -> list[Candidate]:
            if found := await self.fleet.search(search):
                return found
            raise NoDriverNearby(search.order_id, search.radius_km)

        return await self.breaker.call(none_is_an_error)


@both_ways
async def test_l8_with_little_traffic_an_unavailable_fleet_escalates_the_order(
    redis: Redis, prefix: str, way: Way
) -> None:
    """Too few calls to open the breaker: the attempts run out first."""
    breaker = RatioBreaker(counts=(FleetUnavailable,), min_calls=10)
    dead = ScriptedFleet([unavailable])
    worker = WorkerInMemory(dead, guard=lambda fleet: GuardedFleet(fleet, breaker))
    fallback = FallbackOnlyOnOpen(Backoff(worker.act), worker.orders, SendToManual(worker.orders, worker.inbox))
    lossy = Parking(as_any_error(fallback), worker.parked, RULES.retry)

    await handled(worker.handler(redis, prefix) if way is Way.OURS else lossy, await worker.created_event())

    assert (breaker.state, 0 < dead.searches < 10) == (BreakerState.CLOSED, True)
    with way.fails("Status.PENDING"):
        assert worker.status() is Status.MANUAL_DISPATCH


async def unavailable(search: Search) -> list[Candidate]:
    raise FleetUnavailable("no answer")


def as_any_error(handler: Handler) -> Handler:
    """Treats an unavailable fleet as any error: retries, then parks the message."""

    async def handle(delivery: Delivery) -> Outcome:
        try:
            return await handler(delivery)
        except FleetUnavailable as error:
            raise RuntimeError(str(error)) from error

    return handle
