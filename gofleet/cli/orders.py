"""`gofleet orders`: create orders and look at them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from gofleet.cli.api_client import HERE, Url, all_items, asked, items_of, quoted
from gofleet.cli.output import Json, show, show_one
from gofleet.cli.params import AMOUNT, POINT, STATUS, Id, Limit, Point, StatusName, is_id
from gofleet.cli.params import status as status_of

COLUMNS = {
    "id": "id",
    "status": "status",
    "driver_id": "driver",
    "reason": "reason",
    "final_price": "price and tax",
    "version": "version",
    "created_at": "created at",
}
EVENT_COLUMNS = {
    "sequence": "version",
    "at": "at",
    "type": "event",
    "status": "status",
    "driver_id": "driver",
    "reason": "reason",
    "actor": "by",
    "trace_id": "trace",
}
CANDIDATE_COLUMNS = {
    "driver_id": "driver",
    "name": "name",
    "distance_m": "metres",
    "free": "free",
    "seen_at": "seen at",
    "lat": "lat",
    "lng": "lng",
}


def create(
    *,
    price: Annotated[Decimal, AMOUNT, Parameter(help="Without tax.")],
    tax: Annotated[Decimal, AMOUNT],
    id: Annotated[str | None, Parameter(help="Given one without.", validator=is_id)] = None,
    pickup: Annotated[Point | None, POINT, Parameter(help="LAT,LNG; the depot without.")] = None,
    dropoff: Annotated[Point | None, POINT, Parameter(help="LAT,LNG.")] = None,
    url: Url = HERE,
    json: Json = False,
) -> None:
    """Create an order. Asked again for the same id and content, it is the same order."""
    places = {"pickup": pickup and pickup.body(), "dropoff": dropoff and dropoff.body()}
    chosen = {name: value for name, value in {"id": id, **places}.items() if value is not None}
    order = asked("POST", url, "/orders", body={"price": price, "tax": tax, **chosen})
    show([order], COLUMNS, json=json)


def get(id: Id, /, *, url: Url = HERE, json: Json = False) -> None:
    """Show all that is known of an order."""
    show_one(asked("GET", url, f"/orders/{quoted(id)}"), json=json)


def listed(
    *,
    status: Annotated[StatusName | None, STATUS, Parameter(help="Only those in it.")] = None,
    driver: Annotated[str | None, Parameter(help="Only those of this driver.", validator=is_id)] = None,
    created_after: Annotated[datetime | None, Parameter(help="Only younger ones; this machine's time zone.")] = None,
    limit: Limit = 50,
    url: Url = HERE,
    json: Json = False,
) -> None:
    """List orders, newest first."""
    after = created_after and created_after.astimezone().isoformat()
    query = {"status": status and status_of(status), "driver_id": driver, "created_after": after}
    items, more = all_items(url, "/orders", query, limit)
    show(items, COLUMNS, json=json, more=more)


def events(id: Id, /, *, url: Url = HERE, json: Json = False) -> None:
    """Tell what became of an order: each move, when, why and by whom, the oldest first."""
    show(items_of(url, asked("GET", url, f"/orders/{quoted(id)}/events")), EVENT_COLUMNS, json=json)


def candidates(
    id: Id,
    /,
    *,
    limit: Limit = 5,
    radius_km: Annotated[float | None, Parameter(help="How far from the pickup.", validator=Number(gt=0))] = None,
    url: Url = HERE,
    json: Json = False,
) -> None:
    """List who could take an order, the nearest first; it claims nobody."""
    query = {"limit": limit, "radius_km": radius_km}
    said = asked("GET", url, f"/orders/{quoted(id)}/candidates", query=query)
    show(items_of(url, said), CANDIDATE_COLUMNS, json=json)
