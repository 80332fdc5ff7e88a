"""RFC 9457 problem details: the one table from what went wrong to what the client is told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from gofleet.adapters.http.etags import MalformedTag, MissingTag
from gofleet.adapters.http.fields import Count, described
from gofleet.adapters.http.load_shedding import Overloaded
from gofleet.adapters.http.problem_types import Slug
from gofleet.adapters.http.request_limits import BadHost, BodyIncomplete, BodyTooLarge, BodyTooSlow, Misdirected
from gofleet.adapters.http.sse import TooManyStreams
from gofleet.adapters.http.validation import MalformedJson, UnsupportedMediaType
from gofleet.domain.errors import (
    CountMismatch,
    DriverBusy,
    DriverNotFound,
    FleetUnavailable,
    Invalid,
    InvalidTransition,
    NoPickup,
    NoPosition,
    NotReplayable,
    OpenOrderLimitReached,
    OrderIdConflict,
    OrderNotFound,
    ParkedMessageNotFound,
    PermissionDenied,
    RateLimitExceeded,
    StaleOrder,
    Unauthenticated,
    Unavailable,
    UnknownDriver,
    VersionMismatch,
)
from gofleet.domain.values import IDENTIFIER

TAG_PATTERN = r'^"[!#-~]+"$'

AFTER = {"query.cursor": "$response.body#/next_cursor"}
"""Link to the page after this one."""

HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "Names the request in our logs: the client's own X-Request-Id if it is one, else a new id.",
        "required": True,
        "schema": {"type": "string", "pattern": f"^{IDENTIFIER.pattern}$"},
        "example": "0198c0de-0000-7000-8000-000000000001",
    },
    "ETag": {
        "description": "Names this version of what is answered: for If-Match and If-None-Match.",
        "required": True,
        "schema": {"type": "string", "pattern": TAG_PATTERN},
        "example": '"3"',
    },
    "Location": {
        "description": "Where the order is from now on.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/api/v1/orders/pedido-teste-01",
    },
    "Idempotent-Replayed": {
        "description": "The same was asked for before, and this is that answer again.",
        "required": True,
        "schema": {"type": "string", "const": "true"},
    },
    "WWW-Authenticate": {
        "description": "That a bearer token is asked for, and what is wrong with the one that was sent (RFC 6750).",
        "required": True,
        "schema": {"type": "string", "pattern": "^Bearer "},
        "example": 'Bearer realm="gofleet"',
    },
    "RateLimit": {
        "description": "How often you may still ask, and after how many seconds all is forgotten, where limits are on.",
        "required": True,
        "schema": {"type": "string"},
        "example": '"default";r=59;t=1',
    },
    "RateLimit-Policy": {
        "description": "How often you may ask within how many seconds, where limits are on.",
        "required": True,
        "schema": {"type": "string"},
        "example": '"default";q=60;w=3',
    },
    "Position-Ignored": {
        "description": "The position was not taken, for a newer one is known.",
        "required": True,
        "schema": {"type": "string", "const": "older"},
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
}
"""Those that a description may name. The first is part of every answer."""


@dataclass
class Answer(ResponseSpec):
    """One answer of a route: which of `HEADERS` it carries (`Name?`: may carry), the slugs of a problem, and `links`:
    the operation that may follow -> its parameters, as runtime expressions of OpenAPI."""

    data_container: Any  # Litestar's own type for it says nothing
    generate_examples: bool = False
    headers: tuple[str, ...] = ()
    slugs: tuple[Slug, ...] = ()
    links: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])


MEDIA_TYPE = "application/problem+json"

# An error is what its nearest ancestor in this table is.
SLUGS: Mapping[type[Exception], Slug] = {
    Invalid: Slug.INVALID,
    ValidationException: Slug.INVALID,
    UnknownDriver: Slug.UNKNOWN_DRIVER,
    MalformedJson: Slug.MALFORMED_JSON,
    UnsupportedMediaType: Slug.UNSUPPORTED_MEDIA_TYPE,
    BodyTooLarge: Slug.TOO_LARGE,
    BodyTooSlow: Slug.TOO_SLOW,
    BodyIncomplete: Slug.INCOMPLETE,
    BadHost: Slug.BAD_HOST,
    Misdirected: Slug.MISDIRECTED,
    Unauthenticated: Slug.UNAUTHENTICATED,
    PermissionDenied: Slug.FORBIDDEN,
    OrderNotFound: Slug.NO_SUCH_ORDER,
    DriverNotFound: Slug.NO_SUCH_DRIVER,
    NoPosition: Slug.NO_POSITION,
    NoPickup: Slug.NO_PICKUP,
    MalformedTag: Slug.MALFORMED_TAG,
    MissingTag: Slug.PRECONDITION_REQUIRED,
    VersionMismatch: Slug.VERSION_MISMATCH,
    OrderIdConflict: Slug.ORDER_TAKEN,
    OpenOrderLimitReached: Slug.TOO_MANY_OPEN_ORDERS,
    InvalidTransition: Slug.INVALID_TRANSITION,
    StaleOrder: Slug.STALE_ORDER,
    DriverBusy: Slug.DRIVER_BUSY,
    ParkedMessageNotFound: Slug.NO_SUCH_PARKED_MESSAGE,
    NotReplayable: Slug.NOT_REPLAYABLE,
    CountMismatch: Slug.COUNT_MISMATCH,
    RateLimitExceeded: Slug.TOO_MANY_REQUESTS,
    TooManyStreams: Slug.TOO_MANY_STREAMS,
    Overloaded: Slug.OVERCROWDED,
    Unavailable: Slug.UNAVAILABLE,
    FleetUnavailable: Slug.FLEET_UNAVAILABLE,
    NotFoundException: Slug.NOT_FOUND,
    MethodNotAllowedException: Slug.METHOD_NOT_ALLOWED,
}


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One wrong value, and where it is."""

    detail: Annotated[str, described("What is wrong with it.", "must be more than 0")]
    pointer: Annotated[str | None, described("Where in the body (RFC 6901).", "/price", format="json-pointer")] = None
    parameter: Annotated[str | None, described("Which parameter of path, query or headers.")] = None


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem as RFC 9457 has it, with our extensions `errors`, `actual_count`, `request_id` and `trace_id`."""

    type: Annotated[
        str,
        described(
            "Names the sort of problem for good; programs match on it.",
            **{"enum": [slug.uri for slug in Slug], "x-enum-varnames": [slug.name for slug in Slug]},
        ),
    ]
    title: Annotated[str, described("The sort of problem for people; may change.", Slug.INVALID.meaning.title)]
    status: Annotated[int, described("The HTTP status.", 422, minimum=400, maximum=599)]
    detail: Annotated[str | None, described("This one for people; may change.", "price must be more than 0")] = None
    errors: Annotated[list[Fault], described("The wrong values.")] = []
    actual_count: Annotated[Count | None, described("`count-mismatch`: how many there are.")] = None
    request_id: Annotated[str | None, described("As in X-Request-Id.", "0198c0de-0000-7000-8000-000000000001")] = None
    trace_id: Annotated[str | None, described("Of the request's trace.", "4bf92f3577b34da6a3ce929d0e0e4736")] = None


BODY = (
    Slug.MALFORMED_JSON,
    Slug.INCOMPLETE,
    Slug.TOO_SLOW,
    Slug.TOO_LARGE,
    Slug.UNSUPPORTED_MEDIA_TYPE,
    Slug.INVALID,
)
"""What may be wrong with any JSON body."""
KNOWN = (Slug.UNAUTHENTICATED, Slug.FORBIDDEN, Slug.TOO_MANY_REQUESTS)
"""Where it matters who asks."""
ALWAYS = (Slug.INTERNAL, Slug.UNAVAILABLE, Slug.OVERCROWDED, Slug.BAD_HOST, Slug.MISDIRECTED)


def documented(*slugs: Slug, public: bool = False) -> dict[int, Answer]:
    """The problems that a route may answer with, besides those that any may; `public`: whoever asks."""
    by_status: dict[int, list[Slug]] = defaultdict(list)
    for slug in dict.fromkeys((*slugs, *(() if public else KNOWN), *ALWAYS)):
        by_status[slug.meaning.status].append(slug)
    return {
        status: Answer(
            Problem,
            description="; ".join(f"`{slug}`: {slug.meaning.title}" for slug in found),
            media_type=MEDIA_TYPE,
            generate_examples=False,
            slugs=tuple(found),
            headers=PROBLEM_HEADERS.get(status, ()),
        )
        for status, found in sorted(by_status.items())
    }


PROBLEM_HEADERS = {401: ("WWW-Authenticate",), 412: ("ETag?",), 429: ("Retry-After",), 503: ("Retry-After",)}


def slug_for(error: Exception) -> Slug:
    """What `error` is to a client; `internal` if nobody foresaw it."""
    for ancestor in type(error).__mro__:
        if found := SLUGS.get(ancestor):
            return found
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Slug.BAD_REQUEST  # whatever else Litestar itself refuses
    return Slug.INTERNAL
