"""The answer to one request too many, written in advance: under such a load it is what most are answered, and must stay
far cheaper than what it spares."""

from __future__ import annotations

from functools import cache

import msgspec
from msgspec import structs

from gofleet.adapters.http.asgi import NOSNIFF, Send, raw_headers
from gofleet.adapters.http.error_handler import headers_of, problem_of
from gofleet.adapters.http.load_shedding import Overloaded
from gofleet.adapters.http.problems import MEDIA_TYPE
from gofleet.domain.values import new_name

_Pair = tuple[bytes, bytes]
_SOMEBODY = new_name()
"""Stands where the id of the request will be."""


async def refuse(send: Send, most: int, request_id: str) -> int:
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
    headers = raw_headers(*headers_of(error).items(), ("content-type", MEDIA_TYPE))
    return problem.status, headers, before, behind
