"""What can be wrong with a request: one word for each, which never changes, its status, and what to do about it.

Imports no framework, so that the command line may use it too.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

PROBLEMS_PATH = "/problems/"


class ProblemType(StrEnum):
    """Clients match on these; `GET /problems/{slug}` explains one."""

    MALFORMED_JSON = "malformed-json"
    INCOMPLETE = "incomplete"
    MALFORMED_TAG = "malformed-tag"
    BAD_REQUEST = "bad-request"
    BAD_HOST = "bad-host"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    NO_SUCH_ORDER = "no-such-order"
    NO_SUCH_DRIVER = "no-such-driver"
    NO_SUCH_PARKED_MESSAGE = "no-such-parked-message"
    NO_POSITION = "no-position"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    TOO_SLOW = "too-slow"
    ORDER_TAKEN = "order-taken"
    INVALID_TRANSITION = "invalid-transition"
    TOO_MANY_OPEN_ORDERS = "too-many-open-orders"
    STALE_ORDER = "stale-order"
    DRIVER_BUSY = "driver-busy"
    NO_PICKUP = "no-pickup"
    NOT_REPLAYABLE = "not-replayable"
    COUNT_MISMATCH = "count-mismatch"
    VERSION_MISMATCH = "version-mismatch"
    MISDIRECTED = "misdirected"
    TOO_LARGE = "too-large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    INVALID = "invalid"
    UNKNOWN_DRIVER = "unknown-driver"
    PRECONDITION_REQUIRED = "precondition-required"
    TOO_MANY_REQUESTS = "too-many-requests"
    INTERNAL = "internal"
    TOO_MANY_STREAMS = "too-many-streams"
    OVERCROWDED = "overcrowded"
    UNAVAILABLE = "unavailable"
    FLEET_UNAVAILABLE = "fleet-unavailable"

    @property
    def uri(self) -> str:
        """The `type` of the problem, relative to the API's host."""
        return PROBLEMS_PATH + self

    @property
    def meaning(self) -> Meaning:
        return MEANINGS[self]


class Meaning(NamedTuple):
    """`title` is for people and may change; `hint` is what the caller should do."""

    status: int
    title: str
    hint: str


