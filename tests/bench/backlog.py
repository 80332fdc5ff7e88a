"""Tables as they are after a long time, or after a long outage, made in a moment."""

from __future__ import annotations

import psycopg

from tests.many_orders import fill

# No order is pending, so that a relay only has to publish.
_EVENTS = """
with made as (
    select %(prefix)s || lpad(n::text, 9, '0') as id, gen_random_uuid() as event_id, now() as at
    from generate_series(1, %(count)s) as n
), ordered as (
    insert into orders (id, price, tax, final_price, pickup_lat, pickup_lng, status, version, cancelled_at)
    select id, 100, 10, 110, -23.5505, -46.6333, 'CANCELLED', 2, at from made
)
insert into outbox (event_id, aggregate_id, seq, event_type, payload)
select event_id, id, 1, 'orders.created',
       jsonb_build_object('type', 'orders.created', 'version', 1, 'event_id', event_id, 'order_id', id, 'sequence', 1,
                          'price', '100.00', 'tax', '10.00', 'final_price', '110.00', 'customer_id', null,
                          'pickup', jsonb_build_object('lat', -23.5505, 'lng', -46.6333), 'dropoff', null,
                          'occurred_at', at)
from made
"""
# What the moves of such orders have left behind: their history, and events for as long as those are kept.
_HISTORY = """
insert into order_log (order_id, was, became, driver_id, version, txid, at, actor)
select id, case when status <> 'PENDING' then 'PENDING' end, status, driver_id, version, '3', created_at, 'worker'
from orders
"""
_PUBLISHED = """
insert into outbox (event_id, aggregate_id, seq, event_type, payload, created_at, published_at)
select gen_random_uuid(), id, 1, 'orders.created',
       jsonb_build_object('type', 'orders.created', 'version', 1, 'order_id', id, 'sequence', 1, 'price', '100.00',
                          'tax', '10.00', 'final_price', '110.00', 'pickup', null, 'dropoff', null),
       created_at, created_at
from orders where created_at > now() - interval '7 days'
order by created_at
"""

_SETTLE = """
with over as (
    update orders set status = 'CANCELLED', version = version + 1, cancelled_at = now() where status = 'PENDING'
)
update outbox set published_at = now() where published_at is null
"""


def leave_events(conninfo: str, count: int, prefix: str = "left-") -> None:
    """Insert `count` orders, each with one unpublished event."""
    with _quiet(conninfo) as connection:
        connection.execute(_EVENTS, {"count": count, "prefix": prefix})
        connection.execute("vacuum analyze orders, outbox")


def grow(conninfo: str, orders: int) -> None:
    """Insert settled orders of the last weeks, two a second, with their history and events."""
    fill(conninfo, orders)
    with _quiet(conninfo) as connection:
        connection.execute(_HISTORY)
        connection.execute(_PUBLISHED)
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")


def settle(conninfo: str) -> None:
    """Settle all orders, and mark all events as published."""
    with _quiet(conninfo) as connection:
        connection.execute(_SETTLE)
        connection.execute("vacuum analyze orders, outbox")


def _quiet(conninfo: str) -> psycopg.Connection:
    """Without triggers, which look at every row."""
    options = "-c statement_timeout=0 -c session_replication_role=replica"
    return psycopg.connect(conninfo, autocommit=True, options=options)
