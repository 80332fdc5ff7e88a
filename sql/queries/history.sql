-- fragment: entry
-- The txid is cast under its own name: `order by` in the queries means the column of the table.
order_log.txid::text::bigint as txid, id, order_id, version, was, became, driver_id, reason, actor, at, trace_id,
       customer_id, was_driver_id, client_order_id, coalesce(kind, change_kind(was, became)) as kind

-- name: of
select {entry}
from order_log where order_id = %(order_id)s
order by version
limit %(limit)s;

-- name: now
-- Every entry placed later has a txid that is not below this one, and no id is below 1.
select pg_snapshot_xmin(pg_current_snapshot())::text::bigint;

-- name: after
-- One row at least; its first three columns are the horizon up to which entries are placed. See 0007_history.sql.
select horizon.open_from::text::bigint as open_from,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint as open_until,
       exists (select from order_log where txid >= horizon.open_from) as held_back,
       entry.*
from (select pg_snapshot_xmin(pg_current_snapshot()) as open_from) as horizon
left join lateral (
    select {entry}
    from order_log
    where (txid, id) > (%(txid)s::text::xid8, %(id)s::bigint) and txid < horizon.open_from
    order by order_log.txid, id
    limit %(limit)s
) as entry on true
order by entry.txid, id;

-- name: after_of_order
select horizon.open_from::text::bigint as open_from,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint as open_until,
       exists (select from order_log where txid >= horizon.open_from and order_id = any(%(order_ids)s)) as held_back,
       entry.*
from (select pg_snapshot_xmin(pg_current_snapshot()) as open_from) as horizon
left join lateral (
    -- An order has few entries, and order_log_by_version finds them.
    select {entry}
    from order_log
    where order_id = any(%(order_ids)s) and (txid, id) > (%(txid)s::text::xid8, %(id)s::bigint) and txid < horizon.open_from
    order by order_log.txid, id
    limit %(limit)s
) as entry on true
order by entry.txid, id;
