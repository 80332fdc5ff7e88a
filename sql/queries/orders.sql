-- fragment: order_details
-- The columns of an order by their names in gofleet/domain/order.py; places are two columns each. A fragment and not a
-- view: a view needs a migration, and the release before it refuses to start on a schema with an unknown migration.
select id, customer_id, client_order_id, price, tax, final_price, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, status,
       driver_id, reason, version, created_at, pending_since, dispatched_at, delivered_at, cancelled_at, reference, items,
       metadata, changed_at, created_as, now() as as_of
from orders

-- name: add
-- Any number of orders in one statement: one round trip and one commit for them and their events. `rows` is a JSON
-- array, which costs a client a third of what one array for each column does. It is sorted by id, or two of these
-- statements could deadlock on each other's ids; no id stands in it twice.
-- The id of an order that its customer named is computed (gofleet/domain/order_ids.py); the customer's order whose id is
-- that name itself is the same order, named before ids were computed, or by a service. It is looked up row by row.
with requested as materialized (
    select * from jsonb_to_recordset(%(rows)s::jsonb) as row (
        id text, customer_id text, client_order_id text, price numeric, tax numeric, final_price numeric,
        pickup_lat float8, pickup_lng float8, dropoff_lat float8, dropoff_lng float8, reference text, items jsonb,
        metadata jsonb, moved_by text, trace_id text,
        event_id uuid, seq integer, event_type text, payload jsonb, traceparent text)
), added as (
    insert into orders (id, customer_id, client_order_id, price, tax, final_price, pickup_lat, pickup_lng, dropoff_lat,
                        dropoff_lng, reference, items, metadata, moved_by, moved_trace)
    select id, customer_id, client_order_id, price, tax, final_price, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng,
           reference, items, metadata, moved_by, trace_id
    from requested
    where (select true from orders as former
           where former.id = requested.client_order_id and former.customer_id = requested.customer_id limit 1) is null
    on conflict (id) do nothing
    returning id, created_at, pending_since
), events as (
    insert into outbox (event_id, aggregate_id, seq, event_type, payload, traceparent)
    select event_id, id, seq, event_type, payload || jsonb_build_object('occurred_at', created_at), traceparent
    from requested join added using (id)
)
select id, created_at, pending_since from added;

-- name: get
{order_details}
where id = any(%(ids)s);

-- name: excluded_drivers
-- A statement of its own, because few orders have any: within `get` it cost every order a quarter more.
select driver_id from order_exclusions where order_id = %(id)s and until > now()
group by driver_id order by max(until) desc
limit %(limit)s;

-- fragment: rows_to_save
-- No order and no driver stands in it twice. The limit tells the planner that the rows are few, whatever the statistics
-- of `orders` say.
requested as materialized (
    select * from jsonb_to_recordset(%(rows)s::jsonb) as row (
        id text, stored_version integer, status text, driver_id text, reason text, version integer,
        moved_by text, trace_id text, consumer text, handled_event_id uuid, outcome text, exclusion_seconds float8,
        event_id uuid, seq integer, event_type text, payload jsonb, traceparent text)
    limit %(count)s
)

-- fragment: current_rows
-- Compare and set on the version: of two writers that read the same version one finds it changed. The row lock waits
-- for a writer that holds the row.
current as materialized (
    select requested.* from requested cross join lateral (
        select from orders where orders.id = requested.id and orders.version = requested.stored_version for no key update
    ) as locked
)

-- fragment: unlocked_current_rows
-- As current_rows, but a row that another transaction has locked is passed over (SKIP LOCKED) instead of holding up the
-- whole batch. It is then saved alone, by the statement that waits.
current as materialized (
    select requested.* from requested cross join lateral (
        select from orders where orders.id = requested.id and orders.version = requested.stored_version
        for no key update skip locked
    ) as locked
)

-- fragment: free_rows
-- Orders whose driver is not registered are passed over, and in a batch those whose driver had another live order when
-- the statement began. An order that is saved alone passes: there the unique index one_live_order_per_driver decides.
free as materialized (
    select * from current where status <> 'DISPATCHED' or (
        (select true from drivers where drivers.id = current.driver_id limit 1) and (%(count)s = 1 or (
            select true from orders as live where live.driver_id = current.driver_id and live.status = 'DISPATCHED' limit 1
        ) is null)
    )
)

-- fragment: new_receipts
-- A receipt that exists already means that its event was handled before: that order is not changed.
handled as (
    insert into inbox (consumer, event_id, outcome)
    select consumer, handled_event_id, outcome from free where consumer is not null
    on conflict do nothing
    returning consumer, event_id
)

-- fragment: no_receipts
-- PostgreSQL checks the privileges of everything that stands in a statement, and only the worker may write to the inbox.
handled as (
    select consumer, handled_event_id as event_id from free where false
)

