"""`gofleet drivers`: register drivers, look at them, and move them."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from gofleet.cli.api_client import HERE, Remote, Url, all_items, asked, quoted
from gofleet.cli.output import Json, say, show, show_one
from gofleet.cli.params import POINT, Id, Limit, Point, Version

COLUMNS = {
    "id": "id",
    "name": "name",
    "on_duty": "on duty",
    "free": "free",
    "order_id": "order",
    "position": "position",
    "version": "version",
}
Switch = Annotated[Literal["on", "off"], Parameter(help="on or off.")]


def listed(
    *,
    bbox: Annotated[
        str | None,
        Parameter(help="Only who is seen inside MIN_LNG,MIN_LAT,MAX_LNG,MAX_LAT.", allow_leading_hyphen=True),
    ] = None,
    free: Annotated[bool | None, Parameter(help="Only who could take an order, or who could not.")] = None,
    on_duty: Annotated[bool | None, Parameter(help="Only who is on duty, or who is not.")] = None,
    limit: Limit = 50,
    url: Url = HERE,
    json: Json = False,
) -> None:
    """List drivers, by id; inside a box the nearest to its middle first, with their positions."""
    flags = {name: None if flag is None else str(flag).lower() for name, flag in (("free", free), ("on_duty", on_duty))}
    items, more = all_items(url, "/drivers", {"bbox": bbox, **flags}, limit)
    show(items, COLUMNS, json=json, more=more)


def shown(id: Id, /, *, url: Url = HERE, json: Json = False) -> None:
    """Show all that is known of a driver."""
    show_one(asked("GET", url, f"/drivers/{quoted(id)}"), json=json)


def registered(
    id: Id,
    /,
    *,
    name: Annotated[str, Parameter(help="As people call them.")],
    duty: Switch = "on",
    if_match: Version = None,
    url: Url = HERE,
    json: Json = False,
) -> None:
    """Register a driver, or change the whole record of one."""
    with Remote(url) as remote:
        body = {"name": name, "on_duty": duty == "on"}
        driver = remote.ask("PUT", f"/drivers/{quoted(id)}", body=body, if_match=if_match)
    show([driver], COLUMNS, json=json)


def duty(id: Id, switch: Switch, /, *, url: Url = HERE, json: Json = False) -> None:
    """Say whether a driver is on duty; only who is gets orders."""
    driver = asked("PUT", url, f"/drivers/{quoted(id)}/duty", body={"on_duty": switch == "on"})
    show([driver], COLUMNS, json=json)


def move(
    id: Id,
    place: Annotated[Point, POINT, Parameter(help="LAT,LNG in degrees.")],
    /,
    *,
    url: Url = HERE,
    json: Json = False,
) -> None:
    """Say where a driver is now."""
    asked("PUT", url, f"/drivers/{quoted(id)}/position", body=place.body())
    if json:
        say({"driver_id": id, **place.body()})
    else:
        print(f"driver {id} is at {place.lat}, {place.lng}")
