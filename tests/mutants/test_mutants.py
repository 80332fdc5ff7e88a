"""Is each guard needed, and would we notice if it were gone? The storm finds nothing but in a mutant."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import pytest
from loguru import logger
from redis.asyncio import Redis

from gofleet.adapters.redis.connection import redis_client
from gofleet.embedded import Valkey
from tests.mutants.dice import FULL_OF_ZOMBIES, LOSING, REPEATING, Weather
from tests.mutants.mutants import MUTANTS, Mutant, Patient
from tests.mutants.storm import a_storm

MOST_SEEDS = 8


@pytest.fixture(autouse=True)
def quietly() -> Generator[None]:
    """Thousands of failures are meant to happen; telling of each would take longer than the storm."""
    logger.disable("gofleet")
    yield
    logger.enable("gofleet")


@pytest.fixture
async def redis(valkey_server: Valkey) -> AsyncGenerator[Redis]:
    address = valkey_server.address
    async with redis_client(address.host, address.port, timeout_seconds=5) as client:
        yield client


@pytest.mark.parametrize("weather", [REPEATING, LOSING, FULL_OF_ZOMBIES], ids=["repeating", "losing", "zombies"])
@pytest.mark.parametrize("seed", range(3))
async def test_a_storm_breaks_no_promise(clean_database: str, redis: Redis, seed: int, weather: Weather) -> None:
    assert await a_storm(clean_database, redis, seed, weather) == set()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.operate.__name__}: {mutant.finding}")
async def test_without_this_guard_the_storm_finds_it(
    clean_database: str, redis: Redis, monkeypatch: pytest.MonkeyPatch, mutant: Mutant
) -> None:
    mutant.operate(Patient(monkeypatch, clean_database))
    found: set[str] = set()

    for seed in range(MOST_SEEDS):
        found |= await a_storm(clean_database, redis, seed, mutant.weather)
        if any(finding.startswith(mutant.finding) for finding in found):
            print(f"found with seed {seed}")  # noqa: T201
            return

    raise AssertionError(f"not found by {MOST_SEEDS} storms, but: {sorted(found)}")
