"""Every way in which the API says no has a word of its own, and the word is explained."""

from __future__ import annotations

import re
from http import HTTPStatus

import httpx
import pytest

from gofleet.adapters.http.problem_types import MEANINGS, ProblemType, problem_type_of
from gofleet.adapters.http.problems import SLUGS, problem_type_for
from gofleet.domain.errors import FleetBreakerOpen, GoFleetError


def test_every_slug_has_a_meaning_and_something_that_leads_to_it() -> None:
    for_others = {ProblemType.BAD_REQUEST, ProblemType.INTERNAL}

    assert set(MEANINGS) == set(ProblemType)
    assert set(SLUGS.values()) | for_others == set(ProblemType)
    for slug, meaning in MEANINGS.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", slug)
        assert HTTPStatus(meaning.status) >= HTTPStatus.BAD_REQUEST
        assert meaning.title[0].isupper()
        assert meaning.hint[0] == meaning.hint[0].lower()


def test_a_domain_error_goes_by_its_own_code() -> None:
    errors = [error for error in SLUGS if issubclass(error, GoFleetError) and "code" in vars(error)]

    assert len(errors) > 12
    assert {error: error.code for error in errors} == {error: SLUGS[error].value for error in errors}
    assert problem_type_for(FleetBreakerOpen(1)) is ProblemType.FLEET_UNAVAILABLE


def test_a_type_that_is_none_of_ours_is_no_slug() -> None:
    assert problem_type_of("/problems/order-taken") is ProblemType.ORDER_TAKEN
    assert [problem_type_of(other) for other in (None, "", "order-taken", "/problems/nonsense", 7)] == [None] * 5


@pytest.mark.parametrize("slug", list(ProblemType))
async def test_the_type_of_a_problem_leads_to_what_it_means(client: httpx.AsyncClient, slug: ProblemType) -> None:
    answer = await client.get(slug.uri)

    assert answer.status_code == 200
    title, status, hint = slug.meaning.title, slug.meaning.status, slug.meaning.hint
    assert answer.json() == {"type": slug.uri, "title": title, "status": status, "hint": hint}


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/orders", "GET, OPTIONS, POST"),
        ("/api/v1/orders/o-1", "GET, OPTIONS"),
        ("/api/v1/orders/o-1/cancel", "OPTIONS, POST"),
        ("/api/v1/drivers/ana", "GET, OPTIONS, PUT"),
    ],
)
async def test_a_path_tells_all_its_methods(client: httpx.AsyncClient, path: str, methods: str) -> None:
    asked = await client.options(path)
    refused = await client.patch(path)

    assert (asked.status_code, asked.headers["allow"]) == (204, methods)
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
        ("PATCH", "/api/v1/orders/o-1", ProblemType.METHOD_NOT_ALLOWED),
        ("BREW", "/api/v1/orders", ProblemType.METHOD_NOT_ALLOWED),
        ("HEAD", "/api/v1/orders", ProblemType.METHOD_NOT_ALLOWED),
        ("POST", "/problems/invalid", ProblemType.METHOD_NOT_ALLOWED),
    ],
)
async def test_what_the_framework_refuses_has_a_slug_too(
    client: httpx.AsyncClient, method: str, path: str, slug: ProblemType
) -> None:
    answer = await client.request(method, path)

    assert answer.status_code == slug.meaning.status
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("allow" in answer.headers) == (slug is ProblemType.METHOD_NOT_ALLOWED)
    if method != "HEAD":
        assert (answer.json()["type"], answer.json()["title"]) == (slug.uri, slug.meaning.title)
