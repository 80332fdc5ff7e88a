"""`gofleet drivers`: registers and reads drivers, and updates their positions."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from gofleet.cli.api_client import DEFAULT_URL, Url, call_api, fetch_items, quote_id
from gofleet.cli.output import Json, print_item, print_items, print_json
from gofleet.cli.params import LAT_LNG, Id, LatLng, Limit, Version, choice

COLUMNS = {
    "id": "id",
    "name": "name",
    "on_duty": "on duty",
    "state": "state",
    "order_id": "order",
    "position": "position",
    "off_duty_by": "off duty by",
    "version": "version",
}
Switch = Annotated[Literal["on", "off"], choice(("on", "off")), Parameter(help="on or off.")]


def list_drivers_command(
    *,
    bbox: Annotated[
        str | None,
        Parameter(help="Only drivers inside MIN_LNG,MIN_LAT,MAX_LNG,MAX_LAT.", allow_leading_hyphen=True),
    ] = None,
    free: Annotated[bool | None, Parameter(help="Only drivers that are free, or that are not.")] = None,
    on_duty: Annotated[bool | None, Parameter(help="Only drivers on duty, or off duty.")] = None,
    limit: Limit = 50,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """List drivers by id; with --bbox by distance from its centre, with their positions."""
    flags = {name: None if flag is None else str(flag).lower() for name, flag in (("free", free), ("on_duty", on_duty))}
    items, more = fetch_items(url, "/drivers", {"bbox": bbox, **flags}, limit)
    print_items(items, COLUMNS, json=json, more=more, more_by="a smaller --bbox" if bbox else "--limit")


def show_driver_command(id: Id, /, *, url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Show all fields of a driver."""
    print_item(call_api("GET", url, f"/drivers/{quote_id(id)}"), json=json)


def set_driver_command(
    id: Id,
    /,
    *,
    name: Annotated[str, Parameter(help="Display name.")],
    duty: Switch = "on",
    if_match: Version = None,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Register a driver, or replace an existing one."""
    body = {"name": name, "on_duty": duty == "on"}
    driver = call_api("PUT", url, f"/drivers/{quote_id(id)}", body=body, if_match=if_match)
    print_items([driver], COLUMNS, json=json)


def set_duty_command(id: Id, switch: Switch, /, *, url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Set a driver on or off duty; only drivers on duty get orders. What staff set off only staff set on again."""
    driver = call_api("PUT", url, f"/drivers/{quote_id(id)}/duty", body={"on_duty": switch == "on"})
    print_items([driver], COLUMNS, json=json)


def update_position_command(
    id: Id,
    place: Annotated[LatLng, LAT_LNG, Parameter(help="LAT,LNG in degrees.")],
    /,
    *,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Update a driver's position."""
    call_api("PUT", url, f"/drivers/{quote_id(id)}/position", body=place.body())
    if json:
        print_json({"driver_id": id, **place.body()})
    else:
        print(f"driver {id} is at {place.lat}, {place.lng}")
