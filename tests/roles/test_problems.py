"""Every error of the API has a problem type, and every problem type is documented."""

from __future__ import annotations

import re
from http import HTTPStatus

import httpx
import pytest
from litestar.exceptions import (
    ClientException,
    InternalServerException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)

from gofleet.adapters.http.etags import MalformedTag, MissingTag
from gofleet.adapters.http.load_shedding import Overloaded
from gofleet.adapters.http.problem_types import ProblemType, RequestError, problem_type, problem_type_of_uri
from gofleet.adapters.http.problems import problem_type_for
from gofleet.adapters.http.request_limits import BadHost, BodyIncomplete, BodyTooLarge, BodyTooSlow, MisdirectedRequest
from gofleet.adapters.http.sse import TooManyStreams
from gofleet.adapters.http.validation import MalformedJson, UnsupportedContentEncoding, UnsupportedMediaType
from gofleet.domain.errors import (
    AlreadyHandled,
    CountMismatch,
    DeadlineExceeded,
    DriverBusy,
    DriverNotFound,
    FleetBreakerOpen,
    FleetUnavailable,
    GoFleetError,
    Invalid,
    InvalidTransition,
    Malformed,
    MessageRefused,
    NoDriverNearby,
    NoPickup,
    NoPosition,
    NotReplayable,
    OffDutyByStaff,
    OpenOrderLimitReached,
    OrderEnded,
    OrderIdConflict,
    OrderNotFound,
    ParkedMessageNotFound,
    PermissionDenied,
    RateLimitExceeded,
    StaleOrder,
    TooManyChanges,
    Unauthenticated,
    Unavailable,
    UnknownCursor,
    UnknownDriver,
    VersionMismatch,
)

# Every error that the API documents, and the slug that clients match on.
SLUGS: dict[type[Exception], str] = {
    Invalid: "invalid",
    UnknownDriver: "unknown-driver",
    MalformedJson: "malformed-json",
    UnsupportedMediaType: "unsupported-media-type",
    UnsupportedContentEncoding: "unsupported-media-type",
    BodyTooLarge: "too-large",
    BodyTooSlow: "too-slow",
    BodyIncomplete: "incomplete",
    BadHost: "bad-host",
    MisdirectedRequest: "misdirected",
    Unauthenticated: "unauthenticated",
    PermissionDenied: "forbidden",
    OrderNotFound: "no-such-order",
    DriverNotFound: "no-such-driver",
    NoPosition: "no-position",
    NoPickup: "no-pickup",
    OffDutyByStaff: "off-duty-by-staff",
    MalformedTag: "malformed-tag",
    MissingTag: "precondition-required",
    VersionMismatch: "version-mismatch",
    OrderIdConflict: "order-taken",
    OpenOrderLimitReached: "too-many-open-orders",
    InvalidTransition: "invalid-transition",
    OrderEnded: "order-ended",
    StaleOrder: "stale-order",
    DriverBusy: "driver-busy",
    ParkedMessageNotFound: "no-such-parked-message",
    NotReplayable: "not-replayable",
    CountMismatch: "count-mismatch",
    RateLimitExceeded: "too-many-requests",
    TooManyChanges: "too-many-changes",
    TooManyStreams: "too-many-streams",
    Overloaded: "overcrowded",
    Unavailable: "unavailable",
    FleetUnavailable: "fleet-unavailable",
    FleetBreakerOpen: "fleet-unavailable",
}
FRAMEWORK = {
    ValidationException: ProblemType.INVALID,
    NotFoundException: ProblemType.NOT_FOUND,
    MethodNotAllowedException: ProblemType.METHOD_NOT_ALLOWED,
    ClientException: ProblemType.BAD_REQUEST,
    InternalServerException: ProblemType.INTERNAL,
}


def test_every_problem_type_is_well_formed_and_has_an_error() -> None:
    of_errors = {problem_type(slug) for slug in SLUGS.values()}

    assert of_errors | set(FRAMEWORK.values()) == set(ProblemType)
    assert len({problem.slug for problem in ProblemType}) == len(ProblemType)
    for problem in ProblemType:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", problem.slug)
        assert problem.slug == problem.name.lower().replace("_", "-")
        assert HTTPStatus(problem.status) >= HTTPStatus.BAD_REQUEST
        assert problem.title[0].isupper()
        assert problem.hint[0] in "`" or problem.hint[0] == problem.hint[0].lower()


