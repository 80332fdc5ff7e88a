"""The outcomes of the orders that clients created, and whether they add up."""

from __future__ import annotations

import json
from collections import Counter

from tests.chaos.rig import World

BY_STATUS = "select status, reason, count(*) from orders where id = any(%s) group by status, reason"


async def tally(world: World) -> tuple[str, bool]:
    """A summary; and whether each order confirmed to a client exists, in manual dispatch only with a reason."""
    created = sorted(_created(world))
    async with world.connection() as connection:
        rows = await (await connection.execute(BY_STATUS, [created])).fetchall()
    counts = Counter[str]()
    unexplained = 0
    for status, reason, count in rows:
        counts[_place(status, reason)] += count
        unexplained += count if status == "MANUAL_DISPATCH" and reason is None else 0
    parts = " + ".join(f"{count} {place}" for place, count in sorted(counts.items()))
    return f"{len(created)} created = {parts or 'nothing'}", counts.total() == len(created) and not unexplained


def _created(world: World) -> set[str]:
    lines = map(json.loads, world.ledger.path.read_text().splitlines())
    return {line["order_id"] for line in lines if line["act"] == "create" and line["status"] in (200, 201)}


def _place(status: str, reason: str | None) -> str:
    return f"manual ({reason})" if status == "MANUAL_DISPATCH" else "waiting" if status == "PENDING" else status.lower()
