"""The routes of single drivers. What they change, the fleet role must hear of: without it they answer 503."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated, Protocol

from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter, SkipValidation

from gofleet.adapters.http.auth import Caller, CallerDependency
from gofleet.adapters.http.etags import driver_etag_of, matches, parse_driver_if_match
from gofleet.adapters.http.pagination import Cursor, driver_cursor, parse_driver_cursor
from gofleet.adapters.http.problem_types import ProblemType
from gofleet.adapters.http.problems import BODY_PROBLEMS, NEXT_PAGE, ResponseDoc, problem_responses
from gofleet.adapters.http.schemas.drivers import (
    DriverLocationUpdate,
    DriverPage,
    DriverView,
    LocationUpdate,
    LocationUpdateBatch,
    NewDriver,
    PositionBatchView,
    PositionView,
    SetDuty,
    to_position,
    utc_now,
)
from gofleet.adapters.http.validation import (
    FAULTS_MAX,
    DriverIdPath,
    IfMatch,
    IfNoneMatch,
    InvalidBody,
    InvalidItems,
    InvalidParameter,
    MapBbox,
    parse_bbox,
    parse_driver_id,
    query_filter,
)
from gofleet.domain.driver import AreaQuery, Driver, DriverFilter, Position
from gofleet.domain.errors import NoPosition
from gofleet.ports import Drivers, Fleet


class UpdatePositionCall(Protocol):
    def __call__(self, position: Position, *, own: bool = False) -> Awaitable[bool]: ...


DriversPort = NamedDependency[SkipValidation[Drivers]]
FleetPort = NamedDependency[SkipValidation[Fleet]]

BY_ID = {"driver_id": "$response.body#/id"}
TAGGED = {**BY_ID, "header.If-Match": "$response.header.ETag"}
NEXT = {"showDriver": BY_ID, "moveDriver": BY_ID, "setDuty": BY_ID, "registerDriver": TAGGED}
KEPT = {200: ResponseDoc(DriverView, description="The driver, as it is now.", headers=("ETag",), links=NEXT)}
SHOWN = KEPT | {304: ResponseDoc(None, description="The client has this version.", headers=("ETag",))}
LOCATED = {200: ResponseDoc(PositionView, description="Where it was last.")}
MOVED = {204: ResponseDoc(None, description="It is taken, or ignored.", headers=("Position-Ignored?",))}


@put(
    "/{driver_id:str}",
    operation_id="registerDriver",
    summary="Register or change a driver",
    responses=KEPT
    | problem_responses(
        *BODY_PROBLEMS, ProblemType.MALFORMED_TAG, ProblemType.VERSION_MISMATCH, ProblemType.FLEET_UNAVAILABLE
    ),
)
async def put_driver(
    driver_id: DriverIdPath, data: JSONBody[NewDriver], drivers: DriversPort, fleet: FleetPort, if_match: IfMatch = None
) -> Response[DriverView]:
    """Keep the driver's record, then tell the fleet. With `If-Match`, only the version that was seen is changed (412).

    503 `fleet-unavailable` when the fleet cannot be told: the record is kept by then, so asking again is safe and
    needed; a 200 would promise that the driver takes part in searches from now on.
    """
    driver = Driver(parse_driver_id(driver_id), data.name, data.on_duty).checked()
    versions = parse_driver_if_match(if_match)
    stored = await (drivers.put(driver) if if_match is None else drivers.change(driver, versions))
    await fleet.register(stored)
    return _shown(stored)


@get(
    "/{driver_id:str}",
    operation_id="showDriver",
    summary="Show a driver",
    responses=SHOWN | problem_responses(ProblemType.NO_SUCH_DRIVER, ProblemType.INVALID),
)
async def get_driver(
    driver_id: DriverIdPath, caller: CallerDependency, drivers: DriversPort, if_none_match: IfNoneMatch = None
) -> Response[DriverView | None]:
    """The driver's record and the live order that the driver holds; 304 if the client has both."""
    driver = await drivers.get(_checked_id(driver_id, caller))
    tag = driver_etag_of(driver)
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if if_none_match and matches(if_none_match, tag):
        return Response(None, status_code=304, headers=headers)
    return Response(DriverView.of(driver), headers=headers)


@put(
    "/{driver_id:str}/duty",
    operation_id="setDuty",
    summary="Say whether a driver works",
    responses=KEPT | problem_responses(*BODY_PROBLEMS, ProblemType.NO_SUCH_DRIVER, ProblemType.FLEET_UNAVAILABLE),
)
async def put_duty(
    driver_id: DriverIdPath, caller: CallerDependency, data: JSONBody[SetDuty], drivers: DriversPort, fleet: FleetPort
) -> Response[DriverView]:
    """Keep it, then tell the fleet. Off duty means no further orders; one that the driver holds stays theirs."""
    stored = await drivers.set_duty(_checked_id(driver_id, caller), data.on_duty)
    await fleet.register(stored)
    return _shown(stored)


