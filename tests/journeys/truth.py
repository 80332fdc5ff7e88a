"""The final state of the database, and violations in it."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg


@dataclass(frozen=True)
class DatabaseState:
    """Orders by status, and violations, which must be empty."""

    by_status: dict[str, int]
    violations: list[str]


VIOLATIONS = {
    "a driver held by two live orders": """
        select driver_id from orders where status = 'DISPATCHED' group by driver_id having count(*) > 1""",
    "an order dispatched more than once": """
        select order_id from order_log where became = 'DISPATCHED' and was <> became
        group by order_id having count(*) > 1""",
    "an order without exactly one event for each version": """
        select o.id from orders o left join outbox e on e.aggregate_id = o.id and e.kind = 'event'
        group by o.id, o.version having count(e.*) <> o.version or max(e.seq) <> o.version""",
    "an event that was never published": "select event_id::text from outbox where published_at is null",
    "a parked message": "select coalesce(event_id, id::text) from parked",
    "an order escalated without a reason": """
        select id from orders where status = 'MANUAL_DISPATCH' and reason is null""",
    # By ids instead of times: a transaction that waits for the end of the driver's previous order began before it.
    "two overlapping orders of one driver, at any time": """
        with held as (
            select l.order_id, l.driver_id, l.id as since,
                   (select min(n.id) from order_log n where n.order_id = l.order_id and n.id > l.id) as until
            from order_log l where l.became = 'DISPATCHED'
        )
        select a.order_id from held a join held b on a.driver_id = b.driver_id and a.since < b.since
        where a.until is null or b.since < a.until""",
}


def read_state(conninfo: str) -> DatabaseState:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        counted = connection.execute("select status, count(*) from orders group by status").fetchall()
        faults = [
            f"{name}: {', '.join(str(row[0]) for row in rows[:5])}"
            for name, query in VIOLATIONS.items()
            if (rows := connection.execute(query.encode()).fetchall())
        ]
    return DatabaseState({str(status): int(count) for status, count in counted}, faults)


def count(conninfo: str) -> int:
    """The number of orders."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        row = connection.execute("select count(*) from orders").fetchone()
    return int(row[0]) if row else 0


def settled(conninfo: str) -> bool:
    """Whether no order waits and no event is unpublished."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        row = connection.execute(
            "select (select count(*) from orders where status = 'PENDING')"
            " + (select count(*) from outbox where published_at is null)"
        ).fetchone()
    return row == (0,)
