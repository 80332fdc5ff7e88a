"""How fast a relay catches up with what was left for it, beside the same publishes by a bare client."""

from __future__ import annotations

import psycopg

from tests.bench.backlog import leave_events
from tests.bench.figures import Aim, Figure
from tests.bench.load import in_own_process
from tests.bench.queues import ByAioPika, forget
from tests.bench.servers import Bench, Measured
from tests.waiting import eventually

CASE = "drain"
BACKLOG = 100_000
SMOKE_EVENTS = 2000
RATE_MIN = 3000.0
SECONDS = 600.0
CEILING = "bare aio-pika, confirms gathered"


async def measure(at: Bench) -> list[Figure]:
    backlog = SMOKE_EVENTS if at.smoke else BACKLOG
    rates: list[float] = []
    bare: list[float] = []
    for number, variant in at.turns(2):
        with at.servers.installation(CASE) as measured:
            if variant:
                bare.append(await _bare(at, measured, backlog // 4))
            else:
                leave_events(measured.conninfo, backlog)
                rates.append(await drained(measured, backlog))
            await forget(at.servers, measured)
        at.say(f"{CASE} {number + 1}: {'bare' if variant else 'relay'} {(bare if variant else rates)[-1]:.0f} events/s")
    aim = Aim(f"at least {RATE_MIN:.0f} events/s", least=RATE_MIN)
    return [
        Figure(CASE, f"relay, backlog of {backlog:,}", "events/s", tuple(rates), CEILING, aim=aim),
        Figure(CASE, CEILING, "events/s", tuple(bare)),
    ]


async def drained(measured: Measured, backlog: int) -> float:
    """Events a second, by one relay that is started now, from its first commit to its last; it is stopped then."""
    with psycopg.connect(measured.conninfo) as connection:
        (before,) = connection.execute("select now()").fetchone() or (None,)
    (relay,) = measured.installation.start("relay")
    left = "select count(*) from (select from outbox where published_at is null limit 1) as any_left"
    await eventually(lambda: measured.count(left) == 0, within=SECONDS, every=0.1)
    measured.installation.stop()
    if failed := [event for event in relay.events() if event.get("level") in ("ERROR", "CRITICAL")]:
        raise AssertionError(f"the relay says {failed[:3]}")
    with psycopg.connect(measured.conninfo) as connection:
        query = (
            "select count(*), extract(epoch from max(published_at) - min(published_at))::float8 from outbox"
            " where published_at > %s"
        )
        count, seconds = connection.execute(query, [before]).fetchone() or (0, 0.0)
    if count != backlog:
        raise AssertionError(f"{count} of {backlog} events were published")
    return count / seconds


async def _bare(at: Bench, measured: Measured, count: int) -> float:
    """Into queues of the same sort, which a relay has declared; with a real event for a body."""
    measured.installation.start("relay")
    measured.installation.stop()
    leave_events(measured.conninfo, 1)
    with psycopg.connect(measured.conninfo) as connection:
        (body,) = connection.execute("select payload::text from outbox").fetchone() or ("",)
    prefix = measured.installation.environment["NAME_PREFIX"]
    return await in_own_process(ByAioPika(at.servers.rabbit.address.url, prefix, body.encode(), count))
