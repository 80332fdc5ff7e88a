-- name: add
-- One statement, so one round trip and one commit for the order and its event.
with added as (
    insert into orders (id, customer_id, price, tax, final_price, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng,
                        moved_by, moved_trace)
    values (%(id)s, %(customer_id)s, %(price)s, %(tax)s, %(final_price)s,
            %(pickup_lat)s, %(pickup_lng)s, %(dropoff_lat)s, %(dropoff_lng)s,
            %(moved_by)s, %(trace_id)s)
    on conflict (id) do nothing
    returning id, created_at, pending_since
), announced as (
    insert into outbox (event_id, aggregate_id, seq, event_type, payload, traceparent)
    select %(event_id)s::uuid, id, %(seq)s::integer, %(event_type)s::text,
           %(payload)s::jsonb || jsonb_build_object('occurred_at', created_at), %(traceparent)s::text
    from added
)
select created_at, pending_since from added;

-- name: get
select id, customer_id, price, tax, final_price, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, status, driver_id,
       reason, version, created_at, pending_since, dispatched_at, delivered_at, cancelled_at, now() as as_of
from orders where id = %(id)s;

-- name: save
-- Compare and set on the version: of two writers who read the same order one finds 0 rows. The inbox row is inserted
-- without ON CONFLICT, so an event handled before fails the whole statement and changes nothing.
with moved as (
    update orders set
        status = %(status)s::text,
        driver_id = %(driver_id)s,
        reason = %(reason)s,
        version = %(version)s,
        moved_by = %(moved_by)s,
        moved_trace = %(trace_id)s,
        dispatch_epoch = 0,
        pending_since = case when %(status)s::text = 'PENDING' then now() else pending_since end,
        dispatched_at = case %(status)s::text when 'DISPATCHED' then now() when 'PENDING' then null else dispatched_at end,
        delivered_at = case when %(status)s::text = 'DELIVERED' then now() end,
        cancelled_at = case when %(status)s::text = 'CANCELLED' then now() end
    where id = %(id)s and version = %(stored_version)s
    returning id, pending_since, dispatched_at, delivered_at, cancelled_at
), handled as (
    insert into inbox (consumer, event_id, outcome)
    select %(consumer)s::text, %(handled_event_id)s::uuid, %(outcome)s::text from moved where %(consumer)s::text is not null
), announced as (
    insert into outbox (event_id, aggregate_id, seq, event_type, payload, traceparent)
    select %(event_id)s::uuid, id, %(seq)s::integer, %(event_type)s::text,
           %(payload)s::jsonb || jsonb_build_object('occurred_at', now()), %(traceparent)s::text
    from moved
)
select pending_since, dispatched_at, delivered_at, cancelled_at, now() as as_of from moved;

-- name: list
select id, customer_id, price, tax, final_price, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, status, driver_id,
       reason, version, created_at, pending_since, dispatched_at, delivered_at, cancelled_at, now() as as_of
from orders
where (%(status)s::text is null or status = %(status)s)
  and (%(driver_id)s::text is null or driver_id = %(driver_id)s)
  and (%(created_after)s::timestamptz is null or created_at > %(created_after)s)
  and (%(before_at)s::timestamptz is null or (created_at, id) < (%(before_at)s, %(before_id)s))
order by created_at desc, id desc
limit %(limit)s;

-- name: overdue
select id, customer_id, price, tax, final_price, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, status, driver_id,
       reason, version, created_at, pending_since, dispatched_at, delivered_at, cancelled_at, now() as as_of
from orders
where status = 'PENDING' and pending_since < now() - %(seconds)s::float8 * interval '1 second'
order by pending_since
limit %(limit)s;

-- name: announce_again
-- In one statement, so that of two sweepers each order has one; the command has a version of its order, but is no move.
-- Nothing unpublished, or it would only queue up behind what has not even been said once.
with due as (
    select id, version, dispatch_epoch + 1 as epoch, gen_random_uuid() as event_id
    from orders
    where status = 'PENDING'
      and pending_since < now() - %(seconds)s::float8 * interval '1 second'
      and pending_since < now() - %(seconds)s::float8 * (2 ^ least(dispatch_epoch + 1, 30) - 1) * interval '1 second'
      and not exists (select from outbox where aggregate_id = orders.id and published_at is null)
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
