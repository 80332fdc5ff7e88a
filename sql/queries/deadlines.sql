-- name: judge
-- Orders created since the last time that are old enough by now, by their first move: the history is asked, not the row,
-- for what an order is today says nothing about its first seconds. An order that was cancelled in time was not due.
-- At most `most` seconds of orders at once, so that the backlog of a long silence is no long statement.
with turn as (
    select until as since,
           least(now() - %(after)s::float8 * interval '1 second', until + %(most)s::float8 * interval '1 second') as until
    from deadlines for update skip locked
), kept as (
    update deadlines set until = turn.until from turn where turn.until > turn.since
), judged as (
    select orders.id, first.became, first.at - orders.created_at <= %(bound)s::float8 * interval '1 second' as early
    from turn
    join orders on orders.created_at > turn.since and orders.created_at <= turn.until
    left join lateral (
        select became, at from order_log where order_log.order_id = orders.id and order_log.version = 2 limit 1
    ) as first on true
)
select count(*), count(*) filter (where became is distinct from 'DISPATCHED' or not early)
from judged where not (coalesce(became, '') = 'CANCELLED' and early);
