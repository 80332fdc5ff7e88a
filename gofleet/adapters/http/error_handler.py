"""Conversion of exceptions to problem responses, and the pre-rendered 503 for shed requests."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from math import ceil
from typing import Any, cast

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from loguru import logger
from msgspec import structs

from gofleet.adapters.http.asgi import NOSNIFF, Send, raw_headers, respond
from gofleet.adapters.http.etags import etag_of
from gofleet.adapters.http.faults import InvalidBody, InvalidParameter, InvalidValues, plain_message
from gofleet.adapters.http.load_shedding import Overloaded
from gofleet.adapters.http.problem_types import MEDIA_TYPE, ProblemType, RequestError
from gofleet.adapters.http.problems import InvalidValue, Problem, problem_type_for
from gofleet.domain.errors import (
    CountMismatch,
    Invalid,
    PermissionDenied,
    RateLimitExceeded,
    Unauthenticated,
    Unavailable,
    VersionMismatch,
)
from gofleet.domain.values import new_text_id
from gofleet.telemetry.tracing import current_trace_id, record_error

CHALLENGE = 'Bearer realm="gofleet"'

_Pair = tuple[bytes, bytes]
_PLACEHOLDER = new_text_id()
"""Stands for the request id in the pre-rendered 503."""


def problem_response(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """Litestar exception handler for every error of a handler or of Litestar itself."""
    problem = problem_of(error, request.scope["state"].get("request_id"))
    return Response(problem, status_code=problem.status, media_type=MEDIA_TYPE, headers=problem_headers(error))


def problem_of(error: Exception, request_id: str | None) -> Problem:
    """The problem details of `error`; what the client must not see is logged instead."""
    kind = problem_type_for(error)
    # An overloaded server counts and logs its rejections by itself.
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR and kind is not ProblemType.OVERCROWDED:
        _log(error, kind, request_id)
    return Problem(
        type=kind.uri,
        title=kind.title,
        status=kind.status,
        detail=_detail(error, kind),
        errors=_invalid_values(error),
        actual_count=error.actual if isinstance(error, CountMismatch) else None,
        request_id=request_id,
        trace_id=current_trace_id(),
    )


def problem_headers(error: Exception) -> dict[str, str]:
    """The headers that accompany the problem."""
    match error:
        case HTTPException():
            # The middleware passes HEAD as GET.
            headers = (error.headers or {}).items()
            return {
                name: f"{value}, HEAD" if name.lower() == "allow" and "GET" in value else value
                for name, value in headers
            }
        case Unauthenticated() | PermissionDenied():
            return {"WWW-Authenticate": challenge} if (challenge := _challenge(error)) else {}
        case VersionMismatch():
            return {"ETag": etag_of(error.version)} if error.version else {}
        case RequestError(retry_after_seconds=None):
            return {**error.headers, **({"Connection": "close"} if error.closes_connection else {})}
        case Unavailable() | RateLimitExceeded() | RequestError():
            return {"Retry-After": str(max(1, ceil(error.retry_after_seconds or 0)))}
        case _:
            return {}


async def send_problem(send: Send, error: Exception, request_id: str | None) -> None:
    """Send the problem of `error` without the framework, as `problem_response` does."""
    problem = problem_of(error, request_id)
    await respond(send, problem.status, MEDIA_TYPE, msgspec.json.encode(problem), *problem_headers(error).items())


async def send_overloaded(send: Send, limit: int, request_id: str) -> int:
    """Send the problem of `Overloaded(limit)` and return its status.

    The response is rendered in advance: under overload the API sends more of these than anything else, and each must
    stay far cheaper than the request that it replaces.
    """
    status, headers, before, after = _rendered(limit)
    encoded_id = request_id.encode("ascii")
    body = b"".join((before, encoded_id, after))
    headers = [*headers, (b"content-length", b"%d" % len(body)), (b"x-request-id", encoded_id), NOSNIFF]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
    return status


@cache  # one entry for each value of the concurrency limit, so its size is bounded
def _rendered(limit: int) -> tuple[int, list[_Pair], bytes, bytes]:
    """The status, the constant headers, and the body before and after the request id."""
    error = Overloaded(limit)
    problem = structs.replace(problem_of(error, _PLACEHOLDER), trace_id=None)  # shed requests have no trace
    before, _, after = msgspec.json.encode(problem).partition(_PLACEHOLDER.encode())
    headers = raw_headers(*problem_headers(error).items(), ("content-type", MEDIA_TYPE))
    return problem.status, headers, before, after


def _challenge(error: Unauthenticated | PermissionDenied) -> str | None:
    """The WWW-Authenticate challenge (RFC 6750, section 3)."""
    match error:
        case Unauthenticated():
            return CHALLENGE + (', error="invalid_token"' if error.given else "")
        case PermissionDenied():
            return error.scope and f'{CHALLENGE}, error="insufficient_scope", scope="{error.scope}"'


def _log(error: Exception, kind: ProblemType, request_id: str | None) -> None:
    record_error(error)
    bound = logger.bind(request_id=request_id, problem=kind.slug)
    if isinstance(error, (Unavailable, RequestError)):
        bound.bind(why=str(error)).warning("request rejected")
    else:
        bound.opt(exception=error).error("request failed")


def _detail(error: Exception, kind: ProblemType) -> str | None:
    match error:
        case Unavailable():
            return f"{error.what} is unavailable, retry later"  # `why` may name hosts and users
        case ValidationException():
            return None  # Litestar's detail repeats the URL; `errors` lists the values
        case HTTPException() if kind is not ProblemType.INTERNAL:
            return error.detail if error.detail != HTTPStatus(error.status_code).phrase else None
        case _:
            return None if kind is ProblemType.INTERNAL else str(error)


def _invalid_values(error: Exception) -> list[InvalidValue]:
    match error:
        case InvalidParameter():
            return [InvalidValue(parameter=error.field, detail=error.why)]
        case InvalidBody():
            return [InvalidValue(pointer=error.pointer, detail=error.why)]
        case InvalidValues():
            return [value for fault in error.faults for value in _invalid_values(fault)]
        case Invalid():
            return [InvalidValue(pointer=_pointer(error.field), detail=error.why)]
        case ValidationException():
            extras = cast("list[dict[str, str]]", error.extra or [])
            return [
                InvalidValue(parameter=_parameter(extra), detail=plain_message(extra["message"])) for extra in extras
            ]
        case _:
            return []


def _parameter(extra: dict[str, str]) -> str | None:
    """The parameter's name in the request. Litestar reports the handler's argument, which cannot be `state` because
    Litestar reserves that name."""
    name = extra.get("key")
    return "state" if name == "stage" else name


def _pointer(field: str) -> str:
    """`pickup.lat` as the JSON pointer `/pickup/lat`."""
    return "".join("/" + step for step in field.split(".") if step)
