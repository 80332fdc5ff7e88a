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
from gofleet.adapters.http.problem_types import ProblemType
from gofleet.adapters.http.request_limits import BadHost, BodyIncomplete, BodyTooLarge, BodyTooSlow, MisdirectedRequest
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

NEXT_PAGE = {"query.cursor": "$response.body#/next_cursor"}
"""Link to the page after this one."""

RESPONSE_HEADERS: dict[str, dict[str, Any]] = {
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
class ResponseDoc(ResponseSpec):
    """One answer of a route: which of `HEADERS` it carries (`Name?`: may carry), the slugs of a problem, and `links`:
    the operation that may follow -> its parameters, as runtime expressions of OpenAPI."""

    data_container: Any  # Litestar's own type for it says nothing
    generate_examples: bool = False
    headers: tuple[str, ...] = ()
    slugs: tuple[ProblemType, ...] = ()
    links: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])


MEDIA_TYPE = "application/problem+json"

# An error is what its nearest ancestor in this table is.
SLUGS: Mapping[type[Exception], ProblemType] = {
    Invalid: ProblemType.INVALID,
    ValidationException: ProblemType.INVALID,
    UnknownDriver: ProblemType.UNKNOWN_DRIVER,
    MalformedJson: ProblemType.MALFORMED_JSON,
    UnsupportedMediaType: ProblemType.UNSUPPORTED_MEDIA_TYPE,
    BodyTooLarge: ProblemType.TOO_LARGE,
    BodyTooSlow: ProblemType.TOO_SLOW,
    BodyIncomplete: ProblemType.INCOMPLETE,
    BadHost: ProblemType.BAD_HOST,
    MisdirectedRequest: ProblemType.MISDIRECTED,
    Unauthenticated: ProblemType.UNAUTHENTICATED,
    PermissionDenied: ProblemType.FORBIDDEN,
    OrderNotFound: ProblemType.NO_SUCH_ORDER,
    DriverNotFound: ProblemType.NO_SUCH_DRIVER,
    NoPosition: ProblemType.NO_POSITION,
    NoPickup: ProblemType.NO_PICKUP,
    MalformedTag: ProblemType.MALFORMED_TAG,
    MissingTag: ProblemType.PRECONDITION_REQUIRED,
    VersionMismatch: ProblemType.VERSION_MISMATCH,
    OrderIdConflict: ProblemType.ORDER_TAKEN,
    OpenOrderLimitReached: ProblemType.TOO_MANY_OPEN_ORDERS,
    InvalidTransition: ProblemType.INVALID_TRANSITION,
    StaleOrder: ProblemType.STALE_ORDER,
    DriverBusy: ProblemType.DRIVER_BUSY,
    ParkedMessageNotFound: ProblemType.NO_SUCH_PARKED_MESSAGE,
    NotReplayable: ProblemType.NOT_REPLAYABLE,
    CountMismatch: ProblemType.COUNT_MISMATCH,
    RateLimitExceeded: ProblemType.TOO_MANY_REQUESTS,
    TooManyStreams: ProblemType.TOO_MANY_STREAMS,
    Overloaded: ProblemType.OVERCROWDED,
    Unavailable: ProblemType.UNAVAILABLE,
    FleetUnavailable: ProblemType.FLEET_UNAVAILABLE,
    NotFoundException: ProblemType.NOT_FOUND,
    MethodNotAllowedException: ProblemType.METHOD_NOT_ALLOWED,
}


class InvalidValue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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
            **{"enum": [slug.uri for slug in ProblemType], "x-enum-varnames": [slug.name for slug in ProblemType]},
        ),
    ]
    title: Annotated[str, described("The sort of problem for people; may change.", ProblemType.INVALID.meaning.title)]
    status: Annotated[int, described("The HTTP status.", 422, minimum=400, maximum=599)]
    detail: Annotated[str | None, described("This one for people; may change.", "price must be more than 0")] = None
    errors: Annotated[list[InvalidValue], described("The wrong values.")] = []
    actual_count: Annotated[Count | None, described("`count-mismatch`: how many there are.")] = None
    request_id: Annotated[str | None, described("As in X-Request-Id.", "0198c0de-0000-7000-8000-000000000001")] = None
    trace_id: Annotated[str | None, described("Of the request's trace.", "4bf92f3577b34da6a3ce929d0e0e4736")] = None


BODY_PROBLEMS = (
    ProblemType.MALFORMED_JSON,
    ProblemType.INCOMPLETE,
    ProblemType.TOO_SLOW,
    ProblemType.TOO_LARGE,
    ProblemType.UNSUPPORTED_MEDIA_TYPE,
    ProblemType.INVALID,
)
"""What may be wrong with any JSON body."""
AUTH_PROBLEMS = (ProblemType.UNAUTHENTICATED, ProblemType.FORBIDDEN, ProblemType.TOO_MANY_REQUESTS)
"""Where it matters who asks."""
COMMON_PROBLEMS = (
    ProblemType.INTERNAL,
    ProblemType.UNAVAILABLE,
    ProblemType.OVERCROWDED,
    ProblemType.BAD_HOST,
    ProblemType.MISDIRECTED,
)


def problem_responses(*slugs: ProblemType, public: bool = False) -> dict[int, ResponseDoc]:
    """The problems that a route may answer with, besides those that any may; `public`: whoever asks."""
    by_status: dict[int, list[ProblemType]] = defaultdict(list)
    for slug in dict.fromkeys((*slugs, *(() if public else AUTH_PROBLEMS), *COMMON_PROBLEMS)):
        by_status[slug.meaning.status].append(slug)
    return {
        status: ResponseDoc(
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


def problem_type_for(error: Exception) -> ProblemType:
    """What `error` is to a client; `internal` if nobody foresaw it."""
    for ancestor in type(error).__mro__:
        if found := SLUGS.get(ancestor):
            return found
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return ProblemType.BAD_REQUEST  # whatever else Litestar itself refuses
    return ProblemType.INTERNAL
