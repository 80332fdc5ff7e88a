"""The servers around the orders: I14 who is busy in Redis, I17 queues at rest, I18 nothing piles up in PostgreSQL.

The outbox's backlog is I7's business. The number of connections is not judged: a database does not know how many
processes of ours there should be, but one that forgot its transaction, or waits for ever, shows.
"""

from __future__ import annotations

from gofleet.adapters.postgres.snapshot import VERIFY
from gofleet.verification.checks import check, no_rows
from gofleet.verification.findings import InvariantResult
from gofleet.verification.sources import Queues, Source, Sources

IDLE_SECONDS = 5.0
"""The longest pause that a transaction of ours makes on purpose is waiting for a broker's confirmations, as long."""


@check("I14", Source.POSTGRES, Source.REDIS, at_rest=True)
async def busy_as_dispatched(sources: Sources, finding: InvariantResult) -> None:
    """Who is busy in Redis is who has a DISPATCHED order in PostgreSQL, order by order."""
    busy = {(holding.driver_id, holding.order_id) for holding in await sources.redis.holdings()}
    live = {(row[0], row[1]) async for row in sources.rows(VERIFY.holdings)}
    for driver_id, order_id in sorted(live - busy):
        finding.add(driver_id, f"has {order_id}, and Redis does not know")
    for driver_id, order_id in sorted(busy - live):
        finding.add(driver_id, f"is busy with {order_id} in Redis, which is not DISPATCHED with that driver")


@check("I14", Source.REDIS)
async def busy_not_free(sources: Sources, finding: InvariantResult) -> None:
    busy = {holding.driver_id for holding in await sources.redis.holdings()}
    for driver_id in sorted({found async for found in sources.redis.free_drivers()} & busy):
        finding.add(driver_id, "is busy and would be found as free")


@check("I14", Source.REDIS)
async def claims_end(sources: Sources, finding: InvariantResult) -> None:
    async for key in sources.redis.lasting_claims():
        finding.add(key, "is a claim that never ends")


@check("I17", Source.BROKER, at_rest=True)
async def queues_empty(sources: Sources, finding: InvariantResult) -> None:
    for queue in sources.queues.lacking:
        finding.add(queue, "does not exist")
    _empty(sources.queues, finding)


@check("I17", Source.MANAGEMENT, at_rest=True)
async def nothing_held(sources: Sources, finding: InvariantResult) -> None:
    """Also what consumers hold unacknowledged, which AMQP does not tell."""
    _empty(Queues([depth for depth in sources.managed.depths if depth.held], []), finding)


def _empty(queues: Queues, finding: InvariantResult) -> None:
    for depth in queues.depths:
        if depth.ready or depth.held:
            held = f" and {depth.held} held by consumers" if depth.held else ""
            finding.add(depth.queue, f"has {depth.ready} messages ready{held}")


def _idle(_: Sources) -> dict[str, object]:
    return {"seconds": IDLE_SECONDS}


def _lock_timeout(sources: Sources) -> dict[str, object]:
    return {"seconds": sources.settings.postgres.lock_timeout_ms / 1000}


CHECKS = (
    busy_as_dispatched,
    busy_not_free,
    claims_end,
    queues_empty,
    nothing_held,
    no_rows("I18", VERIFY.forgotten_transactions, _idle),
    no_rows("I18", VERIFY.stuck_waits, _lock_timeout),
)
