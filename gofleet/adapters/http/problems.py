"""RFC 9457 problem details: the one table from what went wrong to what the client is told."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

import msgspec
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from gofleet.adapters.http.bodies import NotJson, WrongMediaType
from gofleet.adapters.http.hosts import BadHost, Misdirected
from gofleet.adapters.http.limits import BodyIncomplete, BodyTooLarge, BodyTooSlow
from gofleet.adapters.http.tags import BadTag, NoTag
from gofleet.domain.errors import (
    CountMismatch,
    DriverBusy,
    IllegalMove,
    Invalid,
    NoSuchDriver,
    NoSuchOrder,
    NoSuchParked,
    NotReplayable,
    OrderTaken,
    StaleOrder,
    Unavailable,
    UnknownDriver,
    VersionMismatch,
)

MEDIA_TYPE = "application/problem+json"


class Kind(NamedTuple):
    """One kind of problem: clients match on the slug, which never changes; people read the title."""

    status: int
    slug: str
    title: str


INTERNAL = Kind(500, "internal", "Something went wrong on our side")

# An error is what its nearest ancestor in this table is.
KINDS: Mapping[type[Exception], Kind] = {
    Invalid: Kind(422, "invalid", "The request's content is not valid"),
    ValidationException: Kind(422, "invalid", "The request's content is not valid"),
    UnknownDriver: Kind(422, "unknown-driver", "There is no such driver"),
    NotJson: Kind(400, "malformed-json", "The body is not JSON"),
    WrongMediaType: Kind(415, "unsupported-media-type", "The body must be application/json"),
    BodyTooLarge: Kind(413, "too-large", "The body is too large"),
    BodyTooSlow: Kind(408, "too-slow", "The body came too slowly"),
    BodyIncomplete: Kind(400, "incomplete", "The body is incomplete"),
    BadHost: Kind(400, "bad-host", "The Host header is not one name"),
    Misdirected: Kind(421, "misdirected", "The Host header names another server"),
    NoSuchOrder: Kind(404, "no-such-order", "There is no such order"),
    NoSuchDriver: Kind(404, "no-such-driver", "There is no such driver"),
    BadTag: Kind(400, "malformed-tag", "The If-Match header is not a list of entity tags"),
    NoTag: Kind(428, "precondition-required", "The If-Match header is required"),
    VersionMismatch: Kind(412, "version-mismatch", "The order is not at the version of the If-Match header"),
    OrderTaken: Kind(409, "order-taken", "The id belongs to another order"),
    IllegalMove: Kind(409, "invalid-transition", "The order's status does not allow this"),
    StaleOrder: Kind(409, "stale-order", "The order was changed by somebody else meanwhile"),
    DriverBusy: Kind(409, "driver-busy", "The driver already holds a live order"),
    NoSuchParked: Kind(404, "no-such-parked-message", "There is no such parked message"),
    NotReplayable: Kind(409, "not-replayable", "The message came from a queue that nobody here consumes"),
    CountMismatch: Kind(409, "count-mismatch", "There are not as many as expected"),
    Unavailable: Kind(503, "unavailable", "Something we depend on is unavailable"),
}


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One wrong value: `pointer` (RFC 6901, into the body) or `parameter` (of path or query) says where."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem as RFC 9457 has it, with our extensions `errors`, `actual_count`, `request_id` and `trace_id`."""

    type: str
    title: str
    status: int
    detail: str | None = None
    errors: list[Fault] = []
    actual_count: int | None = None
    request_id: str | None = None
    trace_id: str | None = None


def documented(*statuses: int) -> dict[int, ResponseSpec]:
    """The problems a route may answer with, for its OpenAPI description."""
    return {
        status: ResponseSpec(
            Problem, generate_examples=False, description=HTTPStatus(status).phrase, media_type=MEDIA_TYPE
        )
        for status in statuses
    }


def kind_of(error: Exception) -> Kind:
    for ancestor in type(error).__mro__:
        if found := KINDS.get(ancestor):
            # Children such as `FleetUnavailable` have a code of their own.
            return found._replace(slug=error.code) if isinstance(error, Unavailable) else found
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        phrase = HTTPStatus(error.status_code).phrase
        return Kind(error.status_code, phrase.lower().replace(" ", "-"), phrase)
    return INTERNAL
