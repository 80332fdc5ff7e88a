"""What the path and the query carry, checked."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from litestar import Request
from litestar.openapi.spec import Example
from litestar.params import HeaderParameter, PathParameter, QueryParameter

from gofleet.adapters.http.fields import ID, NUMBER_TEXT
from gofleet.domain.driver import driver_identifier
from gofleet.domain.errors import Invalid
from gofleet.domain.ids import identifier

_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def _like(value: object) -> list[Example]:
    return [Example(value=value)]


# The schemas only tell: what is wrong is said by our own checks, in words rather than in regular expressions.
OrderId = Annotated[
    str, PathParameter(description="Id of the order.", schema_extra=ID, examples=_like("pedido-teste-01"))
]
DriverId = Annotated[str, PathParameter(description="Id of the driver.", schema_extra=ID, examples=_like("maria"))]
ParkedId = Annotated[
    str, PathParameter(description="Number of the parked message.", schema_extra=NUMBER_TEXT, examples=_like("7"))
]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Items of one answer at most.", examples=_like(50))]
TAGS: dict[str, Any] = {"minLength": 1, "pattern": r'^(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$'}
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="ETag of what is to be changed, as the client saw it; several, or `*` for any.",
        schema_extra=TAGS,
        examples=_like('"3"'),
    ),
]
IfNoneMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-None-Match",
        description="ETags that the client has: 304 if it is one of them.",
        examples=_like('"3"'),
    ),
]


def filtering(text: str, example: object, **more: Any) -> QueryParameter:
    """An optional condition of a list; `more` are words of JSON Schema."""
    return QueryParameter(description=text, examples=_like(example), schema_extra=more or None)


class BadParameter(Invalid):
    """`Invalid`, in the path or the query instead of the body."""


async def checked_query(request: Request[Any, Any, Any]) -> None:
    """Before a handler. Litestar takes the last value of a parameter that was sent twice, `null` for not sent, and a
    number for the seconds since 1970."""
    fields = {
        getattr(field.kwarg_definition, "name", None) or name: field
        for name, field in request.route_handler.parsed_fn_signature.parameters.items()
    }
    seen: set[str] = set()
    for name, value in request.query_params.multi_items():
        if not (field := fields.get(name)):
            continue
        if any(one.is_non_string_sequence for one in (field, *field.inner_types)):
            continue  # it may be repeated
        kinds = {field.annotation, *(inner.annotation for inner in field.inner_types)}
        if name in seen:
            raise BadParameter(name, "must be given once")
        if value.lower() == "null" and str not in kinds:
            raise BadParameter(name, "must not be null; leave it out")
        if datetime in kinds and not _DATE.match(value):
            raise BadParameter(name, "must be a time as in RFC 3339")
        seen.add(name)


def parameter_id(name: str, text: str) -> str:
    """An identifier out of the path or the query."""
    try:
        return identifier(name, text)
    except Invalid as error:
        raise BadParameter(name, error.why) from error


def parameter_driver_id(text: str) -> str:
    """A driver's id out of the path."""
    try:
        return driver_identifier("driver_id", text)
    except Invalid as error:
        raise BadParameter("driver_id", error.why) from error


def aware(field: str, time: datetime, refusal: type[Invalid] = Invalid) -> datetime:
    """`time` in UTC; refused when it names no time zone, or lies outside the calendar in UTC."""
    if time.tzinfo is None:
        raise refusal(field, "must name a time zone, such as Z")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise refusal(field, "is out of range") from error
