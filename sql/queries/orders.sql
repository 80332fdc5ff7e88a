-- name: add
-- One statement, so one round trip and one commit for the order and its event.
with added as (
    insert into orders (id, customer_id, price, tax, final_price, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng)
    values (%(id)s, %(customer_id)s, %(price)s, %(tax)s, %(final_price)s,
            %(pickup_lat)s, %(pickup_lng)s, %(dropoff_lat)s, %(dropoff_lng)s)
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
