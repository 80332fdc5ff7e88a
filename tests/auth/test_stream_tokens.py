"""A stream of events ends with the permission of its token, and resumes with the next one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from gofleet.adapters.http.app import api_app
from gofleet.adapters.http.auth import Authenticator
from gofleet.adapters.http.server import serving
from gofleet.adapters.http.sse import EventStreamLimits
from gofleet.adapters.oidc.keys import JwksCache, Key
from gofleet.adapters.oidc.tokens import TokenRules, TokenVerifier
from tests.auth.mint import AUDIENCE, CURVE, FIRST, ISSUER, claims, token
from tests.makers import an_order
from tests.roles.conftest import World

STREAM = "/api/v1/orders/stream"
LIFE, LEEWAY = 300, 30


@dataclass
class Installation:
    """An API whose clocks and whose issuer's keys a test changes."""

    now: float = field(default_factory=time.time)
    published: dict[str, Key] = field(default_factory=lambda: {"first": FIRST, "curve": CURVE})
    world: World = field(default_factory=lambda: World(bounds=EventStreamLimits(recheck_seconds=0.02)))

    async def keys(self) -> Mapping[str, Key]:
        return dict(self.published)

    def bearer(self, key: Key = FIRST, role: str = "dispatcher") -> dict[str, str]:
        body = claims(sub="dora", roles=[role], iat=int(self.now), exp=int(self.now) + LIFE)
        return {"Authorization": f"Bearer {token(body, key)}"}

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[httpx.AsyncClient]:
        stop = asyncio.Event()
        feed = asyncio.create_task(self.world.feed.run(stop))
        keys = JwksCache(self.keys, clock=lambda: self.now)
        verifier = TokenVerifier(keys, TokenRules(ISSUER, frozenset({AUDIENCE})), lambda: self.now)
        app = api_app(self.world.api(), authenticator=Authenticator(verifier.principal))
        async with serving(app, "127.0.0.1", 0, grace_seconds=2) as listening:
            async with httpx.AsyncClient(base_url=listening.url, timeout=10) as client:
                yield client
            self.world.stopping.set()
        stop.set()
        await feed
        await keys.close()

    async def see(self, lines: AsyncIterator[str], order_id: str) -> str:
        """Create an order, and wait for its event; the id to resume after."""
        await self.world.orders.add(an_order(order_id))
        return await seen(lines, order_id)


@pytest.fixture
def installation() -> Installation:
    return Installation()


async def seen(lines: AsyncIterator[str], order_id: str) -> str:
    """Wait for the order's event; the id to resume after."""
    last_id = ""
    async for line in lines:
        if line.startswith("id: "):
            last_id = line[4:]
        if order_id in line:
            return last_id
    raise AssertionError("the stream ended")


async def until_its_end(lines: AsyncIterator[str]) -> None:
    async with asyncio.timeout(10):
        async for _ in lines:
            pass


async def test_a_stream_ends_with_its_token_and_resumes_with_the_next(installation: Installation) -> None:
    async with installation.serving() as client:
        headers = installation.bearer()
        async with client.stream("GET", STREAM, headers=headers) as response:
            lines = response.aiter_lines()
            await installation.see(lines, "order-1")
            installation.now += LIFE + LEEWAY - 2
            last_id = await installation.see(lines, "order-2")
            installation.now += 3
            await until_its_end(lines)
        await installation.world.orders.add(an_order("order-3"))
        resumed = {"Last-Event-ID": last_id}
        assert (await client.get(STREAM, headers=headers | resumed)).status_code == 401
        async with client.stream("GET", STREAM, headers=installation.bearer() | resumed) as response:
            events = [line async for line in _until(response.aiter_lines(), "order-4", installation)]
        names = [name for line in events for name in ("order-1", "order-2", "order-3", "order-4") if name in line]
        assert names == ["order-3", "order-4"]


async def test_a_stream_ends_with_the_key_of_its_token(installation: Installation) -> None:
    async with (
        installation.serving() as client,
        client.stream("GET", STREAM, headers=installation.bearer(FIRST)) as withdrawn,
        client.stream("GET", STREAM, headers=installation.bearer(CURVE)) as kept,
    ):
        lost, lines = withdrawn.aiter_lines(), kept.aiter_lines()
        await installation.see(lost, "order-1")
        await seen(lines, "order-1")
        del installation.published["first"]
        installation.now += 40  # the keys are still fresh
        await installation.see(lost, "order-2")
        await seen(lines, "order-2")
        await _refreshed(client)
        await until_its_end(lost)
        await installation.see(lines, "order-3")


async def _refreshed(client: httpx.AsyncClient) -> None:
    """The keys are fetched again, because of a token with an unknown one."""
    answer = await client.get("/api/v1/orders", headers={"Authorization": f"Bearer {token(kid='made-up')}"})
    assert answer.status_code == 401


async def _until(lines: AsyncIterator[str], order_id: str, installation: Installation) -> AsyncIterator[str]:
    await installation.world.orders.add(an_order(order_id))
    async for line in lines:
        yield line
        if order_id in line:
            return
