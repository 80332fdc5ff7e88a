"""What became of the promises: `gofleet verify` on the servers themselves, with the clients' ledger and the tap."""

from __future__ import annotations

import asyncio
import time

from gofleet.settings import Settings, load
from gofleet.verification import Inputs, InvariantResult, InvariantState, verify
from tests.chaos.rig import World

SETTLE_SECONDS = 20.0
"""Redis learns from events and from a comparison every few seconds; the history never shrinks."""
LOOK_SECONDS = 1.5
NEED_A_TAP = ("I8", "I9")
"""Checked with RabbitMQ only, where a tap receives what the roles do."""


async def violations(world: World, within: float = SETTLE_SECONDS) -> list[str]:
    """Every violation and every failed query, in words; with time for what recovers by itself."""
    until = time.monotonic() + within
    while True:
        found = await _found(world)
        if not found or time.monotonic() > until:
            return found
        await asyncio.sleep(LOOK_SECONDS)


async def _found(world: World) -> list[str]:
    inputs = Inputs(
        ledger=world.ledger.path,
        tap=world.tap.path if world.broker == "rabbitmq" else None,
        management=world.rabbit.management_url,
        broker_lost_data=world.broker_lost_data,
    )
    report = await verify(settings_of(world), inputs)
    return [_words(finding) for finding in report.results if not _is_kept(finding, world)]


def _is_kept(finding: InvariantResult, world: World) -> bool:
    if world.broker == "redis" and finding.id in NEED_A_TAP:
        return not finding.total
    return finding.verdict is InvariantState.HOLDS


def _words(finding: InvariantResult) -> str:
    offenders = [f"{offender.subject} {offender.why}" for offender in finding.offenders[:5]]
    reasons = [*offenders, *finding.unreadable, *finding.lacking]
    return f"{finding.id} {finding.title} {finding.verdict} ({finding.total}): {'; '.join(reasons)}"


def settings_of(world: World) -> Settings:
    """Those of the roles, but past every proxy."""
    postgres, redis = world.servers.postgres.address, world.servers.redis.address
    direct = {
        "DB_HOST": postgres.host,
        "DB_PORT": str(postgres.port),
        "RABBITMQ_HOST": world.rabbit.host,
        "AMQP_PORT": str(world.rabbit.port),
        "REDIS_HOST": redis.host,
        "REDIS_PORT": str(redis.port),
        "REDIS_PASSWORD": redis.password,
    }
    return load({**world.installation.environment, **direct}, dotenv=None)