MEANINGS: dict[ProblemType, Meaning] = {
    ProblemType.MALFORMED_JSON: Meaning(400, "The body is not JSON", "send one JSON document in UTF-8"),
    ProblemType.INCOMPLETE: Meaning(
        400, "The body is incomplete", "keep the connection open until the whole body is sent"
    ),
    ProblemType.MALFORMED_TAG: Meaning(
        400, "The If-Match header is not a list of entity tags", 'send an ETag as it was answered, such as "3"'
    ),
    ProblemType.BAD_REQUEST: Meaning(400, "The request cannot be read", "compare it with the API's description"),
    ProblemType.BAD_HOST: Meaning(
        400, "The Host header is not one name", "send one Host: a name or an address, perhaps with a port"
    ),
    ProblemType.UNAUTHENTICATED: Meaning(
        401,
        "It is not known who asks",
        "send `Authorization: Bearer` with an access token that is not over; `gofleet login` gets one",
    ),
    ProblemType.FORBIDDEN: Meaning(
        403, "Whoever asks may not do this", "ask somebody who may, or for a token with the scope and the role it takes"
    ),
    ProblemType.NOT_FOUND: Meaning(
        404, "There is nothing at this address", "look for the route in the API's description"
    ),
    ProblemType.NO_SUCH_ORDER: Meaning(
        404, "There is no such order", "check the id; `GET /api/v1/orders` lists orders"
    ),
    ProblemType.NO_SUCH_DRIVER: Meaning(404, "There is no such driver", "register the driver first, or check the id"),
    ProblemType.NO_SUCH_PARKED_MESSAGE: Meaning(
        404, "There is no such parked message", "`gofleet parked list` and `GET /api/v1/parked` show the ids"
    ),
    ProblemType.NO_POSITION: Meaning(
        404, "It is not known where the driver is", "wait for the driver's next position, or send one"
    ),
    ProblemType.METHOD_NOT_ALLOWED: Meaning(
        405, "This address does not take this method", "use one of those that the Allow header names"
    ),
    ProblemType.TOO_SLOW: Meaning(408, "The body came too slowly", "send it again, over a better connection"),
    ProblemType.ORDER_TAKEN: Meaning(
        409, "The id belongs to another order", "choose another id, or leave it out to be given one"
    ),
    ProblemType.TOO_MANY_OPEN_ORDERS: Meaning(
        409, "You have too many orders that are not over", "wait until one is delivered, or cancel one"
    ),
    ProblemType.INVALID_TRANSITION: Meaning(
        409, "The order's status does not allow this", "look at the order as it is now, and decide anew"
    ),
    ProblemType.STALE_ORDER: Meaning(
        409, "The order was changed by somebody else meanwhile", "look at the order as it is now, and try again"
    ),
    ProblemType.DRIVER_BUSY: Meaning(
        409, "The driver already holds a live order", "choose another driver, or wait until that order is over"
    ),
    ProblemType.NO_PICKUP: Meaning(
        409, "The order has no pickup", "choose a driver by other means; `GET /api/v1/drivers?bbox=` shows a map"
    ),
    ProblemType.NOT_REPLAYABLE: Meaning(
        409,
        "The message came from a queue that nobody here consumes",
        "leave it out; only a program that consumes that queue can take it",
    ),
    ProblemType.COUNT_MISMATCH: Meaning(
        409, "There are not as many as expected", "look at them again, and expect as many as there are"
    ),
    ProblemType.VERSION_MISMATCH: Meaning(
        412,
        "It is not at the version of the If-Match header",
        "look at it as it is now, and decide anew with its ETag",
    ),
    ProblemType.MISDIRECTED: Meaning(
        421, "The Host header names another server", "use a name that this server answers to (WEB_ALLOWED_HOSTS)"
    ),
    ProblemType.TOO_LARGE: Meaning(413, "The body is too large", "send less at once"),
    ProblemType.UNSUPPORTED_MEDIA_TYPE: Meaning(
        415, "The body must be application/json", "send JSON, with `Content-Type: application/json`"
    ),
    ProblemType.INVALID: Meaning(
        422, "The request's content is not valid", "correct what `errors` names, and send it again"
    ),
    ProblemType.UNKNOWN_DRIVER: Meaning(422, "There is no such driver", "register the driver first, or check the id"),
    ProblemType.PRECONDITION_REQUIRED: Meaning(
        428, "The If-Match header is required", "look at the order, and send its ETag as If-Match"
    ),
    ProblemType.TOO_MANY_REQUESTS: Meaning(
        429, "You ask more often than you may", "wait for the seconds of the Retry-After header; RateLimit tells ahead"
    ),
    ProblemType.INTERNAL: Meaning(
        500, "Something went wrong on our side", "try again later; tell whoever runs it the `request_id`"
    ),
    ProblemType.TOO_MANY_STREAMS: Meaning(
        503, "Too many streams are open", "close one, or try again after the seconds of the Retry-After header"
    ),
    ProblemType.OVERCROWDED: Meaning(
        503,
        "More is asked for than can be answered in time",
        "try again after the seconds of the Retry-After header, and later each time",
    ),
    ProblemType.UNAVAILABLE: Meaning(
        503, "Something we depend on is unavailable", "try again after the seconds of the Retry-After header"
    ),
    ProblemType.FLEET_UNAVAILABLE: Meaning(
        503, "The fleet service is unavailable", "try again after the seconds of the Retry-After header"
    ),
}


def problem_type_of(type: object) -> ProblemType | None:
    """The one that a problem's `type` names; None if it is none of ours."""
    return next((slug for slug in ProblemType if slug.uri == type), None)
