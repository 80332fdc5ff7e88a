"""Mutation tests of the guards: a storm finds no violation in the real code, and one in every mutant."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import pytest
from loguru import logger
from redis.asyncio import Redis

from gofleet.adapters.redis.connection import redis_client
from gofleet.embedded import Valkey
from tests.mutants.dice import FULL_OF_ZOMBIES, LOSING, REPEATING, Weather
from tests.mutants.mutants import MUTANTS, Mutant, Target
from tests.mutants.storm import a_storm

SEEDS_MAX = 8


@pytest.fixture(autouse=True)
def no_log() -> Generator[None]:
    """Thousands of failures are intended; logging each would take longer than the storm."""
    logger.disable("gofleet")
    yield
    logger.enable("gofleet")


@pytest.fixture
async def redis(valkey_server: Valkey) -> AsyncGenerator[Redis]:
    address = valkey_server.address
    async with redis_client(address.host, address.port, password=address.password, timeout_seconds=5) as client:
        yield client


@pytest.mark.parametrize("weather", [REPEATING, LOSING, FULL_OF_ZOMBIES], ids=["repeating", "losing", "zombies"])
@pytest.mark.parametrize("seed", range(3))
async def test_a_storm_violates_no_invariant(clean_database: str, redis: Redis, seed: int, weather: Weather) -> None:
    assert await a_storm(clean_database, redis, seed, weather) == set()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.apply.__name__}: {mutant.finding}")
async def test_a_storm_detects_the_mutant(
    clean_database: str, redis: Redis, monkeypatch: pytest.MonkeyPatch, mutant: Mutant
) -> None:
    mutant.apply(Target(monkeypatch, clean_database))
    violations: set[str] = set()

    for seed in range(SEEDS_MAX):
        violations |= await a_storm(clean_database, redis, seed, mutant.weather)
        if any(each.startswith(mutant.finding) for each in violations):
            print(f"found with seed {seed}")  # noqa: T201
            return

    raise AssertionError(f"not found by {SEEDS_MAX} storms, but: {sorted(violations)}")
