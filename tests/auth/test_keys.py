"""Cache of an issuer's keys: how often they are fetched, and what happens in an outage."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from gofleet.adapters.oidc.keys import JwksCache, Key, RefreshPolicy
from gofleet.adapters.oidc.tokens import TokenRules, TokenVerifier
from gofleet.domain.errors import RateLimitExceeded, Unauthenticated, Unavailable
from tests.auth.mint import AUDIENCE, CURVE, FIRST, ISSUER, token
from tests.logs import logged

HOUR = 3600.0


@dataclass
class Provider:
    """An issuer on a test's clock that records when its keys are fetched."""

    now: float = 0.0
    unavailable: bool = False
    published: dict[str, Key] = field(default_factory=lambda: {"first": FIRST})
    fetches: list[float] = field(default_factory=list[float])
    gate: asyncio.Event | None = None

    async def fetch(self) -> Mapping[str, Key]:
        self.fetches.append(self.now)
        if self.gate is not None:
            await self.gate.wait()
        if self.unavailable:
            raise Unavailable("the issuer of tokens", "no answer")
        return dict(self.published)

    def keys(self, policy: RefreshPolicy | None = None) -> JwksCache:
        return JwksCache(self.fetch, policy, clock=lambda: self.now)


async def test_an_hour_of_outage_with_ten_thousand_unknown_keys_affects_no_known_key() -> None:
    provider = Provider()
    keys = provider.keys()
    reader = TokenVerifier(keys, TokenRules(ISSUER, frozenset({AUDIENCE})))
    assert await keys.get("first") is FIRST
    provider.unavailable = True
    for number in range(10_000):
        provider.now += HOUR / 10_000
        with pytest.raises(Unauthenticated):
            await keys.get(f"random-{number}")
        if not number % 100:
            assert (await reader.principal(token())).subject == "ana"
    assert 100 <= len(provider.fetches) <= HOUR / 30 + 1
    assert min(after - before for before, after in pairwise(provider.fetches)) >= 30


async def test_keys_are_rotated_with_an_overlap_and_without_an_error() -> None:
    provider = Provider()
    keys = provider.keys()
    assert await keys.get("first") is FIRST
    provider.published["curve"] = CURVE
    provider.now += 31
    assert await keys.get("curve") is CURVE  # fetched at once, because it was unknown
    assert await keys.get("first") is FIRST
    del provider.published["first"]
    provider.now += 601
    assert await keys.get("curve") is CURVE
    await keys.wait_settled()
    with pytest.raises(Unauthenticated):
        await keys.get("first")
    assert len(provider.fetches) == 3


async def test_a_known_key_does_not_wait_for_a_slow_issuer() -> None:
    provider = Provider()
    keys = provider.keys()
    assert await keys.get("first") is FIRST
    provider.gate = asyncio.Event()
    provider.now += 601
    async with asyncio.timeout(5):
        assert await keys.get("first") is FIRST
    await asyncio.sleep(0)
    assert len(provider.fetches) == 2
    await keys.close()


async def test_concurrent_callers_share_one_fetch() -> None:
    provider = Provider(gate=asyncio.Event())
    keys = provider.keys()
    waiting = [asyncio.create_task(keys.get("first")) for _ in range(100)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # which cancels the fetch for no other caller
    await asyncio.wait({waiting[0]})
    assert provider.gate is not None
    provider.gate.set()
    assert await asyncio.gather(*waiting[1:]) == [FIRST] * 99
    assert len(provider.fetches) == 1


async def test_the_callers_that_wait_are_bounded() -> None:
    provider = Provider(gate=asyncio.Event())
    keys = provider.keys(RefreshPolicy(waiters_max=3))
    waiting = [asyncio.create_task(keys.get(f"made-up-{number}")) for number in range(3)]
    await asyncio.sleep(0)
    for _ in range(100):
        with pytest.raises(Unavailable, match="wait for its keys") as refused:
            await keys.get("first")
        assert refused.value.retry_after_seconds == 2
    assert provider.gate is not None
    provider.gate.set()
    assert [type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == [Unauthenticated] * 3
    assert await keys.get("first") is FIRST


async def test_a_caller_is_charged_before_it_waits() -> None:
    provider = Provider(gate=asyncio.Event())
    keys = provider.keys()
    charged: list[str] = []

    async def charge() -> None:
        charged.append("peer")
        raise RateLimitExceeded(1)

    async with asyncio.timeout(5):
        with pytest.raises(RateLimitExceeded):
            await keys.get("first", charge)
    assert charged == ["peer"]
    assert provider.gate is not None
    provider.gate.set()
    await keys.wait_settled()
    assert await keys.get("first", charge) is FIRST  # nothing to wait for


async def test_a_key_that_may_no_longer_be_trusted_is_fetched_as_soon_as_the_first() -> None:
    provider = Provider()
    keys = provider.keys(RefreshPolicy(keep_seconds=7200))
    assert await keys.get("first") is FIRST
    provider.unavailable = True
    provider.now += 7201
    with pytest.raises(Unavailable):
        await keys.get("first")
    provider.unavailable = False
    provider.now += 2
    assert await keys.get("first") is FIRST


async def test_an_unavailable_issuer_is_retried_soon() -> None:
    provider = Provider(unavailable=True)
    keys = provider.keys()
    with logged() as lines:
        for _ in range(10):
            with pytest.raises(Unavailable) as refused:
                await keys.get("first")
            assert refused.value.retry_after_seconds == 2
    assert len(provider.fetches) == len(lines) == 1
    provider.unavailable = False
    provider.now += 2
    assert await keys.get("first") is FIRST


async def test_keys_expire_when_they_cannot_be_refreshed() -> None:
    provider = Provider()
    keys = provider.keys(RefreshPolicy(keep_seconds=7200))
    assert await keys.get("first") is FIRST
    provider.unavailable = True
    provider.now += 7199
    assert await keys.get("first") is FIRST
    provider.now += 2
    with pytest.raises(Unavailable):
        await keys.get("first")


async def test_an_unexpected_error_is_an_outage() -> None:
    async def broken() -> Mapping[str, Key]:
        raise ZeroDivisionError

    with logged() as lines, pytest.raises(Unavailable):
        await JwksCache(broken).get("first")
    assert "ZeroDivisionError" in lines[0]
