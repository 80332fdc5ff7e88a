"""The routes of drivers. What they change, the fleet role must hear of: without it they answer 503."""

from __future__ import annotations

from datetime import UTC, datetime

from litestar import Response, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

from gofleet.adapters.http.answers import Answer
from gofleet.adapters.http.bodies import InvalidBody
from gofleet.adapters.http.parameters import DriverId, aware, parameter_id
from gofleet.adapters.http.problems import BODY, documented
from gofleet.adapters.http.schemas import DriverView, Fix, NewDriver
from gofleet.adapters.http.slugs import Slug
from gofleet.domain.driver import Driver, Position
from gofleet.domain.errors import Invalid
from gofleet.domain.place import Place
from gofleet.ports import Drivers, Fleet

NEXT = {name: {"driver_id": "$response.body#/id"} for name in ("showDriver", "moveDriver")}
REGISTERED = {200: Answer(DriverView, description="The record, as it is kept now.", links=NEXT)}
SHOWN = {200: Answer(DriverView, description="The record.", links=NEXT)}
MOVED = {204: Answer(None, description="It is taken, or ignored.", headers=("Position-Ignored?",))}


@put(
    "/{driver_id:str}",
    operation_id="registerDriver",
    summary="Register or change a driver",
    responses=REGISTERED | documented(*BODY, Slug.FLEET_UNAVAILABLE),
)
async def register(
    driver_id: DriverId,
    data: JSONBody[NewDriver],
    drivers: NamedDependency[SkipValidation[Drivers]],
    fleet: NamedDependency[SkipValidation[Fleet]],
) -> DriverView:
    """Keep the driver's record, then tell the fleet.

    503 `fleet-unavailable` when the fleet cannot be told: the record is kept by then, so asking again is safe and
    needed; a 200 would promise that the driver takes part in searches from now on.
    """
    driver = Driver(parameter_id("driver_id", driver_id), data.name, data.on_duty).checked()
    stored = await drivers.put(driver)
    await fleet.register(stored)
    return DriverView.of(stored)


@get(
    "/{driver_id:str}",
    operation_id="showDriver",
    summary="Show a driver",
    responses=SHOWN | documented(Slug.NO_SUCH_DRIVER, Slug.INVALID),
)
async def show(driver_id: DriverId, drivers: NamedDependency[SkipValidation[Drivers]]) -> DriverView:
    """The driver's record."""
    return DriverView.of(await drivers.get(parameter_id("driver_id", driver_id)))


@put(
    "/{driver_id:str}/position",
    status_code=204,
    operation_id="moveDriver",
    summary="Say where a driver is",
    responses=MOVED | documented(*BODY, Slug.FLEET_UNAVAILABLE),
)
async def move(
    driver_id: DriverId, data: JSONBody[Fix], fleet: NamedDependency[SkipValidation[Fleet]]
) -> Response[None]:
    """Take a fix. One that is older than what is known is ignored, and `Position-Ignored: older` says so."""
    newer = await fleet.move(_position(parameter_id("driver_id", driver_id), data, datetime.now(UTC)))
    return Response(None, status_code=204, headers={} if newer else {"Position-Ignored": "older"})


DRIVER_ROUTES = (register, show, move)


def _position(driver_id: str, fix: Fix, now: datetime) -> Position:
    recorded_at = aware("recorded_at", fix.recorded_at) if fix.recorded_at else now
    try:
        return Position(driver_id, Place(fix.lat, fix.lng), recorded_at).checked(now)
    except Invalid as error:
        # The domain speaks of `position.lat`; in this body that is `/lat`, and the position is all of it.
        steps = error.field.split(".")
        raise InvalidBody("".join("/" + step for step in steps if step != "position"), error.why) from error
