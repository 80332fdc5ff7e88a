"""How often the issuer is asked for keys, and what happens when it does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from gofleet.adapters.oidc.keys import JwksCache, Key, RefreshPolicy
from gofleet.adapters.oidc.tokens import TokenRules, TokenVerifier
from gofleet.domain.errors import Unauthenticated, Unavailable
from tests.auth.mint import AUDIENCE, CURVE, FIRST, ISSUER, token
from tests.logs import logged

HOUR = 3600.0


@dataclass
class Provider:
    """An issuer whose hours pass as told."""

    now: float = 0.0
    away: bool = False
    published: dict[str, Key] = field(default_factory=lambda: {"first": FIRST})
    asked: list[float] = field(default_factory=list[float])
    gate: asyncio.Event | None = None

    async def fetch(self) -> Mapping[str, Key]:
        self.asked.append(self.now)
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            raise Unavailable("the issuer of tokens", "no answer")
        return dict(self.published)

    def keys(self, patience: RefreshPolicy | None = None) -> JwksCache:
        return JwksCache(self.fetch, patience, clock=lambda: self.now)


async def test_an_hour_of_outage_with_ten_thousand_unknown_keys_harms_nobody_who_has_one() -> None:
    provider = Provider()
    keys = provider.keys()
    reader = TokenVerifier(keys, TokenRules(ISSUER, AUDIENCE))
    assert await keys.get("first") is FIRST
    provider.away = True
    for number in range(10_000):
        provider.now += HOUR / 10_000
        with pytest.raises(Unauthenticated):
            await keys.get(f"random-{number}")
        if not number % 100:
            assert (await reader.principal(token())).subject == "ana"
    assert 100 <= len(provider.asked) <= HOUR / 30 + 1
    assert min(after - before for before, after in pairwise(provider.asked)) >= 30


async def test_keys_are_rotated_with_an_overlap_and_without_a_refusal() -> None:
    provider = Provider()
    keys = provider.keys()
    assert await keys.get("first") is FIRST
    provider.published["curve"] = CURVE
    provider.now += 31
    assert await keys.get("curve") is CURVE  # asked for at once, for it was unknown
    assert await keys.get("first") is FIRST
    del provider.published["first"]
    provider.now += 601
    assert await keys.get("curve") is CURVE
    await keys.wait_settled()
    with pytest.raises(Unauthenticated):
        await keys.get("first")
    assert len(provider.asked) == 3


async def test_nobody_who_has_a_key_waits_for_a_slow_issuer() -> None:
    provider = Provider()
    keys = provider.keys()
    assert await keys.get("first") is FIRST
    provider.gate = asyncio.Event()
    provider.now += 601
    async with asyncio.timeout(5):
        assert await keys.get("first") is FIRST
    await asyncio.sleep(0)
    assert len(provider.asked) == 2
    await keys.close()


async def test_all_who_wait_for_a_key_wait_for_one_fetch() -> None:
    provider = Provider(gate=asyncio.Event())
    keys = provider.keys()
    waiting = [asyncio.create_task(keys.get("first")) for _ in range(100)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # whoever gives up takes it from nobody
    await asyncio.wait({waiting[0]})
    assert provider.gate is not None
    provider.gate.set()
    assert await asyncio.gather(*waiting[1:]) == [FIRST] * 99
    assert len(provider.asked) == 1


async def test_an_issuer_that_is_not_there_yet_is_asked_again_soon() -> None:
    provider = Provider(away=True)
    keys = provider.keys()
    with logged() as lines:
        for _ in range(10):
            with pytest.raises(Unavailable) as away:
                await keys.get("first")
            assert away.value.retry_after_seconds == 2
    assert len(provider.asked) == len(lines) == 1
    provider.away = False
    provider.now += 2
    assert await keys.get("first") is FIRST


async def test_keys_are_not_trusted_for_ever() -> None:
    provider = Provider()
    keys = provider.keys(RefreshPolicy(keep_seconds=7200))
    assert await keys.get("first") is FIRST
    provider.away = True
    provider.now += 7199
    assert await keys.get("first") is FIRST
    provider.now += 2
    with pytest.raises(Unavailable):
        await keys.get("first")


async def test_a_failure_nobody_foresaw_is_an_outage() -> None:
    async def broken() -> Mapping[str, Key]:
        raise ZeroDivisionError

    with logged() as lines, pytest.raises(Unavailable):
        await JwksCache(broken).get("first")
    assert "ZeroDivisionError" in lines[0]
