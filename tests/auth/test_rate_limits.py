"""Rate limits by caller and by client address, over HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network

import httpx
import pytest

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.auth import Authenticate, Authenticator
from gofleet.adapters.http.rate_limit import ClientAddresses, RateLimits, Rates
from gofleet.adapters.http.server import serving
from gofleet.adapters.oidc.keys import JwksCache, Key, RefreshPolicy
from gofleet.adapters.oidc.tokens import TokenRules, TokenVerifier
from gofleet.guards.limiter import Limiter, MemoryBuckets, Rate
from tests.auth.matrix import authenticate
from tests.auth.mint import AUDIENCE, FIRST, ISSUER, token
from tests.roles.conftest import World
from tests.waiting import eventually

PEER, PERSON, STAFF = Rate(0.01, 20), Rate(0.01, 30), Rate(0.01, 40)


@asynccontextmanager
async def limited(authenticate: Authenticate | None, proxies: Sequence[str] = ()) -> AsyncGenerator[httpx.AsyncClient]:
    addresses = ClientAddresses([ip_network(proxy) for proxy in proxies])
    limits = RateLimits(Limiter(MemoryBuckets(), MemoryBuckets()), Rates(PEER, PERSON, STAFF), addresses)
    app = api_app(World().api(), authenticator=Authenticator(authenticate, limits))
    async with (
        serving(app, "127.0.0.1", 0, grace_seconds=2) as listening,
        httpx.AsyncClient(base_url=listening.url, timeout=10) as client,
    ):
        yield client


async def statuses(client: httpx.AsyncClient, count: int, name: str | None, **headers: str) -> Counter[int]:
    if name is not None:
        headers["Authorization"] = f"Bearer {name}"
    return Counter([(await client.get("/api/v1/orders", headers=headers)).status_code for _ in range(count)])


async def test_forged_addresses_share_the_peers_bucket() -> None:
    async with limited(None) as client:
        found = Counter[int]()
        for number in range(1000):
            forged = {"X-Forwarded-For": f"198.51.{number // 250}.{number % 250}"}
            found += await statuses(client, 1, None, **forged)
    assert found == {200: 20, 429: 980}


async def test_a_rejection_has_retry_after() -> None:
    async with limited(None) as client:
        first = await client.get("/api/v1/orders")
        assert first.headers["RateLimit-Policy"] == '"default";q=20;w=2000'
        assert first.headers["RateLimit"] == '"default";r=19;t=100'
        await statuses(client, 20, None)
        refused = await client.get("/api/v1/orders")
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-requests")
    assert 1 <= int(refused.headers["Retry-After"]) <= 100


async def test_each_authenticated_caller_has_its_own_bucket() -> None:
    async with limited(authenticate) as client:
        assert await statuses(client, 50, "customer-a") == {200: 30, 429: 20}
        assert await statuses(client, 50, "customer-b") == {200: 30, 429: 20}
        assert await statuses(client, 50, "dispatcher-d") == {200: 40, 429: 10}


async def test_invalid_tokens_are_limited_by_address() -> None:
    async with limited(authenticate) as client:
        assert await statuses(client, 50, "no-token") == {401: 20, 429: 30}
        assert await statuses(client, 5, None) == {429: 5}


async def test_strangers_are_charged_before_they_wait_for_the_issuer() -> None:
    issuer = asyncio.Event()

    async def keys() -> Mapping[str, Key]:
        await issuer.wait()
        return {"first": FIRST}

    cache = JwksCache(keys, RefreshPolicy(waiters_max=10))
    verifier = TokenVerifier(cache, TokenRules(ISSUER, frozenset({AUDIENCE})))
    async with limited(verifier.principal) as client:
        asking = [asyncio.create_task(statuses(client, 1, token(kid=f"made-up-{number}"))) for number in range(260)]

        async def all_but_ten_are_answered() -> bool:
            return sum(task.done() for task in asking) == 250

        await eventually(all_but_ten_are_answered)
        answers = sum((task.result() for task in asking if task.done()), Counter[int]())
        assert answers == {429: 240, 503: 10}
        issuer.set()
        assert sum(await asyncio.gather(*asking), Counter[int]()) == {429: 240, 503: 10, 401: 10}
    await cache.close()


async def test_a_caller_whose_key_is_fetched_first_is_charged_once_per_bucket() -> None:
    async def keys() -> Mapping[str, Key]:
        return {"first": FIRST}

    cache = JwksCache(keys)
    async with limited(TokenVerifier(cache, TokenRules(ISSUER, frozenset({AUDIENCE}))).principal) as client:
        assert await statuses(client, 30, token()) == {200: 30}
        assert await statuses(client, 20, "no-token") == {401: 19, 429: 1}
    await cache.close()


async def answers(client: httpx.AsyncClient, count: int, method: str, path: str, **headers: str) -> Counter[int]:
    return Counter([(await client.request(method, path, headers=headers)).status_code for _ in range(count)])


OPEN = [
    ("GET", "/api/v1/docs", 200),
    ("GET", "/api/v1/openapi.json", 200),
    ("GET", "/problems/invalid", 200),
    ("GET", "/.well-known/oauth-protected-resource", 200),
    ("OPTIONS", "/api/v1/orders", 204),
    ("HEAD", "/api/v1/docs/page.js", 200),
    ("GET", "/nowhere", 404),
    ("GET", "//api/v1/orders", 404),
    ("GET", "/api/v1/orders/a%2fb", 404),
    ("DELETE", "/api/v1/orders", 405),
    ("BREW", "/api/v1/orders", 405),
]


@pytest.mark.parametrize(("method", "path", "status"), OPEN)
async def test_requests_that_no_token_opens_are_limited_by_address(method: str, path: str, status: int) -> None:
    async with limited(authenticate) as client:
        assert await answers(client, 30, method, path) == {status: 20, 429: 10}
        assert await statuses(client, 1, None) == {429: 1}


@pytest.mark.parametrize(("method", "path", "status"), OPEN)
@pytest.mark.parametrize("token", ["Bearer dispatcher-d", "Bearer no-token", "Basic x"])
async def test_a_token_that_nothing_verifies_opens_no_other_bucket(
    method: str, path: str, status: int, token: str
) -> None:
    async with limited(authenticate) as client:
        assert await answers(client, 30, method, path, Authorization=token) == {status: 20, 429: 10}


async def test_a_verified_caller_is_not_charged_to_its_address() -> None:
    async with limited(authenticate) as client:
        assert await statuses(client, 60, "dispatcher-d") == {200: 40, 429: 20}
        assert await answers(client, 20, "GET", "/nowhere") == {404: 20}


async def test_probes_are_not_limited() -> None:
    async with limited(authenticate) as client:
        await answers(client, 30, "GET", "/nowhere")
        for path in ("/health", "/health/live", "/health/ready", "/health/ready/"):
            assert await answers(client, 50, "GET", path) == {200: 50}


async def test_without_authentication_only_the_operations_are_limited() -> None:
    async with limited(None) as client:
        for path, status in (("/api/v1/docs", 200), ("/nowhere", 404)):
            assert await answers(client, 50, "GET", path) == {status: 50}


async def test_a_proxy_has_the_rate_of_staff_where_it_names_no_client() -> None:
    async with limited(authenticate, proxies=["127.0.0.0/8"]) as client:
        assert await answers(client, 50, "GET", "/nowhere") == {404: 40, 429: 10}
        for number in range(3):
            forwarded = {"X-Forwarded-For": f"198.51.100.{number}"}
            assert await answers(client, 25, "GET", "/nowhere", **forwarded) == {404: 20, 429: 5}
