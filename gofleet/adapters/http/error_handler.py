"""From an exception to the problem that the client is answered."""

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

from gofleet.adapters.http.asgi import NOSNIFF, Send, raw_headers
from gofleet.adapters.http.etags import etag_of
from gofleet.adapters.http.load_shedding import Overloaded
from gofleet.adapters.http.problem_types import ProblemType
from gofleet.adapters.http.problems import MEDIA_TYPE, InvalidValue, Problem, problem_type_for
from gofleet.adapters.http.request_limits import BodyTooLarge, BodyTooSlow
from gofleet.adapters.http.sse import TooManyStreams
from gofleet.adapters.http.validation import InvalidBody, InvalidItems, InvalidParameter, plain_message
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


def problem_response(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """The answer to whatever a handler, or Litestar itself, raised."""
    found = problem_of(error, request.scope["state"].get("request_id"))
    return Response(found, status_code=found.status, media_type=MEDIA_TYPE, headers=problem_headers(error))


def problem_of(error: Exception, request_id: str | None) -> Problem:
    """What to tell the client; what it must not know is logged instead."""
    slug = problem_type_for(error)
    meaning = slug.meaning
    if (
        meaning.status >= HTTPStatus.INTERNAL_SERVER_ERROR and slug is not ProblemType.OVERCROWDED
    ):  # which tells for itself
        _log(error, slug, request_id)
    return Problem(
        type=slug.uri,
        title=meaning.title,
        status=meaning.status,
        detail=_detail(error, slug),
        errors=_faults(error),
        actual_count=error.actual if isinstance(error, CountMismatch) else None,
        request_id=request_id,
        trace_id=current_trace_id(),
    )


def problem_headers(error: Exception) -> dict[str, str]:
    """The headers that go with the problem."""
    match error:
        case HTTPException():
            return dict(error.headers or {})
        case Unauthenticated() | PermissionDenied():
            return {"WWW-Authenticate": challenge} if (challenge := _challenge(error)) else {}
        case Unavailable() | TooManyStreams() | Overloaded() | RateLimitExceeded():
            return {"Retry-After": str(max(1, ceil(error.retry_after_seconds)))}
        case VersionMismatch():
            return {"ETag": etag_of(error.version)} if error.version else {}
        case BodyTooLarge() | BodyTooSlow():
            return {"Connection": "close"}  # the rest of that body must not be taken for the next request
        case _:
            return {}


def _challenge(error: Unauthenticated | PermissionDenied) -> str | None:
    """RFC 6750, section 3."""
    match error:
        case Unauthenticated():
            return CHALLENGE + (', error="invalid_token"' if error.given else "")
        case PermissionDenied():
            return error.scope and f'{CHALLENGE}, error="insufficient_scope", scope="{error.scope}"'


def _log(error: Exception, slug: ProblemType, request_id: str | None) -> None:
    record_error(error)
    bound = logger.bind(request_id=request_id, problem=slug.value)
    if isinstance(error, (Unavailable, TooManyStreams)):
        bound.bind(why=str(error)).warning("request refused")
    else:
        bound.opt(exception=error).error("request failed")


def _detail(error: Exception, slug: ProblemType) -> str | None:
    match error:
        case Unavailable():
            return f"{error.what} cannot be reached, try again later"  # `why` may name hosts and users
        case ValidationException():
            return None  # its own detail repeats the URL; `errors` says it
        case HTTPException() if slug is not ProblemType.INTERNAL:
            return error.detail if error.detail != HTTPStatus(error.status_code).phrase else None
        case _:
            return None if slug is ProblemType.INTERNAL else str(error)


def _faults(error: Exception) -> list[InvalidValue]:
    match error:
        case InvalidParameter():
            return [InvalidValue(parameter=error.field, detail=error.why)]
        case InvalidBody():
            return [InvalidValue(pointer=error.pointer, detail=error.why)]
        case InvalidItems():
            return [InvalidValue(pointer=one.pointer, detail=one.why) for one in error.faults]
        case Invalid():
            return [InvalidValue(pointer=_pointer(error.field), detail=error.why)]
        case ValidationException():
            found = cast("list[dict[str, str]]", error.extra or [])
            return [InvalidValue(parameter=_parameter(each), detail=plain_message(each["message"])) for each in found]
        case _:
            return []


def _parameter(extra: dict[str, str]) -> str | None:
    """As the client wrote it; Litestar tells our handler's name, which cannot be `state`, a word of Litestar's own."""
    name = extra.get("key")
    return "state" if name == "stage" else name


def _pointer(field: str) -> str:
    """`pickup.lat` as the JSON pointer `/pickup/lat`."""
    return "".join("/" + step for step in field.split(".") if step)


_Pair = tuple[bytes, bytes]
_SOMEBODY = new_text_id()
"""Stands where the id of the request will be."""


async def send_overloaded(send: Send, most: int, request_id: str) -> int:
    """Answer as to `Overloaded(most)`; the status."""
    status, headers, before, behind = _written(most)
    own = request_id.encode("ascii")
    body = b"".join((before, own, behind))
    headers = [*headers, (b"content-length", b"%d" % len(body)), (b"x-request-id", own), NOSNIFF]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
    return status


@cache  # no more of them than there may be requests in hand
def _written(most: int) -> tuple[int, list[_Pair], bytes, bytes]:
    """The status, the headers that all of them have, and the body before and behind the request's id."""
    error = Overloaded(most)
    problem = structs.replace(problem_of(error, _SOMEBODY), trace_id=None)  # none has begun
    before, _, behind = msgspec.json.encode(problem).partition(_SOMEBODY.encode())
    headers = raw_headers(*problem_headers(error).items(), ("content-type", MEDIA_TYPE))
    return problem.status, headers, before, behind