@get(
    "/{driver_id:str}/position",
    operation_id="locateDriver",
    summary="Show where a driver is",
    responses=LOCATED
    | problem_responses(
        ProblemType.NO_POSITION, ProblemType.NO_SUCH_DRIVER, ProblemType.INVALID, ProblemType.FLEET_UNAVAILABLE
    ),
)
async def get_position(driver_id: DriverIdPath, caller: CallerDependency, fleet: FleetPort) -> PositionView:
    """Where the driver was last, and when; whether that is lately enough to count, `free` tells."""
    found = await fleet.locate([_checked_id(driver_id, caller)])
    if not found:
        raise NoPosition(driver_id)
    at = found[0].position
    return PositionView(lat=at.place.lat, lng=at.place.lng, recorded_at=at.recorded_at, free=found[0].free)


@put(
    "/{driver_id:str}/position",
    status_code=204,
    operation_id="moveDriver",
    summary="Say where a driver is",
    responses=MOVED | problem_responses(*BODY_PROBLEMS, ProblemType.NO_SUCH_DRIVER, ProblemType.FLEET_UNAVAILABLE),
)
async def put_position(
    driver_id: DriverIdPath,
    caller: CallerDependency,
    data: JSONBody[LocationUpdate],
    update_position: NamedDependency[SkipValidation[UpdatePositionCall]],
) -> Response[None]:
    """Take a fix. One that is older than what is known is ignored, and `Position-Ignored: older` says so. A driver's
    own must be where somebody can be who was at the last one."""
    newer = await update_position(
        to_position(_checked_id(driver_id, caller), data, utc_now()), own=caller.owner is not None
    )
    return Response(None, status_code=204, headers={} if newer else {"Position-Ignored": "older"})


DRIVER_ROUTES = (put_driver, get_driver, put_duty, get_position, put_position)


def _checked_id(driver_id: str, caller: Caller) -> str:
    driver_id = parse_driver_id(driver_id)
    caller.check_driver(driver_id)
    return driver_id


def _shown(driver: Driver) -> Response[DriverView]:
    return Response(DriverView.of(driver), headers={"ETag": driver_etag_of(driver)})


LISTED = {
    200: ResponseDoc(
        DriverPage,
        description="A page of drivers, or those on that part of the map.",
        links={"showDriver": {"driver_id": "$response.body#/items/0/id"}, "listDrivers": NEXT_PAGE},
    )
}
TAKEN = {200: ResponseDoc(PositionBatchView, description="What became of them.")}


@get(
    "/",
    operation_id="listDrivers",
    summary="List drivers, or show a part of the map",
    responses=LISTED | problem_responses(ProblemType.INVALID, ProblemType.FLEET_UNAVAILABLE),
)
async def get_drivers(
    *,
    drivers: DriversPort,
    fleet: FleetPort,
    bbox: MapBbox = None,
    free: Annotated[bool | None, query_filter("Only those who are free, or only those who are not.", True)] = None,
    on_duty: Annotated[bool | None, query_filter("Only those on duty, or only those who are not.", True)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=500, description="Items of one answer at most.")] = 50,
    cursor: Cursor = None,
) -> DriverPage:
    """Without `bbox` the records by id, a page at a time: they need no fleet service.

    With `bbox` those who were last seen inside, nearest to its middle first and with their positions. A map has no
    pages, and only the 5000 nearest are looked at: who wants to see more asks for smaller boxes.
    """
    if bbox is not None:
        if cursor is not None:
            raise InvalidParameter("cursor", "cannot be given with bbox: a map has no pages")
        return DriverPage(
            items=await _map(AreaQuery(parse_bbox(bbox), free, on_duty, limit), drivers, fleet), next_cursor=None
        )
    which = DriverFilter(parse_driver_cursor(cursor), free, on_duty)
    found = await drivers.list(which, limit + 1)
    items = found[:limit]
    after = driver_cursor(items[-1].id) if len(found) > limit else None
    return DriverPage(items=[DriverView.of(driver) for driver in items], next_cursor=after)


@post(
    "/positions",
    status_code=200,
    operation_id="moveDrivers",
    summary="Say where many drivers are",
    responses=TAKEN | problem_responses(*BODY_PROBLEMS, ProblemType.FLEET_UNAVAILABLE),
)
async def post_positions(data: JSONBody[LocationUpdateBatch], fleet: FleetPort) -> PositionBatchView:
    """Take many fixes at once, all or, if anything in them is impossible, none. Older ones than known are ignored."""
    moved = await fleet.update_positions(_positions(data.positions))
    return PositionBatchView(applied=moved.accepted, older=moved.older, refused=moved.refused)


MANY_DRIVER_ROUTES = (get_drivers, post_positions)


async def _map(area: AreaQuery, drivers: Drivers, fleet: Fleet) -> list[DriverView]:
    found = {one.position.driver_id: one for one in await fleet.within(area)}
    records = {driver.id: driver for driver in await drivers.get_many(list(found))}
    views = [DriverView.on_map(records[driver_id], one) for driver_id, one in found.items()]
    # PostgreSQL may know better than the fleet by now, and nobody is shown as what was not asked for.
    return [view for view in views if area.free in {None, view.free} and area.on_duty in {None, view.on_duty}]


def _positions(fixes: list[DriverLocationUpdate]) -> list[Position]:
    positions, faults, moment = list[Position](), list[InvalidBody](), utc_now()
    for number, fix in enumerate(fixes):
        try:
            positions.append(to_position(fix.driver_id, fix, moment, f"/positions/{number}"))
        except InvalidBody as fault:
            faults.append(fault)
        if len(faults) == FAULTS_MAX:
            break
    if faults:
        raise InvalidItems(faults)
    return positions
