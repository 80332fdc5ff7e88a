"""A product that is broken on purpose must not pass: what the rig would miss here, it would miss anywhere."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gofleet.embedded import Postgres, RabbitMQ, Valkey
from tests.chaos.faults.redis import flush
from tests.chaos.rest import rest
from tests.chaos.rig import a_world
from tests.chaos.servers import Servers
from tests.chaos.trial import Trial, a_stage, a_trial
from tests.chaos.verdict import violations
from tests.waiting import eventually

MUTANTS = Path(__file__).parent / "mutants"
NO_SWEEPER = {"SWEEP_SECONDS": "3600", "RECONCILE_SECONDS": "3600"}
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def servers(postgres_server: Postgres, redis_server: Valkey, rabbit_server: RabbitMQ) -> Servers:
    return Servers(postgres_server, redis_server, rabbit_server)


@asynccontextmanager
async def a_small_trial(
    servers: Servers, place: Path, *roles: str, drivers: int, **bounds: str
) -> AsyncGenerator[Trial]:
    async with a_world(servers, place, roles, **bounds) as world, a_stage(world, drivers) as stage:
        yield a_trial(stage, "mutant", seed=1)


async def test_a_worker_that_acknowledges_first_strands_orders(servers: Servers, tmp_path: Path) -> None:
    """The sweeper would heal even that, so it is off here."""
    async with a_small_trial(servers, tmp_path, "fleet", "relay", "api", drivers=30, **NO_SWEEPER) as trial:
        path, point = str(MUTANTS / "ack_first"), "worker.after_lease=kill@5"
        mutant = await trial.world.add("worker", PYTHONPATH=path, GOFLEET_FAILPOINTS=point)
        async with trial.load(orders=10, rate=50, ending="forget"):
            assert await trial.all_hit([mutant])
        await trial.world.add("worker")

        [complaint] = await rest(trial.world, within=8)

        assert "orders wait" in complaint
        assert any(found.startswith("I2") for found in await violations(trial.world, within=0))


async def test_a_lost_order_and_a_driver_given_twice_are_found(servers: Servers, tmp_path: Path) -> None:
    async with a_small_trial(servers, tmp_path, "fleet", "relay", "worker", "api", drivers=2) as trial:
        async with trial.load(orders=5, rate=20) as load:
            pass
        assert [*await rest(trial.world), *await violations(trial.world)] == []

        async with trial.world.connection() as connection:
            await connection.execute("delete from outbox where aggregate_id = %s", [load.ids[0]])
            await connection.execute("delete from orders where id = %s", [load.ids[0]])
            await connection.execute("drop index one_live_order_per_driver")
        async with trial.load(orders=120, rate=10, ending="leave"):
            await eventually(lambda: _flushed_until_given_twice(trial), within=20, every=0.3)
        found = [*await rest(trial.world), *await violations(trial.world, within=0)]

        names = {one.split()[0] for one in found}
        assert {"I1", "I9"} <= names, found  # accepted and lost; published and not in the outbox
        assert "I5" in names, found  # two live orders of one driver: Redis has lost the busy drivers


async def _flushed_until_given_twice(trial: Trial) -> bool:
    """Let Redis forget that the drivers are busy; whether one of them has two live orders by now."""
    await flush(trial)
    async with trial.world.connection() as connection:
        query = "select from orders where status = 'DISPATCHED' group by driver_id having count(*) > 1 limit 1"
        return (await (await connection.execute(query)).fetchone()) is not None
