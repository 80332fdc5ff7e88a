-- name: of
select txid::text::bigint as turn, id, order_id, version, was, became, driver_id, reason, actor, at, trace_id,
       customer_id, was_driver_id
from order_log where order_id = %(order_id)s
order by id
limit %(limit)s;

-- name: now
-- Whatever is placed from now on has a txid that is not below this one, and no id is below 1.
select pg_snapshot_xmin(pg_current_snapshot())::text::bigint;

-- name: behind
-- One row at least, of which the first three columns tell how far was looked. See 0007_history.sql for the order.
select horizon.open_from::text::bigint as open_from,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint as open_until,
       exists (select from order_log where txid >= horizon.open_from) as held_back,
       entry.*
from (select pg_snapshot_xmin(pg_current_snapshot()) as open_from) as horizon
left join lateral (
    select txid::text::bigint as turn, id, order_id, version, was, became, driver_id, reason, actor, at, trace_id,
       customer_id, was_driver_id
    from order_log
    where (txid, id) > (%(turn)s::text::xid8, %(id)s::bigint) and txid < horizon.open_from
    order by txid, id
    limit %(limit)s
) as entry on true
order by turn, id;

-- name: behind_of_order
select horizon.open_from::text::bigint as open_from,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint as open_until,
       exists (select from order_log where txid >= horizon.open_from and order_id = %(order_id)s) as held_back,
       entry.*
from (select pg_snapshot_xmin(pg_current_snapshot()) as open_from) as horizon
left join lateral (
    -- Its moves are few, and order_log_by_order has them.
    select txid::text::bigint as turn, id, order_id, version, was, became, driver_id, reason, actor, at, trace_id,
       customer_id, was_driver_id
    from order_log
    where order_id = %(order_id)s and (txid, id) > (%(turn)s::text::xid8, %(id)s::bigint) and txid < horizon.open_from
    order by txid, id
    limit %(limit)s
) as entry on true
order by turn, id;
