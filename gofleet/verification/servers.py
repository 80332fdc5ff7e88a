"""Invariants of the servers: I14 busy drivers in Redis, I17 empty queues, I18 no stuck sessions in PostgreSQL, I19 free
drivers in Redis are registered.

The backlog of the outbox belongs to I7. The number of connections is not checked, because the database does not know
how many processes there should be; idle transactions and long lock waits are visible.
"""

from __future__ import annotations

from gofleet.adapters.postgres.drivers import DRIVERS
from gofleet.adapters.postgres.snapshot import VERIFY
from gofleet.verification.checks import InvariantResult, invariant_check, no_rows
from gofleet.verification.sources import Queues, Source, Sources

DRIVERS_READ_MAX = 1000
IDLE_SECONDS = 5.0
"""The longest intentional pause inside a transaction, the wait for a broker's confirmations, is as long."""


@invariant_check("I14", Source.POSTGRES, Source.REDIS, at_rest=True)
async def busy_as_dispatched(sources: Sources, result: InvariantResult) -> None:
    """The busy drivers in Redis are those with a DISPATCHED order in PostgreSQL, order by order."""
    busy = {(holding.driver_id, holding.order_id) for holding in await sources.redis.holdings()}
    dispatched = {(row[0], row[1]) async for row in sources.rows(VERIFY.holdings)}
    for driver_id, order_id in sorted(dispatched - busy):
        result.add(driver_id, f"has {order_id}, but is not busy in Redis")
    for driver_id, order_id in sorted(busy - dispatched):
        result.add(driver_id, f"is busy with {order_id} in Redis, which is not DISPATCHED with that driver")


@invariant_check("I14", Source.REDIS)
async def busy_not_free(sources: Sources, result: InvariantResult) -> None:
    """No busy driver is in the index of free drivers."""
    busy = {holding.driver_id for holding in await sources.redis.holdings()}
    for driver_id in sorted({driver_id async for driver_id in sources.redis.free_drivers()} & busy):
        result.add(driver_id, "is busy and indexed as free")


@invariant_check("I19", Source.POSTGRES, Source.REDIS)
async def free_are_registered(sources: Sources, result: InvariantResult) -> None:
    """Every driver in the index of free drivers has a record."""
    free = sorted({driver_id async for driver_id in sources.redis.free_drivers()})
    for start in range(0, len(free), DRIVERS_READ_MAX):
        page = free[start : start + DRIVERS_READ_MAX]
        registered = {row[0] async for row in sources.rows(DRIVERS.registered, ids=page)}
        for driver_id in page:
            if driver_id not in registered:
                result.add(driver_id, "is indexed as free, and is not a registered driver")


@invariant_check("I14", Source.REDIS)
async def claims_expire(sources: Sources, result: InvariantResult) -> None:
    """Every claim has a time to live."""
    async for key in sources.redis.lasting_claims():
        result.add(key, "is a claim that never expires")


@invariant_check("I17", Source.BROKER, at_rest=True)
async def queues_empty(sources: Sources, result: InvariantResult) -> None:
    """Every queue exists and is empty."""
    for queue in sources.queues.missing:
        result.add(queue, "does not exist")
    _check_empty(sources.queues, result)


@invariant_check("I17", Source.MANAGEMENT, at_rest=True)
async def nothing_unacknowledged(sources: Sources, result: InvariantResult) -> None:
    """Consumers hold no unacknowledged messages, which AMQP itself does not report."""
    _check_empty(Queues([depth for depth in sources.management_queues.depths if depth.held], []), result)


def _check_empty(queues: Queues, result: InvariantResult) -> None:
    for depth in queues.depths:
        if depth.ready or depth.held:
            held = f" and {depth.held} held by consumers" if depth.held else ""
            result.add(depth.queue, f"has {depth.ready} messages ready{held}")


def _idle_limit(_: Sources) -> dict[str, object]:
    return {"seconds": IDLE_SECONDS}


def _lock_timeout(sources: Sources) -> dict[str, object]:
    return {"seconds": sources.settings.postgres.lock_timeout_ms / 1000}


CHECKS = (
    busy_as_dispatched,
    busy_not_free,
    free_are_registered,
    claims_expire,
    queues_empty,
    nothing_unacknowledged,
    no_rows("I18", VERIFY.forgotten_transactions, _idle_limit),
    no_rows("I18", VERIFY.stuck_waits, _lock_timeout),
)
