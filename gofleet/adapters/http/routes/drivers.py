"""Routes of drivers: records, duty and positions, of one driver or of several.

Changes are passed to the fleet role; while it is unavailable these operations answer 503.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Protocol

import msgspec
from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter, SkipValidation

from gofleet.adapters.http.auth import Caller, CallerDependency
from gofleet.adapters.http.etags import driver_etag_of, matches, parse_driver_if_match
from gofleet.adapters.http.faults import InvalidBody, InvalidParameter, InvalidValues, with_all_faults
from gofleet.adapters.http.pagination import Cursor, driver_cursor, page_of, parse_driver_cursor
from gofleet.adapters.http.problem_types import ProblemType
from gofleet.adapters.http.problems import BODY_PROBLEMS, NEXT_PAGE, InvalidValue, ResponseDoc, problem_responses
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
)
from gofleet.adapters.http.times import to_utc
from gofleet.adapters.http.validation import (
    DriverIdPath,
    IfMatch,
    IfNoneMatch,
    MalformedJson,
    MapBbox,
    decode_body,
    parse_bbox,
    parse_driver_id,
    query_filter,
)
from gofleet.domain.driver import AreaQuery, Driver, DriverFilter, Position, PositionBatchResult
from gofleet.domain.errors import Invalid, NoPosition
from gofleet.domain.place import Place
from gofleet.ports import Drivers, Fleet


class UpdatePositionCall(Protocol):
    """The use case as the API calls it, with or without instrumentation."""

    def __call__(self, position: Position, *, own: bool = False) -> Awaitable[bool]: ...


DriversPort = NamedDependency[SkipValidation[Drivers]]
FleetPort = NamedDependency[SkipValidation[Fleet]]

BY_ID = {"driver_id": "$response.body#/id"}
AT_VERSION = {**BY_ID, "header.If-Match": "$response.header.ETag"}
LINKS = {"showDriver": BY_ID, "moveDriver": BY_ID, "setDuty": BY_ID, "registerDriver": AT_VERSION}
DRIVER_SHOWN = {200: ResponseDoc(DriverView, description="The current driver.", headers=("ETag",), links=LINKS)}
NOT_MODIFIED = {304: ResponseDoc(None, description="The client has the current version.", headers=("ETag",))}
POSITION_SHOWN = {200: ResponseDoc(PositionView, description="The last position.")}
POSITION_UPDATED = {
    204: ResponseDoc(None, description="The position is stored or ignored.", headers=("Position-Ignored?",))
}
DRIVERS_LISTED = {
    200: ResponseDoc(
        DriverPage,
        description="A page of drivers, or the drivers in a part of the map.",
        links={"showDriver": {"driver_id": "$response.body#/items/0/id"}, "listDrivers": NEXT_PAGE},
    )
}
POSITIONS_UPDATED = {200: ResponseDoc(PositionBatchView, description="The outcome of the batch.")}
NOT_REGISTERED = "{} is not a registered driver: register it first (`PUT /api/v1/drivers/{{driver_id}}`)"


@put(
    "/{driver_id:str}",
    operation_id="registerDriver",
    summary="Register or change a driver",
    responses=DRIVER_SHOWN
    | problem_responses(
        *BODY_PROBLEMS, ProblemType.MALFORMED_TAG, ProblemType.VERSION_MISMATCH, ProblemType.FLEET_UNAVAILABLE
    ),
)
async def put_driver(
    *,
    driver_id: DriverIdPath,
    caller: CallerDependency,
    data: JSONBody[NewDriver],
    drivers: DriversPort,
    fleet: FleetPort,
    if_match: IfMatch = None,
) -> Response[DriverView]:
    """Store the driver's record, then register it with the fleet. With `If-Match` only that version is changed (412).
    A driver on duty that it sets off duty stays so until staff lift it, as with `/duty`.

    503 `fleet-unavailable` means that the record is stored but the fleet may not know it yet. Repeating the request is
    safe and necessary: only a 200 guarantees that searches know the record.
    """
    driver = Driver(parse_driver_id(driver_id), data.name, data.on_duty).checked()
    versions = parse_driver_if_match(if_match)
    staff = caller.actor
    stored = await (drivers.put(driver, staff) if if_match is None else drivers.change(driver, versions, staff))
    await fleet.register(stored)
    return _driver_response(stored, caller)


@get(
    "/{driver_id:str}",
    operation_id="showDriver",
    summary="Show a driver",
    responses=DRIVER_SHOWN | NOT_MODIFIED | problem_responses(ProblemType.NO_SUCH_DRIVER, ProblemType.INVALID),
)
async def get_driver(
    driver_id: DriverIdPath, caller: CallerDependency, drivers: DriversPort, if_none_match: IfNoneMatch = None
) -> Response[DriverView | None]:
    """The driver's record and the live order that the driver holds, or 304 if the client has both."""
    driver = await drivers.get(_visible_driver_id(driver_id, caller))
    tag = driver_etag_of(driver)
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if if_none_match and matches(if_none_match, tag):
        return Response(None, status_code=304, headers=headers)
    return Response(_displayed(driver, caller), headers=headers)


