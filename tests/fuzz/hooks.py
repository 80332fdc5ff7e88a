"""What JSON Schema cannot say of our inputs, said to schemathesis, so that it knows which of its ideas are valid.

None of it names a route: a rule goes by the shape of a value or by the name of a parameter.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import schemathesis

from gofleet.adapters.http.pagination import parse_driver_cursor, parse_order_cursor, parse_row_cursor
from gofleet.domain import order_data
from gofleet.domain.driver import FUTURE_TOLERANCE, driver_name
from gofleet.domain.errors import Invalid
from gofleet.domain.values import AMOUNT_MAX

Json = dict[str, Any]
NEAR_KM = 10
MARKER, LEAKS, CUSTOMER = "GOFLEET_TEST_MARKER", "GOFLEET_TEST_LEAKS", "GOFLEET_TEST_CUSTOMER"
AUTH_OFF = "GOFLEET_TEST_AUTH_OFF"
"""Names in the environment: what no answer may have in it, the file that tells which did, that a customer asks, and
that the server has AUTH=off."""
hook = cast("Callable[[Callable[..., object]], object]", schemathesis.hook)
FIRST = datetime.min.replace(tzinfo=UTC) + timedelta(days=2)
LAST = datetime.max.replace(tzinfo=UTC) - timedelta(days=2)
"""Beyond them a time may be outside of the calendar in UTC."""


@hook
def before_load_schema(context: object, raw_schema: Json) -> None:
    """A stream has no end, so no answer of it is ever whole: tests/roles asks for those."""
    for path, operations in raw_schema["paths"].items():
        for method, operation in list(operations.items()):
            if any("text/event-stream" in one.get("content", {}) for one in operation["responses"].values()):
                del raw_schema["paths"][path][method]
    if AUTH_OFF in os.environ:  # the document says so in prose only
        raw_schema["components"]["securitySchemes"] = {}
        for operations in raw_schema["paths"].values():
            for operation in operations.values():
                operation["security"] = []
    if CUSTOMER in os.environ:
        _of_a_customer(raw_schema)


def _of_a_customer(raw_schema: Json) -> None:
    """Customers order for themselves only, so to them there is no such field."""
    del raw_schema["components"]["schemas"]["NewOrder"]["properties"]["customer_id"]
    for media in raw_schema["paths"]["/api/v1/orders"]["post"]["requestBody"]["content"].values():
        media["example"].pop("customer_id", None)


@hook
def after_call(context: object, case: Any, response: Any) -> None:
    """No response may contain values marked as belonging to another owner."""
    marker = os.environ.get(MARKER)
    if marker and marker in response.text + str(response.headers):
        with Path(os.environ[LEAKS]).open("a") as leaks:
            leaks.write(f"{case.method} {case.path}: {response.text}\n")


@hook
def filter_case(context: object, case: Any) -> bool:
    """Whether it may be tried; what is meant to be refused always may."""
    if case.meta is None or case.meta.generation.mode.is_negative:
        return True
    if any(component.mode.is_negative for component in case.meta.components.values()):
        return False  # it could think of no valid value for a header, and took an invalid one
    query: Json = dict(case.query or {})
    return (
        all(map(_possible, _objects(case.body)))
        and _one_name(dict(case.headers or {}).get("Idempotency-Key"), case.body)
        and _given(query.get("cursor"), case.path)
        and _in_the_calendar(query.get("created_after"))
        and _a_box(query.get("bbox"))
        and _near(query.get("radius_km"))
        and _allowed(query.get("reference"), order_data.reference)
    )


def _given(cursor: object, path: str) -> bool:
    """A cursor is one that we gave for such a list, or none: links bring real ones."""
    lists = {"orders": parse_order_cursor, "drivers": parse_driver_cursor}
    read = next((read for name, read in lists.items() if path.endswith(f"/{name}")), parse_row_cursor)
    return cursor is None or _reads(str(cursor), read)


def _one_name(key: object, body: object) -> bool:
    """The key is the id where there is none; a schema cannot compare a header with a body."""
    text = str(key).strip('"')
    id = cast("Json", body).get("id") if isinstance(body, dict) else None
    return key is None or (id in {None, text} and text not in {".", "..", "stream"})


def _a_box(text: object) -> bool:
    """Which lies on the map and has an inside; a pattern cannot compare numbers."""
    try:
        west, south, east, north = map(float, str(text).split(","))
    except ValueError:
        return True
    return -180 <= west < east <= 180 and -90 <= south < north <= 90


def _near(kilometres: object) -> bool:
    """How far one may look is a setting of the installation."""
    return kilometres is None or float(str(kilometres)) <= NEAR_KM


def _reads(cursor: str, read: Callable[[str], object]) -> bool:
    try:
        read(cursor)
    except Invalid:
        return False
    return True


def _objects(value: Any) -> list[Json]:
    if isinstance(value, dict):
        found = cast("Json", value)
        return [found, *(one for inner in found.values() for one in _objects(inner))]
    if isinstance(value, list):
        return [one for inner in cast("list[Any]", value) for one in _objects(inner)]
    return []


def _possible(value: Json) -> bool:
    price, tax, name = value.get("price"), value.get("tax"), value.get("name")
    if isinstance(price, int | float) and isinstance(tax, int | float) and price + tax > AMOUNT_MAX:
        return False
    if isinstance(name, str) and name.strip() and not _reads(name, lambda text: driver_name("name", text)):
        return False
    if not _allowed(value.get("reference"), order_data.reference) or not _allowed(value.get("metadata"), _pairs):
        return False
    # JSON Schema takes 3.0 for an integer, which our strict reading of numbers does not.
    if any(
        isinstance(one, float) and one.is_integer() and field.endswith(("_count", "quantity"))
        for field, one in value.items()
    ):
        return False
    if value.get("lat") == 0 and value.get("lng") == 0:
        return False
    return _in_the_past(value.get("recorded_at"))


def _pairs(field: str, pairs: Json) -> None:
    """As `checked_metadata`, for changes too, which remove pairs by null."""
    order_data.checked_metadata(field, {key: value or "" for key, value in pairs.items()})


def _allowed(value: Any, rule: Callable[[str, Any], object]) -> bool:
    """A text or an object that a schema allows, and the domain, too."""
    try:
        if isinstance(value, str | dict):
            rule("", value)
    except Invalid:
        return False
    return True


def _in_the_past(text: object) -> bool:
    at = _time(text)
    return at is None or (_in_the_calendar(text) and at <= datetime.now(UTC) + FUTURE_TOLERANCE)


def _in_the_calendar(text: object) -> bool:
    at = _time(text)
    return at is None or FIRST < at.replace(tzinfo=UTC) < LAST


def _time(text: object) -> datetime | None:
    """The time that it names with a zone; None if it names none."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else None
