"""Invariants checked in PostgreSQL after a storm; stricter than tests/journeys/truth.py: orders change often here."""

from __future__ import annotations

import psycopg

from gofleet.domain.order import TRANSITIONS

LEGAL = ", ".join(f"('{was}', '{became}')" for was, targets in TRANSITIONS.items() for became in targets)
OPEN = ", ".join(f"'{was}'" for was, targets in TRANSITIONS.items() if targets)

QUERIES = {
    "an order left pending": "select id from orders where status = 'PENDING'",
    "an illegal transition": (
        f"select order_id from order_log where was is not null and (was, became) not in ({LEGAL})"
        f" and (was not in ({OPEN}) or was <> became or was_driver_id is distinct from driver_id)"
    ),
    "a transition that does not start where the last one ended": """
        select order_id from (
            select order_id, was, version, lag(became) over moves as stood, lag(version) over moves as before
            from order_log window moves as (partition by order_id order by id)
        ) as move
        where was is distinct from stood or version <> coalesce(before, 0) + 1""",
    "a history that does not end in the order": """
        select o.id from orders o
        left join lateral (select * from order_log where order_id = o.id order by id desc limit 1) l on true
        where (o.status, o.version) is distinct from (l.became, l.version)""",
    "dispatched twice without being pending in between": """
        select order_id from (
            select order_id, became, lag(became) over (partition by order_id order by id) as last
            from order_log where became in ('DISPATCHED', 'PENDING') and was is distinct from became
        ) as move
        where became = 'DISPATCHED' and last is distinct from 'PENDING'""",
    # By the ids of the log, not by its times: a transaction that waits for the driver's row began before it was freed.
    "a driver with two orders at once": """
        with held as (
            select l.order_id, l.driver_id, l.id as since,
                   (select min(n.id) from order_log n where n.order_id = l.order_id and n.id > l.id) as until
            from order_log l where l.became = 'DISPATCHED'
        )
        select a.driver_id from held a join held b on a.driver_id = b.driver_id and a.since < b.since
        where a.until is null or b.since < a.until""",
    "not exactly one event for each version": """
        select o.id from orders o left join outbox e on e.aggregate_id = o.id and e.kind = 'event'
        group by o.id, o.version
        having count(e.*) <> o.version or count(distinct e.seq) <> o.version or max(e.seq) <> o.version""",
    "an event that was never published": "select event_id::text from outbox where published_at is null",
    "a dispatch without its receipt": """
        select l.order_id from order_log l where l.became = 'DISPATCHED' and l.was <> l.became
        group by l.order_id
        having count(*) <> (
            select count(*) from inbox i join outbox e using (event_id)
            where e.aggregate_id = l.order_id and i.consumer = 'dispatch' and i.outcome = 'dispatched'
        )""",
    "an order in manual dispatch without a reason": """
        select id from orders where status = 'MANUAL_DISPATCH' and reason is null""",
}


def findings(conninfo: str) -> set[str]:
    """`<kind>: <first five offenders>` for each violated invariant."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return {
            f"{kind}: {', '.join(str(row[0]) for row in rows[:5])}"
            for kind, query in QUERIES.items()
            if (rows := connection.execute(query.encode()).fetchall())
        }


def published(conninfo: str) -> set[str]:
    """The ids of the events that the outbox has marked as published."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return {str(row[0]) for row in connection.execute("select event_id from outbox where published_at is not null")}


def unpublished(conninfo: str) -> int:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        row = connection.execute("select count(*) from outbox where published_at is null").fetchone()
    return int(row[0]) if row else 0