@put(
    "/{driver_id:str}/duty",
    operation_id="setDuty",
    summary="Set whether a driver is on duty",
    responses=DRIVER_SHOWN
    | problem_responses(
        *BODY_PROBLEMS, ProblemType.NO_SUCH_DRIVER, ProblemType.OFF_DUTY_BY_STAFF, ProblemType.FLEET_UNAVAILABLE
    ),
)
async def put_duty(
    driver_id: DriverIdPath, caller: CallerDependency, data: JSONBody[SetDuty], drivers: DriversPort, fleet: FleetPort
) -> Response[DriverView]:
    """Store it, then pass it to the fleet. A driver off duty receives no further orders and keeps the current one.

    What staff set holds until staff lift it: the driver's own token cannot set the driver on duty again (409). Staff
    are all callers that are not restricted to their own records.
    """
    staff = caller.actor if caller.owner is None else None
    stored = await drivers.set_duty(_visible_driver_id(driver_id, caller), data.on_duty, staff)
    await fleet.register(stored)
    return _driver_response(stored, caller)


@get(
    "/{driver_id:str}/position",
    operation_id="locateDriver",
    summary="Show the position of a driver",
    responses=POSITION_SHOWN
    | problem_responses(
        ProblemType.NO_POSITION, ProblemType.NO_SUCH_DRIVER, ProblemType.INVALID, ProblemType.FLEET_UNAVAILABLE
    ),
)
async def get_position(
    driver_id: DriverIdPath, caller: CallerDependency, drivers: DriversPort, fleet: FleetPort
) -> PositionView:
    """The driver's last position and its time; `state` says whether it is recent enough to receive orders."""
    sightings = await fleet.locate([_visible_driver_id(driver_id, caller)])
    if not sightings:
        await drivers.get(driver_id)  # an unregistered driver is not found, one without a position is
        raise NoPosition(driver_id)
    position = sightings[0].position
    return PositionView(
        lat=position.place.lat,
        lng=position.place.lng,
        recorded_at=position.recorded_at,
        free=sightings[0].free,
        state=sightings[0].state,
    )


@put(
    "/{driver_id:str}/position",
    status_code=204,
    operation_id="moveDriver",
    summary="Update the position of a driver",
    responses=POSITION_UPDATED
    | problem_responses(*BODY_PROBLEMS, ProblemType.NO_SUCH_DRIVER, ProblemType.FLEET_UNAVAILABLE),
)
async def put_position(
    driver_id: DriverIdPath,
    caller: CallerDependency,
    data: JSONBody[LocationUpdate],
    update_position: NamedDependency[SkipValidation[UpdatePositionCall]],
) -> Response[None]:
    """Store a position of a registered driver. One that is older than the last is ignored, with the header
    `Position-Ignored: older`. A position sent by the driver must be reachable from the driver's last one."""
    position = _to_position(_visible_driver_id(driver_id, caller), data, datetime.now(UTC))
    newer = await update_position(position, own=caller.owner is not None)
    return Response(None, status_code=204, headers={} if newer else {"Position-Ignored": "older"})


@get(
    "/",
    operation_id="listDrivers",
    summary="List drivers, by page or on a map",
    responses=DRIVERS_LISTED | problem_responses(ProblemType.INVALID, ProblemType.FLEET_UNAVAILABLE),
)
async def get_drivers(
    *,
    drivers: DriversPort,
    fleet: FleetPort,
    bbox: MapBbox = None,
    free: Annotated[bool | None, query_filter("Only drivers that are free, or that are not.", True)] = None,
    on_duty: Annotated[bool | None, query_filter("Only drivers on duty, or off duty.", True)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=500, description="Maximum number of items.")] = 50,
    cursor: Cursor = None,
) -> DriverPage:
    """Without `bbox` the records sorted by id, a page at a time; the fleet service is not needed.

    With `bbox` the drivers that were last seen inside the box, with positions, nearest to its centre first. A map has
    no pages and considers only the 5000 drivers nearest to the centre: where it is `truncated`, request smaller boxes.
    """
    if bbox is not None:
        if cursor is not None:
            raise InvalidParameter("cursor", "cannot be given with bbox: a map has no pages")
        return await _drivers_in(AreaQuery(parse_bbox(bbox), free, on_duty, limit, count=True), drivers, fleet)
    criteria = DriverFilter(parse_driver_cursor(cursor), free, on_duty)
    page, next_cursor = page_of(await drivers.list(criteria, limit + 1), limit, driver_cursor)
    return DriverPage(items=[DriverView.of(driver) for driver in page], next_cursor=next_cursor)


