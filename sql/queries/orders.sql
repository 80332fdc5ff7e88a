-- name: add
-- Any number of orders in one statement, so one round trip and one commit for them and their events; `rows` is a JSON
-- array, which costs a client a third of what columns of arrays do. Sorted by id, or two of these could wait for each
-- other's ids; no id comes twice.
with asked as materialized (
    select * from jsonb_to_recordset(%(rows)s::jsonb) as row (
        id text, customer_id text, price numeric, tax numeric, final_price numeric,
        pickup_lat float8, pickup_lng float8, dropoff_lat float8, dropoff_lng float8, moved_by text, trace_id text,
        event_id uuid, seq integer, event_type text, payload jsonb, traceparent text)
), added as (
    insert into orders (id, customer_id, price, tax, final_price, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng,
                        moved_by, moved_trace)
    select id, customer_id, price, tax, final_price, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, moved_by, trace_id
    from asked
    on conflict (id) do nothing
    returning id, created_at, pending_since
), announced as (
    insert into outbox (event_id, aggregate_id, seq, event_type, payload, traceparent)
    select event_id, id, seq, event_type, payload || jsonb_build_object('occurred_at', created_at), traceparent
    from asked join added using (id)
)
select id, created_at, pending_since from added;

-- name: get
select id, customer_id, price, tax, final_price, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, status, driver_id,
       reason, version, created_at, pending_since, dispatched_at, delivered_at, cancelled_at, now() as as_of
from orders where id = any(%(ids)s);

-- name: save
-- Compare and set on the version, for any number of orders: of two writers who read the same order one finds it changed.
-- A move is made only with its receipt, if it has one: an event that was handled before moves nothing. That is decided
-- before anything is written, each row by itself: it is locked at its version, its receipt is new, and only then it moves
-- and is announced. Of several rows those are passed over that somebody else has locked (SKIP LOCKED), or whose driver
-- looked busy when the statement began: they are saved alone, where a row waits, and the unique index alone decides about
-- the driver. No order and no driver comes twice. The limit tells the planner that the rows are few, whatever it knows
-- of orders.
with asked as materialized (
    select * from jsonb_to_recordset(%(rows)s::jsonb) as row (
        id text, stored_version integer, status text, driver_id text, reason text, version integer,
        moved_by text, trace_id text, consumer text, handled_event_id uuid, outcome text,
        event_id uuid, seq integer, event_type text, payload jsonb, traceparent text)
    limit %(count)s
), current as materialized (
    select asked.* from asked cross join lateral (
        select from orders where orders.id = asked.id and orders.version = asked.stored_version for no key update
    ) as locked
), free as materialized (
    select * from current where status <> 'DISPATCHED' or %(count)s = 1 or (
        select true from orders as live where live.driver_id = current.driver_id and live.status = 'DISPATCHED' limit 1
    ) is null
), handled as (
    insert into inbox (consumer, event_id, outcome)
    select consumer, handled_event_id, outcome from free where consumer is not null
    on conflict do nothing
    returning consumer, event_id
), moving as materialized (
    select * from free where consumer is null or (consumer, handled_event_id) in (select consumer, event_id from handled)
), moved as (
    update orders set
        status = moving.status,
        driver_id = moving.driver_id,
        reason = moving.reason,
        version = moving.version,
        moved_by = moving.moved_by,
        moved_trace = moving.trace_id,
        dispatch_epoch = 0,
        pending_since = case when moving.status = 'PENDING' then now() else pending_since end,
        dispatched_at = case moving.status when 'DISPATCHED' then now() when 'PENDING' then null else dispatched_at end,
        delivered_at = case when moving.status = 'DELIVERED' then now() end,
        cancelled_at = case when moving.status = 'CANCELLED' then now() end
    from moving where orders.id = moving.id and orders.version = moving.stored_version
    returning orders.id, pending_since, dispatched_at, delivered_at, cancelled_at
), announced as (
    insert into outbox (event_id, aggregate_id, seq, event_type, payload, traceparent)
    select event_id, id, seq, event_type, payload || jsonb_build_object('occurred_at', now()), traceparent
    from moving join moved using (id)
)
select asked.id,
       case when moved.id is not null then 'moved' when current.id is null then 'stale'
            when free.id is null then 'busy' else 'handled' end,
       moved.pending_since, moved.dispatched_at, moved.delivered_at, moved.cancelled_at, now()
from asked left join current using (id) left join free using (id) left join moved using (id);

-- name: list
select id, customer_id, price, tax, final_price, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, status, driver_id,
       reason, version, created_at, pending_since, dispatched_at, delivered_at, cancelled_at, now() as as_of
from orders
where (%(status)s::text is null or status = %(status)s)
  and (%(driver_id)s::text is null or driver_id = %(driver_id)s)
  and (%(anybody)s or customer_id = %(owner_customer_id)s::text or driver_id = %(owner_driver_id)s::text)
  and (%(created_after)s::timestamptz is null or created_at > %(created_after)s)
  and (%(before_at)s::timestamptz is null or (created_at, id) < (%(before_at)s, %(before_id)s))
order by created_at desc, id desc
limit %(limit)s;

-- name: open_of
select count(*)
from (
    select from orders
    where customer_id = %(customer_id)s and status in ('PENDING', 'MANUAL_DISPATCH', 'DISPATCHED')
    limit %(limit)s
) as open;

-- name: overdue
select id, customer_id, price, tax, final_price, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, status, driver_id,
       reason, version, created_at, pending_since, dispatched_at, delivered_at, cancelled_at, now() as as_of
from orders
where status = 'PENDING' and pending_since < now() - %(seconds)s::float8 * interval '1 second'
order by pending_since
limit %(limit)s;

-- name: republish_pending
-- In one statement, so that of two sweepers each order has one; the command has a version of its order, but is no move.
-- Nothing unpublished, or it would only queue up behind what has not even been said once; asked row by row, for as an
-- anti join it could compare each order with all that waits in the outbox.
with due as (
    select id, version, dispatch_epoch + 1 as epoch, gen_random_uuid() as event_id
    from orders
    where status = 'PENDING'
      and pending_since < now() - %(seconds)s::float8 * interval '1 second'
      and pending_since < now() - %(seconds)s::float8 * (2 ^ least(dispatch_epoch + 1, 30) - 1) * interval '1 second'
      and (select true from outbox where aggregate_id = orders.id and published_at is null limit 1) is null
    order by pending_since
    limit %(limit)s
    for update skip locked
), counted as (
    update orders set dispatch_epoch = due.epoch from due where orders.id = due.id
), announced as (
    insert into outbox (event_id, kind, aggregate_id, seq, event_type, payload, traceparent)
    select event_id, 'command', id, version, %(type)s::text,
           jsonb_build_object('type', %(type)s::text, 'version', %(event_version)s::integer, 'event_id', event_id,
                              'order_id', id, 'sequence', version, 'epoch', epoch, 'occurred_at', now()),
           (select traceparent from outbox where aggregate_id = due.id and kind = 'event' order by seq desc limit 1)
    from due
)
select id from due;

-- name: live
select driver_id, id, version from orders
where status = 'DISPATCHED' and driver_id > %(after)s
order by driver_id
limit %(limit)s;

-- name: oldest_pending
select coalesce(extract(epoch from now() - min(pending_since)), 0)::float8 from orders where status = 'PENDING';