def test_an_error_maps_to_the_problem_type_of_its_code() -> None:
    for error, slug in SLUGS.items():
        assert problem_type_for(error.__new__(error)).slug == slug, error
    assert _subclasses(RequestError) <= set(SLUGS)
    undocumented = {
        error for error in _subclasses(GoFleetError) if problem_type_for(error.__new__(error)) is ProblemType.INTERNAL
    }
    assert {NoDriverNearby, AlreadyHandled, Malformed, MessageRefused, DeadlineExceeded, UnknownCursor} <= undocumented


def test_an_error_of_the_framework_maps_by_its_class() -> None:
    assert {error: problem_type_for(error()) for error in FRAMEWORK} == FRAMEWORK
    assert problem_type_for(RuntimeError()) is ProblemType.INTERNAL


def _subclasses(error: type[Exception]) -> set[type[Exception]]:
    direct = {found for found in error.__subclasses__() if found.__module__.startswith("gofleet.")}
    return direct | {below for found in direct for below in _subclasses(found)}


def test_an_unknown_type_has_no_problem_type() -> None:
    assert problem_type_of_uri("/problems/order-taken") is ProblemType.ORDER_TAKEN
    assert [problem_type_of_uri(other) for other in (None, "", "order-taken", "/problems/nonsense", 7)] == [None] * 5


@pytest.mark.parametrize("slug", list(ProblemType))
async def test_the_type_of_a_problem_is_the_url_of_its_explanation(
    client: httpx.AsyncClient, slug: ProblemType
) -> None:
    answer = await client.get(slug.uri)

    assert answer.status_code == 200
    assert answer.json() == {"type": slug.uri, "title": slug.title, "status": slug.status, "hint": slug.hint}


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/orders", "GET, HEAD, OPTIONS, POST"),
        ("/api/v1/orders/o-1", "GET, HEAD, OPTIONS, PATCH"),
        ("/api/v1/orders/o-1/cancel", "OPTIONS, POST"),
        ("/api/v1/drivers/ana", "GET, HEAD, OPTIONS, PUT"),
    ],
)
async def test_options_returns_all_methods_of_a_path(client: httpx.AsyncClient, path: str, methods: str) -> None:
    options = await client.options(path)
    refused = await client.delete(path)

    assert (options.status_code, options.headers["allow"]) == (204, methods)
    assert (refused.status_code, sorted(refused.headers["allow"].split(", "))) == (405, methods.split(", "))


@pytest.mark.parametrize(
    ("method", "path", "slug"),
    [
        ("GET", "/problems/nonsense", ProblemType.NOT_FOUND),
        ("GET", "/problems/", ProblemType.NOT_FOUND),
        ("GET", "/", ProblemType.NOT_FOUND),
        ("GET", "/api/v1/orders/o-1/nonsense", ProblemType.NOT_FOUND),
        ("GET", "/api/v1/orders/%00", ProblemType.INVALID),
        ("GET", "/metrics", ProblemType.NOT_FOUND),
        ("POST", "/health", ProblemType.METHOD_NOT_ALLOWED),
        ("DELETE", "/api/v1/orders/o-1", ProblemType.METHOD_NOT_ALLOWED),
        ("BREW", "/api/v1/orders", ProblemType.METHOD_NOT_ALLOWED),
        ("HEAD", "/api/v1/orders/o-1/cancel", ProblemType.METHOD_NOT_ALLOWED),
        ("POST", "/problems/invalid", ProblemType.METHOD_NOT_ALLOWED),
    ],
)
async def test_errors_of_the_framework_have_a_problem_type(
    client: httpx.AsyncClient, method: str, path: str, slug: ProblemType
) -> None:
    answer = await client.request(method, path)

    assert answer.status_code == slug.status
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("allow" in answer.headers) == (slug is ProblemType.METHOD_NOT_ALLOWED)
    if method != "HEAD":
        assert (answer.json()["type"], answer.json()["title"]) == (slug.uri, slug.title)