@post(
    "/positions",
    status_code=200,
    operation_id="moveDrivers",
    summary="Update the positions of many drivers",
    responses=POSITIONS_UPDATED | problem_responses(*BODY_PROBLEMS, ProblemType.FLEET_UNAVAILABLE),
)
async def post_positions(data: JSONBody[LocationUpdateBatch], fleet: FleetPort) -> PositionBatchView:
    """Store many positions at once. Invalid ones and those of unregistered drivers are counted as `refused` and located
    in `errors`; the others are stored. Positions older than the last are ignored."""
    positions, errors = _to_positions(data.positions)
    result = await fleet.update_positions(list(positions.values())) if positions else PositionBatchResult(0, 0, 0)
    refused = result.refused + len(data.positions) - len(positions)
    errors += [
        InvalidValue(pointer=f"/positions/{number}/driver_id", detail=NOT_REGISTERED.format(position.driver_id))
        for number, position in positions.items()
        if position.driver_id in result.unregistered
    ]
    return PositionBatchView(applied=result.accepted, older=result.older, refused=refused, errors=errors)


DRIVER_ROUTES = (put_driver, get_driver, put_duty, get_position, put_position, get_drivers, post_positions)


def _visible_driver_id(driver_id: str, caller: Caller) -> str:
    driver_id = parse_driver_id(driver_id)
    caller.check_driver(driver_id)
    return driver_id


def _driver_response(driver: Driver, caller: Caller) -> Response[DriverView]:
    return Response(_displayed(driver, caller), headers={"ETag": driver_etag_of(driver)})


def _displayed(driver: Driver, caller: Caller) -> DriverView:
    by = driver.off_duty_by
    return DriverView.of(replace(driver, off_duty_by=by and caller.displayed_actor(by)))


async def _drivers_in(area: AreaQuery, drivers: Drivers, fleet: Fleet) -> DriverPage:
    found = await fleet.within(area)
    sightings = {sighting.position.driver_id: sighting for sighting in found.sightings}
    records = {driver.id: driver for driver in await drivers.get_many(list(sightings))}
    views = [DriverView.on_map(driver, sighting) for id, sighting in sightings.items() if (driver := records.get(id))]
    # PostgreSQL may be more recent than the fleet: apply the filters to the combined state as well.
    items = [view for view in views if area.free in {None, view.free} and area.on_duty in {None, view.on_duty}]
    total = None if found.total is None else found.total - (len(sightings) - len(items))
    return DriverPage(items=items, next_cursor=None, truncated=found.truncated, total=total)


def _to_positions(items: Sequence[msgspec.Raw]) -> tuple[dict[int, Position], list[InvalidValue]]:
    """The valid positions by their numbers, and the faults of the others."""
    positions, errors, now = dict[int, Position](), list[InvalidValue](), datetime.now(UTC)
    for number, item in enumerate(items):
        try:
            update = decode_body(bytes(item), DriverLocationUpdate)
            positions[number] = _to_position(update.driver_id, update, now)
        except (InvalidBody, InvalidValues) as error:
            errors += [
                InvalidValue(pointer=f"/positions/{number}{fault.pointer}", detail=fault.why)
                for fault in getattr(error, "faults", [error])
            ]
        except MalformedJson as fault:  # text that is not UTF-8
            errors.append(InvalidValue(pointer=f"/positions/{number}", detail=str(fault)))
    return positions, errors


def _to_position(driver_id: str, update: LocationUpdate | DriverLocationUpdate, now: datetime) -> Position:
    """The position in `update`; raises `InvalidBody`, or `InvalidValues` for several faults, if it is
    impossible."""
    try:
        recorded_at = to_utc("recorded_at", update.recorded_at) if update.recorded_at else now
        return Position(driver_id, Place(update.lat, update.lng), recorded_at).checked(now)
    except Invalid as error:
        # The domain names the field `position.lat`; the body is the position, so its pointer is `/lat`.
        steps = (step for step in error.field.split(".") if step != "position")
        raise with_all_faults(InvalidBody("".join("/" + step for step in steps), error.why), update) from error
