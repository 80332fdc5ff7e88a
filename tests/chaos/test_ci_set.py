"""The disasters that every test run goes through, on one world after the other's end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from gofleet.embedded import Postgres, RabbitMQ, Valkey
from tests.chaos import faults  # noqa: F401  # pyright: ignore[reportUnusedImport]  registers them
from tests.chaos.rig import a_world
from tests.chaos.servers import Servers
from tests.chaos.trial import FAULTS, Fault, Stage, a_stage, tried

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]
SEED = 1
IN_CI = [fault for fault in FAULTS.values() if fault.in_ci]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    postgres_server: Postgres,
    redis_server: Valkey,
    rabbit_server: RabbitMQ,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[Stage]:
    """One world for all: none of these faults takes a server away."""
    servers = Servers(postgres_server, redis_server, rabbit_server)
    place: Path = tmp_path_factory.mktemp("chaos")
    async with a_world(servers, place) as world, a_stage(world) as stage:
        yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def streams_stage(
    postgres_server: Postgres,
    redis_server: Valkey,
    rabbit_server: RabbitMQ,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[Stage]:
    """The same with Redis Streams as the broker."""
    servers = Servers(postgres_server, redis_server, rabbit_server)
    place: Path = tmp_path_factory.mktemp("chaos-streams")
    async with a_world(servers, place, broker="redis") as world, a_stage(world) as stage:
        yield stage


@pytest.mark.parametrize("fault", IN_CI, ids=lambda fault: fault.name)
async def test_every_promise_is_kept(stage: Stage, fault: Fault) -> None:
    outcome = await tried(stage, fault, SEED)

    assert outcome.violations == [], f"{outcome.seed}: logs, ledger and tap are in {stage.world.place}"
    assert outcome.orders > 0


@pytest.mark.parametrize("fault", [each for each in IN_CI if each.any_broker], ids=lambda fault: fault.name)
async def test_every_promise_is_kept_with_redis_streams(streams_stage: Stage, fault: Fault) -> None:
    outcome = await tried(streams_stage, fault, SEED)

    assert outcome.violations == [], f"{outcome.seed}: logs and ledger are in {streams_stage.world.place}"
    assert outcome.orders > 0
