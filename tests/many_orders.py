"""A large orders table, filled in seconds."""

from __future__ import annotations

import psycopg

ORDERS = 200_000
DRIVERS = 500

# Half a second apart, newest last; two of ten are not delivered. Without history and events, which no test lists.
_FILL = """
insert into orders (id, price, tax, final_price, status, driver_id, reason, version, created_at, pending_since,
                    dispatched_at, delivered_at, cancelled_at, reference)
select 'o-' || lpad(n::text, 9, '0'), 100, 10, 110, status,
       case when status = 'DELIVERED' then 'driver-' || lpad((n %% %(drivers)s)::text, 3, '0') end,
       case when status = 'MANUAL_DISPATCH' then 'no_driver' end,
       2, at, at,
       case when status = 'DELIVERED' then at + interval '1 second' end,
       case when status = 'DELIVERED' then at + interval '9 minutes' end,
       case when status = 'CANCELLED' then at + interval '1 minute' end,
       'A-' || lpad((n %% %(drivers)s)::text, 3, '0')
from (
    select n, now() - (%(many)s - n) * interval '0.5 second' as at,
           case n %% 10 when 0 then 'CANCELLED' when 5 then 'MANUAL_DISPATCH' else 'DELIVERED' end as status
    from generate_series(1, %(many)s) as n
) as made
"""


def fill(conninfo: str, count: int = ORDERS) -> None:
    """Insert `count` settled orders of 500 drivers, created during the last day or so."""
    with psycopg.connect(conninfo, autocommit=True, options="-c statement_timeout=0") as connection:
        connection.execute("alter table orders disable trigger user")
        connection.execute(_FILL, {"many": count, "drivers": DRIVERS})
        connection.execute("alter table orders enable trigger user")
        connection.execute("vacuum analyze orders")
