"""The routes of single drivers. What they change, the fleet role must hear of: without it they answer 503."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from litestar import Response, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

from gofleet.adapters.http.access import Caller, CallerPart
from gofleet.adapters.http.answers import Answer
from gofleet.adapters.http.etags import driver_tag_of, driver_versions_of, matches
from gofleet.adapters.http.parameters import DriverId, IfMatch, IfNoneMatch, parameter_driver_id
from gofleet.adapters.http.problem_types import Slug
from gofleet.adapters.http.problems import BODY, documented
from gofleet.adapters.http.schemas.drivers import (
    DriverView,
    LocationUpdate,
    NewDriver,
    PositionView,
    SetDuty,
    checked,
    now,
)
from gofleet.domain.driver import Driver, Position
from gofleet.domain.errors import NoPosition
from gofleet.ports import Drivers, Fleet


class UpdatePositionCall(Protocol):
    def __call__(self, position: Position, *, own: bool = False) -> Awaitable[bool]: ...


DriversPort = NamedDependency[SkipValidation[Drivers]]
FleetPort = NamedDependency[SkipValidation[Fleet]]

BY_ID = {"driver_id": "$response.body#/id"}
TAGGED = {**BY_ID, "header.If-Match": "$response.header.ETag"}
NEXT = {"showDriver": BY_ID, "moveDriver": BY_ID, "setDuty": BY_ID, "registerDriver": TAGGED}
KEPT = {200: Answer(DriverView, description="The driver, as it is now.", headers=("ETag",), links=NEXT)}
SHOWN = KEPT | {304: Answer(None, description="The client has this version.", headers=("ETag",))}
LOCATED = {200: Answer(PositionView, description="Where it was last.")}
MOVED = {204: Answer(None, description="It is taken, or ignored.", headers=("Position-Ignored?",))}


@put(
    "/{driver_id:str}",
    operation_id="registerDriver",
    summary="Register or change a driver",
    responses=KEPT | documented(*BODY, Slug.MALFORMED_TAG, Slug.VERSION_MISMATCH, Slug.FLEET_UNAVAILABLE),
)
async def register(
    driver_id: DriverId, data: JSONBody[NewDriver], drivers: DriversPort, fleet: FleetPort, if_match: IfMatch = None
) -> Response[DriverView]:
    """Keep the driver's record, then tell the fleet. With `If-Match`, only the version that was seen is changed (412).

    503 `fleet-unavailable` when the fleet cannot be told: the record is kept by then, so asking again is safe and
    needed; a 200 would promise that the driver takes part in searches from now on.
    """
    driver = Driver(parameter_driver_id(driver_id), data.name, data.on_duty).checked()
    versions = driver_versions_of(if_match)
    stored = await (drivers.put(driver) if if_match is None else drivers.change(driver, versions))
    await fleet.register(stored)
    return _shown(stored)


@get(
    "/{driver_id:str}",
    operation_id="showDriver",
    summary="Show a driver",
    responses=SHOWN | documented(Slug.NO_SUCH_DRIVER, Slug.INVALID),
)
async def show(
    driver_id: DriverId, caller: CallerPart, drivers: DriversPort, if_none_match: IfNoneMatch = None
) -> Response[DriverView | None]:
    """The driver's record and the live order that the driver holds; 304 if the client has both."""
    driver = await drivers.get(_checked_id(driver_id, caller))
    tag = driver_tag_of(driver)
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if if_none_match and matches(if_none_match, tag):
        return Response(None, status_code=304, headers=headers)
    return Response(DriverView.of(driver), headers=headers)


@put(
    "/{driver_id:str}/duty",
    operation_id="setDuty",
    summary="Say whether a driver works",
    responses=KEPT | documented(*BODY, Slug.NO_SUCH_DRIVER, Slug.FLEET_UNAVAILABLE),
)
async def set_duty(
    driver_id: DriverId, caller: CallerPart, data: JSONBody[SetDuty], drivers: DriversPort, fleet: FleetPort
) -> Response[DriverView]:
    """Keep it, then tell the fleet. Off duty means no further orders; one that the driver holds stays theirs."""
    stored = await drivers.set_duty(_checked_id(driver_id, caller), data.on_duty)
    await fleet.register(stored)
    return _shown(stored)


@get(
    "/{driver_id:str}/position",
    operation_id="locateDriver",
    summary="Show where a driver is",
    responses=LOCATED | documented(Slug.NO_POSITION, Slug.NO_SUCH_DRIVER, Slug.INVALID, Slug.FLEET_UNAVAILABLE),
)
async def locate(driver_id: DriverId, caller: CallerPart, fleet: FleetPort) -> PositionView:
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
    responses=MOVED | documented(*BODY, Slug.NO_SUCH_DRIVER, Slug.FLEET_UNAVAILABLE),
)
async def move(
    driver_id: DriverId,
    caller: CallerPart,
    data: JSONBody[LocationUpdate],
    move_driver: NamedDependency[SkipValidation[UpdatePositionCall]],
) -> Response[None]:
    """Take a fix. One that is older than what is known is ignored, and `Position-Ignored: older` says so. A driver's
    own must be where somebody can be who was at the last one."""
    newer = await move_driver(checked(_checked_id(driver_id, caller), data, now()), own=caller.owner is not None)
    return Response(None, status_code=204, headers={} if newer else {"Position-Ignored": "older"})


DRIVER_ROUTES = (register, show, set_duty, locate, move)


def _checked_id(driver_id: str, caller: Caller) -> str:
    driver_id = parameter_driver_id(driver_id)
    caller.check_driver(driver_id)
    return driver_id


def _shown(driver: Driver) -> Response[DriverView]:
    return Response(DriverView.of(driver), headers={"ETag": driver_tag_of(driver)})
