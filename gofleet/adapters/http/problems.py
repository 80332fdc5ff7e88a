"""RFC 9457 problem details, and the responses that routes declare for the OpenAPI document."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from gofleet.adapters.http.fields import Count, described
from gofleet.adapters.http.problem_types import MEDIA_TYPE, ProblemType, RequestError, problem_type
from gofleet.domain.errors import GoFleetError
from gofleet.domain.values import IDENTIFIER_SCHEMA

TAG_PATTERN = r'^"[!#-~]+"$'

NEXT_PAGE = {"query.cursor": "$response.body#/next_cursor"}
"""Link from one page of a list to the next one."""

RESPONSE_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "Id of the request in the logs: the client's own X-Request-Id if valid, else a new id.",
        "required": True,
        "schema": {"type": "string", **IDENTIFIER_SCHEMA},
        "example": "0198c0de-0000-7000-8000-000000000001",
    },
    "ETag": {
        "description": "Version of the resource, for If-Match and If-None-Match.",
        "required": True,
        "schema": {"type": "string", "pattern": TAG_PATTERN},
        "example": '"3"',
    },
    "Location": {
        "description": "URL of the order.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/api/v1/orders/pedido-teste-01",
    },
    "Idempotent-Replayed": {
        "description": "Marks the repeated response to a repeated request.",
        "required": True,
        "schema": {"type": "string", "const": "true"},
    },
    "WWW-Authenticate": {
        "description": "Bearer challenge, with the error of the token that was sent (RFC 6750).",
        "required": True,
        "schema": {"type": "string", "pattern": "^Bearer "},
        "example": 'Bearer realm="gofleet"',
    },
    "RateLimit": {
        "description": "Remaining quota and seconds until it is full again, if rate limits are on.",
        "required": True,
        "schema": {"type": "string"},
        "example": '"default";r=59;t=1',
    },
    "RateLimit-Policy": {
        "description": "Quota and its window in seconds, if rate limits are on.",
        "required": True,
        "schema": {"type": "string"},
        "example": '"default";q=60;w=3',
    },
    "Position-Ignored": {
        "description": "The position was ignored because a newer one is known.",
        "required": True,
        "schema": {"type": "string", "const": "older"},
    },
    "Retry-After": {
        "description": "Seconds to wait before a retry.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
}
"""Headers that a `ResponseDoc` may name. X-Request-Id is part of every response."""


@dataclass
class ResponseDoc(ResponseSpec):
    """One response of a route, with more than Litestar's `ResponseSpec` can describe.

    `headers` names entries of `RESPONSE_HEADERS` (`Name?`: optional), `problems` the problem types of an error
    response, `links` the operations that may follow -> their parameters, as OpenAPI runtime expressions.
    """

    data_container: Any  # Litestar's own type for it is too narrow
    generate_examples: bool = False
    headers: tuple[str, ...] = ()
    problems: tuple[ProblemType, ...] = ()
    links: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])


class InvalidValue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One invalid value and its location."""

    detail: Annotated[str, described("What is wrong with the value.", "must be more than 0")]
    pointer: Annotated[
        str | None, described("JSON pointer into the body (RFC 6901).", "/price", format="json-pointer")
    ] = None
    parameter: Annotated[str | None, described("Name of the path, query or header parameter.")] = None


_URIS: dict[str, Any] = {
    "enum": [problem.uri for problem in ProblemType],
    "x-enum-varnames": [problem.name for problem in ProblemType],
}


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457 problem details, extended by `errors`, `actual_count`, `request_id` and `trace_id`."""

    type: Annotated[
        str,
        described(
            "Identifies the problem type; never changes.",
            **_URIS,
        ),
    ]
    title: Annotated[str, described("Human-readable problem type; may change.", ProblemType.INVALID.title)]
    status: Annotated[int, described("HTTP status.", 422, minimum=400, maximum=599)]
    detail: Annotated[
        str | None, described("Human-readable details of this occurrence; may change.", "price must be more than 0")
    ] = None
    errors: Annotated[list[InvalidValue], described("The invalid values.")] = []
    actual_count: Annotated[Count | None, described("The actual number, for `count-mismatch`.")] = None
    request_id: Annotated[
        str | None, described("The same as X-Request-Id.", "0198c0de-0000-7000-8000-000000000001")
    ] = None
    trace_id: Annotated[str | None, described("Id of the request's trace.", "4bf92f3577b34da6a3ce929d0e0e4736")] = None


BODY_PROBLEMS = (
    ProblemType.MALFORMED_JSON,
    ProblemType.INCOMPLETE,
    ProblemType.TOO_SLOW,
    ProblemType.TOO_LARGE,
    ProblemType.UNSUPPORTED_MEDIA_TYPE,
    ProblemType.INVALID,
)
"""Problems of every route with a JSON body."""
AUTH_PROBLEMS = (ProblemType.UNAUTHENTICATED, ProblemType.FORBIDDEN)
"""Problems of every route that requires authentication."""
COMMON_PROBLEMS = (
    ProblemType.TOO_MANY_REQUESTS,
    ProblemType.INTERNAL,
    ProblemType.UNAVAILABLE,
    ProblemType.OVERCROWDED,
    ProblemType.BAD_HOST,
    ProblemType.MISDIRECTED,
)
"""Problems of every route."""
PROBLEM_HEADERS = {401: ("WWW-Authenticate",), 412: ("ETag?",), 429: ("Retry-After",), 503: ("Retry-After",)}


def problem_responses(*problems: ProblemType, public: bool = False) -> dict[int, ResponseDoc]:
    """Error responses of a route: `problems`, the common ones and, unless it is `public`, those of authentication."""
    by_status: dict[int, list[ProblemType]] = defaultdict(list)
    for problem in dict.fromkeys((*problems, *(() if public else AUTH_PROBLEMS), *COMMON_PROBLEMS)):
        by_status[problem.status].append(problem)
    return {
        status: ResponseDoc(
            Problem,
            description="; ".join(f"`{problem.slug}`: {problem.title}" for problem in group),
            media_type=MEDIA_TYPE,
            generate_examples=False,
            problems=tuple(group),
            headers=PROBLEM_HEADERS.get(status, ()),
        )
        for status, group in sorted(by_status.items())
    }


def problem_type_for(error: Exception) -> ProblemType:
    """The problem type of any exception: by `code` for our own errors, by class for those of Litestar."""
    match error:
        case GoFleetError() | RequestError():
            return problem_type(error.code)
        case ValidationException():
            return ProblemType.INVALID
        case NotFoundException():
            return ProblemType.NOT_FOUND
        case MethodNotAllowedException():
            return ProblemType.METHOD_NOT_ALLOWED
        case HTTPException() if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return ProblemType.BAD_REQUEST
        case _:
            return ProblemType.INTERNAL
