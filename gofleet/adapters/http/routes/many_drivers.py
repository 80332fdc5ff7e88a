"""The routes of many drivers at once: a list, a part of the map, and a batch of positions."""

from __future__ import annotations

from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter, SkipValidation

from gofleet.adapters.http.answers import AFTER, Answer
from gofleet.adapters.http.boxes import MapBox, box_of
from gofleet.adapters.http.pagination import Cursor, after_driver, driver_behind
from gofleet.adapters.http.parameters import BadParameter, filtering
from gofleet.adapters.http.problem_types import Slug
from gofleet.adapters.http.problems import BODY, documented
from gofleet.adapters.http.schemas.drivers import (
    DriverLocationUpdate,
    DriverPage,
    DriverView,
    LocationUpdateBatch,
    PositionBatchView,
    checked,
    now,
)
from gofleet.adapters.http.validation import MOST_FAULTS, InvalidBodies, InvalidBody
from gofleet.domain.driver import AreaQuery, DriverFilter, Position
from gofleet.ports import Drivers, Fleet

DriversPort = NamedDependency[SkipValidation[Drivers]]
FleetPort = NamedDependency[SkipValidation[Fleet]]

LISTED = {
    200: Answer(
        DriverPage,
        description="A page of drivers, or those on that part of the map.",
        links={"showDriver": {"driver_id": "$response.body#/items/0/id"}, "listDrivers": AFTER},
    )
}
TAKEN = {200: Answer(PositionBatchView, description="What became of them.")}


@get(
    "/",
    operation_id="listDrivers",
    summary="List drivers, or show a part of the map",
    responses=LISTED | documented(Slug.INVALID, Slug.FLEET_UNAVAILABLE),
)
async def listing(
    *,
    drivers: DriversPort,
    fleet: FleetPort,
    bbox: MapBox = None,
    free: Annotated[bool | None, filtering("Only those who are free, or only those who are not.", True)] = None,
    on_duty: Annotated[bool | None, filtering("Only those on duty, or only those who are not.", True)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=500, description="Items of one answer at most.")] = 50,
    cursor: Cursor = None,
) -> DriverPage:
    """Without `bbox` the records by id, a page at a time: they need no fleet service.

    With `bbox` those who were last seen inside, nearest to its middle first and with their positions. A map has no
    pages, and only the 5000 nearest are looked at: who wants to see more asks for smaller boxes.
    """
    if bbox is not None:
        if cursor is not None:
            raise BadParameter("cursor", "cannot be given with bbox: a map has no pages")
        return DriverPage(
            items=await _map(AreaQuery(box_of(bbox), free, on_duty, limit), drivers, fleet), next_cursor=None
        )
    which = DriverFilter(driver_behind(cursor), free, on_duty)
    found = await drivers.list(which, limit + 1)
    items = found[:limit]
    after = after_driver(items[-1].id) if len(found) > limit else None
    return DriverPage(items=[DriverView.of(driver) for driver in items], next_cursor=after)


@post(
    "/positions",
    status_code=200,
    operation_id="moveDrivers",
    summary="Say where many drivers are",
    responses=TAKEN | documented(*BODY, Slug.FLEET_UNAVAILABLE),
)
async def move_all(data: JSONBody[LocationUpdateBatch], fleet: FleetPort) -> PositionBatchView:
    """Take many fixes at once, all or, if anything in them is impossible, none. Older ones than known are ignored."""
    moved = await fleet.move_all(_positions(data.positions))
    return PositionBatchView(applied=moved.accepted, older=moved.older, refused=moved.refused)


MANY_DRIVER_ROUTES = (listing, move_all)


async def _map(area: AreaQuery, drivers: Drivers, fleet: Fleet) -> list[DriverView]:
    found = {one.position.driver_id: one for one in await fleet.within(area)}
    records = {driver.id: driver for driver in await drivers.among(list(found))}
    views = [DriverView.on_a_map(records[driver_id], one) for driver_id, one in found.items()]
    # PostgreSQL may know better than the fleet by now, and nobody is shown as what was not asked for.
    return [view for view in views if area.free in {None, view.free} and area.on_duty in {None, view.on_duty}]


def _positions(fixes: list[DriverLocationUpdate]) -> list[Position]:
    positions, faults, moment = list[Position](), list[InvalidBody](), now()
    for number, fix in enumerate(fixes):
        try:
            positions.append(checked(fix.driver_id, fix, moment, f"/positions/{number}"))
        except InvalidBody as fault:
            faults.append(fault)
        if len(faults) == MOST_FAULTS:
            break
    if faults:
        raise InvalidBodies(faults)
    return positions
