"""What became of the promises: asked of the servers and the clients' ledger, never of the processes under test."""

from __future__ import annotations

import json
from typing import Any, cast

from tests.chaos.rig import World

CHECKS: dict[str, str] = {
    "I2 an order waits": "select id from orders where status = 'PENDING'",
    "I2 with people, without a reason": "select id from orders where status = 'MANUAL_DISPATCH' and reason is null",
    "I5 two live orders of one driver at a time": """
        with held as (
            select l.order_id, l.driver_id, l.id, l.at as since,
                   coalesce((select min(n.at) from order_log n where n.order_id = l.order_id and n.id > l.id),
                            'infinity') as until
            from order_log l where l.became = 'DISPATCHED'
        )
        select a.order_id from held a join held b on a.driver_id = b.driver_id and a.order_id <> b.order_id
        and a.id < b.id where tstzrange(a.since, a.until) && tstzrange(b.since, b.until)""",
    "I6 not one event for each version": """
        select o.id from orders o
        left join outbox e on e.aggregate_id = o.id and e.event_type <> 'orders.dispatch_requested'
        group by o.id, o.version having count(e.*) <> o.version or max(e.seq) <> o.version""",
    "I7 never published": "select event_id::text from outbox where published_at is null",
}


async def violations(world: World) -> list[str]:
    """Everything that is broken, in words."""
    found: list[str] = []
    async with world.link() as link:
        for name, query in CHECKS.items():
            rows = await (await link.execute(query.encode())).fetchall()
            if rows:
                found.append(f"{name}: {', '.join(str(row[0]) for row in rows[:5])} ({len(rows)})")
        known = {row[0] for row in await (await link.execute("select id from orders")).fetchall()}
        events = {row[0] for row in await (await link.execute("select event_id::text from outbox")).fetchall()}
    lines = _lines(world.ledger.path.read_text())
    lost = {line["order_id"] for line in lines if line["act"] == "create" and line["status"] in (200, 201)} - known
    if lost:
        found.append(f"I1 accepted and lost: {', '.join(sorted(lost)[:5])} ({len(lost)})")
    phantoms = {str(line["event_id"]) for line in _lines(world.tap.path.read_text())} - events
    if phantoms:
        found.append(f"I9 published and never committed: {', '.join(sorted(phantoms)[:5])} ({len(phantoms)})")
    return found


def _lines(text: str) -> list[dict[str, Any]]:
    return [cast("dict[str, Any]", json.loads(line)) for line in text.splitlines()]