-- fragment: saved_rows
-- An order is updated only when its row is locked at its version and its receipt, if it has one, is new. Which rows those
-- are is decided before anything is written. One row of result for each requested order.
accepted as materialized (
    select * from free where consumer is null or (consumer, handled_event_id) in (select consumer, event_id from handled)
), updated as (
    update orders set
        status = accepted.status,
        driver_id = accepted.driver_id,
        reason = accepted.reason,
        version = accepted.version,
        moved_by = accepted.moved_by,
        moved_trace = accepted.trace_id,
        excluded_until = now() + accepted.exclusion_seconds * interval '1 second',
        dispatch_epoch = 0,
        pending_since = case when accepted.status = 'PENDING' then now() else pending_since end,
        dispatched_at = case accepted.status when 'DISPATCHED' then now() when 'PENDING' then null else dispatched_at end,
        delivered_at = case when accepted.status = 'DELIVERED' then now() end,
        cancelled_at = case when accepted.status = 'CANCELLED' then now() end
    from accepted where orders.id = accepted.id and orders.version = accepted.stored_version
    returning orders.id, created_at, pending_since, dispatched_at, delivered_at, cancelled_at
), events as (
    insert into outbox (event_id, aggregate_id, seq, event_type, payload, traceparent)
    select event_id, id, seq, event_type, payload || jsonb_build_object('occurred_at', now()), traceparent
    from accepted join updated using (id)
)
select requested.id,
       case when updated.id is not null then 'saved' when current.id is null then 'stale'
            when free.id is null then 'busy' else 'handled' end as result,
       updated.created_at, updated.pending_since, updated.dispatched_at, updated.delivered_at, updated.cancelled_at,
       now() as as_of
from requested left join current using (id) left join free using (id) left join updated using (id)

-- name: save
with {rows_to_save}, {current_rows}, {free_rows}, {new_receipts}, {saved_rows};

-- name: save_many
with {rows_to_save}, {unlocked_current_rows}, {free_rows}, {new_receipts}, {saved_rows};

-- name: save_without_receipt
with {rows_to_save}, {current_rows}, {free_rows}, {no_receipts}, {saved_rows};

-- name: save_many_without_receipt
with {rows_to_save}, {unlocked_current_rows}, {free_rows}, {no_receipts}, {saved_rows};

-- name: change
-- The data of one order, and nothing that a dispatch depends on; compared with its version, as by `save`.
with requested as materialized (
    select * from jsonb_to_record(%(row)s::jsonb) as row (
        id text, stored_version integer, version integer, reference text, items jsonb, metadata jsonb, created_as jsonb,
        moved_by text, trace_id text, event_id uuid, seq integer, event_type text, payload jsonb, traceparent text)
), changed as (
    update orders set
        reference = requested.reference, items = requested.items, metadata = requested.metadata,
        created_as = requested.created_as, changed_at = now(),
        version = requested.version, moved_by = requested.moved_by, moved_trace = requested.trace_id
    from requested where orders.id = requested.id and orders.version = requested.stored_version
    returning orders.id, changed_at
), events as (
    insert into outbox (event_id, aggregate_id, seq, event_type, payload, traceparent)
    select event_id, id, seq, event_type, payload || jsonb_build_object('occurred_at', now()), traceparent
    from requested join changed using (id)
)
select changed_at from changed;

-- name: list
{order_details}
where (%(status)s::text is null or status = %(status)s)
  and (%(driver_id)s::text is null or driver_id = %(driver_id)s)
  and (%(reference)s::text is null or reference = %(reference)s)
  and (%(any_owner)s or customer_id = %(owner_customer_id)s::text or driver_id = %(owner_driver_id)s::text)
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
{order_details}
where status = 'PENDING' and pending_since < now() - %(seconds)s::float8 * interval '1 second'
order by pending_since
limit %(limit)s;

-- name: republish_pending
-- One statement, so that two sweepers give each order one command; the command carries the order's version, but is no
-- transition. Orders with an unpublished event are left out: the command would only queue behind it. That is looked up
-- row by row: as an anti join the planner could compare each order with every event that waits in the outbox.
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
), commands as (
    insert into outbox (event_id, kind, aggregate_id, seq, event_type, payload, traceparent)
    select event_id, 'command', id, version, %(type)s::text,
           jsonb_build_object('type', %(type)s::text, 'version', %(event_version)s::integer, 'event_id', event_id,
                              'order_id', id, 'sequence', version, 'epoch', epoch, 'occurred_at', now()),
           (select traceparent from outbox where aggregate_id = due.id and kind = 'event' order by seq desc limit 1)
    from due
)
select id from due;

-- name: live
select driver_id, id as order_id, version as sequence from orders
where status = 'DISPATCHED' and driver_id > %(after)s
order by driver_id
limit %(limit)s;

-- name: oldest_pending
select coalesce(extract(epoch from now() - min(pending_since)), 0)::float8 from orders where status = 'PENDING';

-- name: prune_exclusions
delete from order_exclusions where ctid = any(array(
    select ctid from order_exclusions where until < now() - %(days)s::float8 * interval '1 day' limit %(limit)s
));
