"""Problem types of the API (RFC 9457): slug, status, title and hint of each.

The module imports no framework, so that the command line can use it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import ClassVar

PROBLEMS_PATH = "/problems/"
MEDIA_TYPE = "application/problem+json"


class ProblemType(Enum):
    """One kind of problem.

    Clients match on the slug, which never changes; an error's `code` is its slug. `title` says
    what went wrong and `hint` what the caller can do; both are prose and may change.
    `GET /problems/{slug}` documents a type.
    The gRPC adapter has its own statuses: adapters do not import each other, and the two cover different errors.
    """

    MALFORMED_JSON = ("malformed-json", 400, "Malformed JSON", "send one JSON document in UTF-8")
    INCOMPLETE = ("incomplete", 400, "Incomplete body", "keep the connection open until the whole body is sent")
    MALFORMED_TAG = (
        "malformed-tag",
        400,
        "Malformed If-Match header",
        'send an ETag as the API returned it, such as "3"',
    )
    BAD_REQUEST = ("bad-request", 400, "Bad request", "compare the request with the OpenAPI document")
    BAD_HOST = ("bad-host", 400, "Invalid Host header", "send one Host header: a name or an address, optionally a port")
    UNAUTHENTICATED = (
        "unauthenticated",
        401,
        "Authentication required",
        "send `Authorization: Bearer` with a valid, unexpired access token; `gofleet login` gets one",
    )
    FORBIDDEN = ("forbidden", 403, "Permission denied", "use a token with the required scope and role")
    NOT_FOUND = ("not-found", 404, "Not found", "look up the route in the OpenAPI document")
    NO_SUCH_ORDER = ("no-such-order", 404, "Order not found", "check the id; `GET /api/v1/orders` lists orders")
    NO_SUCH_DRIVER = (
        "no-such-driver",
        404,
        "Driver not found",
        "register the driver first (`PUT /api/v1/drivers/{driver_id}`), or check the id",
    )
    NO_SUCH_PARKED_MESSAGE = (
        "no-such-parked-message",
        404,
        "Parked message not found",
        "check the id; `gofleet parked list` and `GET /api/v1/parked` list parked messages",
    )
    NO_POSITION = (
        "no-position",
        404,
        "Driver position unknown",
        "wait for the driver's next position update, or send one",
    )
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "Method not allowed", "use a method that the Allow header lists")
    TOO_SLOW = ("too-slow", 408, "Request timeout", "send the body again over a faster connection")
    ORDER_TAKEN = (
        "order-taken",
        409,
        "Order id already in use",
        "choose another id, or omit it to have one generated",
    )
    INVALID_TRANSITION = (
        "invalid-transition",
        409,
        "Invalid status transition",
        "read the current order and decide again",
    )
    ORDER_ENDED = ("order-ended", 409, "Order ended", "create another order: this one does not change any more")
    TOO_MANY_OPEN_ORDERS = (
        "too-many-open-orders",
        409,
        "Open order limit reached",
        "wait until an order is delivered, or cancel one",
    )
    STALE_ORDER = ("stale-order", 409, "Concurrent update", "read the current order and retry")
    DRIVER_BUSY = ("driver-busy", 409, "Driver busy", "choose another driver, or wait until the driver's order ends")
    OFF_DUTY_BY_STAFF = (
        "off-duty-by-staff",
        409,
        "Set off duty by staff",
        "ask a dispatcher to set the driver on duty again",
    )
    NO_PICKUP = (
        "no-pickup",
        409,
        "Order has no pickup",
        "choose a driver by other means; `GET /api/v1/drivers?bbox=` searches by location",
    )
    NOT_REPLAYABLE = (
        "not-replayable",
        409,
        "Message not replayable",
        "leave it out: no consumer of this service reads the queue that it came from",
    )
    COUNT_MISMATCH = (
        "count-mismatch",
        409,
        "Count mismatch",
        "read the current number and send it as the expected one",
    )
    VERSION_MISMATCH = (
        "version-mismatch",
        412,
        "Version mismatch",
        "read the current version and decide again with its ETag",
    )
    MISDIRECTED = (
        "misdirected",
        421,
        "Misdirected request",
        "use a host name that the server allows (WEB_ALLOWED_HOSTS)",
    )
    TOO_LARGE = ("too-large", 413, "Body too large", "split the request into smaller ones")
    UNSUPPORTED_MEDIA_TYPE = (
        "unsupported-media-type",
        415,
        "Unsupported media type",
        "send JSON, with `Content-Type: application/json`",
    )
    INVALID = ("invalid", 422, "Invalid request", "correct the values that `errors` lists and send the request again")
    UNKNOWN_DRIVER = ("unknown-driver", 422, "Unknown driver", "register the driver first, or check the id")
    PRECONDITION_REQUIRED = (
        "precondition-required",
        428,
        "If-Match header required",
        "read the order and send its ETag as If-Match",
    )
    TOO_MANY_REQUESTS = (
        "too-many-requests",
        429,
        "Rate limit exceeded",
        "retry after the number of seconds in Retry-After; the RateLimit header shows the remaining quota",
    )
    TOO_MANY_CHANGES = (
        "too-many-changes",
        429,
        "Order changed a moment ago",
        "send all changes in one request, and retry after the number of seconds in Retry-After",
    )
    INTERNAL = ("internal", 500, "Internal error", "retry later, and report the `request_id` to the operator")
    TOO_MANY_STREAMS = (
        "too-many-streams",
        503,
        "Too many open streams",
        "close a stream, or retry after the number of seconds in Retry-After",
    )
    OVERCROWDED = (
        "overcrowded",
        503,
        "Server overloaded",
        "retry after the number of seconds in Retry-After, with exponential backoff",
    )
    UNAVAILABLE = ("unavailable", 503, "Dependency unavailable", "retry after the number of seconds in Retry-After")
    FLEET_UNAVAILABLE = (
        "fleet-unavailable",
        503,
        "Fleet service unavailable",
        "retry after the number of seconds in Retry-After",
    )

    def __init__(self, slug: str, status: int, title: str, hint: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title
        self.hint = hint

    @property
    def uri(self) -> str:
        """The `type` of the problem, relative to the API's host."""
        return PROBLEMS_PATH + self.slug


class RequestError(Exception):
    """A request that the HTTP adapter itself rejects; `code` is the slug of its problem type.

    With `retry_after_seconds` its response has a Retry-After header, with `closes_connection` it ends the connection.
    """

    code: ClassVar[str]
    headers: ClassVar[Mapping[str, str]] = {}
    """Headers of the response."""
    closes_connection: ClassVar[bool] = False
    retry_after_seconds: float | None = None


_BY_SLUG = {problem.slug: problem for problem in ProblemType}


def problem_type(code: str) -> ProblemType:
    """The problem type of an error's `code`; `INTERNAL` for a code that the API does not document."""
    return _BY_SLUG.get(code, ProblemType.INTERNAL)


def problem_type_of_uri(uri: object) -> ProblemType | None:
    """The problem type that a response's `type` names, if any."""
    return next((problem for problem in ProblemType if problem.uri == uri), None)
