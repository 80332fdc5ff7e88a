-- Each query returns the offenders of an invariant, none if it holds: the id, and what is wrong.

-- fragment: kind
-- Entries of releases before 0018_every_version have none.
coalesce(kind, change_kind(was, became))

-- fragment: dispatches
-- Entries that give an order to a driver; others of a dispatched order leave it there.
became = 'DISPATCHED' and (was is distinct from 'DISPATCHED' or was_driver_id is distinct from driver_id)

-- name: waiting
select id, format('is PENDING since %%s', pending_since) from orders where status = 'PENDING' order by pending_since;

-- name: overdue
select id, format('is PENDING since %%s', pending_since) from orders
where status = 'PENDING' and pending_since < now() - %(seconds)s::float8 * interval '1 second'
order by pending_since;

-- name: unexplained
select id, 'was escalated to manual dispatch without a reason' from orders where status = 'MANUAL_DISPATCH' and reason is null;

-- name: illegal_moves
-- The data of an order may change until it has ended; its driver changes by a transition only.
select order_id, format('became %%s from %%s (version %%s)', became, coalesce(was, 'nothing'), version) from order_log
where not exists (
    select from unnest(%(was)s::text[], %(became)s::text[]) as legal (was, became)
    where legal.was is not distinct from order_log.was and legal.became = order_log.became
) and not (was = became and was = any(%(open)s::text[]) and was_driver_id is not distinct from driver_id)
order by id;

-- name: illegal_kinds
select order_id, format('version %%s is called %%s, and became %%s from %%s', version, kind, became, coalesce(was, 'nothing'))
from order_log
where kind <> change_kind(was, became)
order by id;

-- name: broken_histories
-- The ids of one order are in commit order, because each transition holds the row lock until its commit.
select order_id, format('version %%s (%%s from %%s) comes after version %%s (%%s)',
                        version, became, coalesce(was, 'nothing'), coalesce(version_before, 0), coalesce(before, 'nothing'))
from (
    select id, order_id, was, became, version,
           lag(became) over one as before, lag(version) over one as version_before
    from order_log window one as (partition by order_id order by id)
) as history
where version <> coalesce(version_before, 0) + 1 or was is distinct from before
order by id;

-- name: other_ends
select coalesce(orders.id, last.order_id),
       format('is %%s of %%s at version %%s, its history ends with %%s of %%s at version %%s',
              coalesce(orders.status, 'nowhere'), coalesce(orders.driver_id, 'no driver'), orders.version,
              coalesce(last.became, 'nothing'), coalesce(last.driver_id, 'no driver'), last.version)
from orders full join (
    select distinct on (order_id) order_id, became, driver_id, version from order_log order by order_id, id desc
) as last on last.order_id = orders.id
where (orders.status, orders.driver_id, orders.version) is distinct from (last.became, last.driver_id, last.version);

-- name: dispatched_again
-- Between two dispatches an order was taken from its driver.
select order_id, format('was dispatched %%s times (to %%s) without having waited in between',
                        count(*), string_agg(coalesce(driver_id, 'no driver'), ', ' order by id))
from (
    select id, order_id, was, became, driver_id, was_driver_id,
           count(*) filter (where was = 'DISPATCHED' and became <> 'DISPATCHED')
               over (partition by order_id order by id) as taken
    from order_log
) as history
where {dispatches}
group by order_id, taken having count(*) > 1;

-- name: excluded_dispatches
-- Compared with the exclusions that are stored: transitions of releases without them, and those of which they are
-- pruned, are not judged.
select order_id, format('was dispatched automatically to %%s (version %%s), excluded since version %%s until %%s',
                        driver_id, dispatched.version, order_exclusions.version, until)
from order_exclusions join order_log as dispatched using (order_id, driver_id)
where {dispatches} and actor = 'worker' and dispatched.version > order_exclusions.version and at < until
order by id;

-- name: drivers_changed
-- The driver of a dispatched order stays the same until after the delivery.
select order_id, format('has driver %%s as %%s and had %%s as DISPATCHED',
                        coalesce(driver_id, 'no driver'), became, coalesce(driver_before, 'no driver'))
from (
    select id, order_id, became, driver_id, lag(became) over one as before, lag(driver_id) over one as driver_before
    from order_log window one as (partition by order_id order by id)
) as history
where before = 'DISPATCHED' and became in ('DISPATCHED', 'DELIVERED', 'CANCELLED') and driver_id is distinct from driver_before
order by id;

-- name: shared_drivers
-- Of two orders of one driver the second must begin behind the end of the first, by the ids of the history. Not by
-- `at`, which is when a transaction began: the second may have begun first and waited. The ids are in order, because the
-- unique index blocks the second transaction until the first has committed, and it writes its history after that.
select driver_id, format('was given order %%s while it held another one', order_id)
from (
    select id, order_id, driver_id,
           max(until) over (partition by driver_id order by id rows between unbounded preceding and 1 preceding) as held_until
    from (
        select id, order_id, driver_id, became,
               coalesce(lead(id) over (partition by order_id order by id), 9223372036854775807) as until
        from order_log
    ) as moves
    where became = 'DISPATCHED'
) as holdings
where held_until > id
order by id;

-- name: unregistered_drivers
-- Before that migration an order could be dispatched to a driver without a record.
select order_id, format('was dispatched to %%s, which is not a registered driver', driver_id) from order_log
where became = 'DISPATCHED'
  and at >= (select applied_at from schema_migrations where name = '0017_registered_drivers')
  and not exists (select from drivers where id = order_log.driver_id)
order by id;

-- name: moves_without_event
-- Events may be pruned when they are older than the retention; an event is never older than its move.
select order_id, format('has no event for version %%s (%%s)', version, became) from order_log
where at >= now() - %(days)s::float8 * interval '1 day'
  and not exists (
      select from outbox where aggregate_id = order_log.order_id and seq = order_log.version and kind = 'event'
  )
order by id;

-- name: events_without_move
select aggregate_id, format('event %%s (%%s) says version %%s, and no such move was made', event_id, event_type, seq)
from outbox
where outbox.kind = 'event' and not exists (
    select from (select order_id, version, {kind} as kind from order_log) as entry
    where order_id = outbox.aggregate_id and version = outbox.seq and event_type = 'orders.' || entry.kind
)
order by id;

-- name: repeated_events
select aggregate_id, format('has %%s events of version %%s', count(*), seq) from outbox
where kind = 'event'
group by aggregate_id, seq having count(*) > 1;

-- name: failed_events
select event_id::text, format('%%s of %%s failed after %%s attempts: %%s',
                              event_type, aggregate_id, attempts, coalesce(error, 'no reason given'))
from outbox where published_at is null and failed_at is not null
order by id;

-- name: unpublished_events
select event_id::text, format('%%s of %%s waits since %%s to be published', event_type, aggregate_id, created_at)
from outbox
where published_at is null and failed_at is null
  and created_at <= now() - %(seconds)s::float8 * interval '1 second'
order by id;

-- name: published
select event_id::text, format('%%s of %%s (version %%s)', event_type, aggregate_id, seq) from outbox
where published_at is not null
order by id;

-- name: known_events
select event_id::text from outbox where event_id = any(%(ids)s::uuid[]);

-- name: old_orders
-- Whose events may have been pruned.
select id, version from orders
where id = any(%(ids)s::text[]) and created_at < now() - %(days)s::float8 * interval '1 day';

-- fragment: waits_since
-- The version with which an order began to wait for a driver; its data may have changed since.
(select max(version) from order_log where order_id = orders.id and became = 'PENDING' and was is distinct from 'PENDING')

-- name: silently_acked
select event_id::text, format('%%s of %%s (version %%s) was published, and is neither handled nor parked',
                              event_type, aggregate_id, seq)
from outbox
where published_at is not null
  and event_type = any(%(types)s::text[])
  and not exists (select from inbox where consumer = %(consumer)s and event_id = outbox.event_id)
  and not exists (select from parked where event_id = outbox.event_id::text)
  and (not %(lost_data)s::boolean or exists (
      select from orders where id = outbox.aggregate_id and status = 'PENDING' and outbox.seq >= {waits_since}
  ))
order by id;

-- name: parked_elsewhere
select id::text, format('is parked from %%s, which is no queue of ours: %%s', queue, reason) from parked
where replayed_at is null and queue <> all(%(queues)s::text[])
order by id;

-- name: parked_alone
-- An order that waits only for a parked message needs an operator.
select aggregate_id, format('is PENDING, and its %%s is parked: %%s', event_type, parked.reason)
from parked
join outbox on outbox.event_id::text = parked.event_id and event_type = any(%(types)s::text[])
join orders on orders.id = aggregate_id and orders.status = 'PENDING' and seq >= {waits_since}
where replayed_at is null
order by parked.id;

-- name: parked
select queue, count(*), min(reason) from parked where replayed_at is null group by queue order by queue;

-- name: holdings
select driver_id, id from orders where status = 'DISPATCHED';

-- name: wrong_money
-- NaN is a numeric, more than 0 and equal to itself: it is named here though a CHECK of its own keeps it out.
select id, format('price %%s, tax %%s, final price %%s', price, tax, final_price) from orders
where not (price > 0 and tax >= 0 and final_price = price + tax and final_price <= 99999999.99);

-- name: other_money
select aggregate_id, format('costs %%s + %%s, its orders.created says %%s + %%s', price, tax, payload->>'price', payload->>'tax')
from outbox join orders on orders.id = aggregate_id
where event_type = 'orders.created'
  and ((payload->>'price')::numeric, (payload->>'tax')::numeric, (payload->>'final_price')::numeric)
      is distinct from (price, tax, final_price);

-- name: forgotten_transactions
select pid::text, format('%%s (%%s) since %%s: %%s', state, application_name, state_change, left(query, 80))
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and state like 'idle in transaction%%'
  and state_change < clock_timestamp() - %(seconds)s::float8 * interval '1 second';

-- name: stuck_waits
select pid::text, format('waits for a lock since %%s, held by %%s: %%s', query_start, pg_blocking_pids(pid), left(query, 80))
from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock'
  and query_start < clock_timestamp() - %(seconds)s::float8 * interval '1 second';

-- name: accepted
-- What became of these orders.
select id, price, tax, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, status from orders where id = any(%(ids)s::text[]);

-- name: dispatched_after_cancel
select order_id, became from order_log as late
where order_id = any(%(ids)s::text[]) and became = 'DISPATCHED' and exists (
    select from order_log as cancel where cancel.order_id = late.order_id and cancel.became = 'CANCELLED' and cancel.id < late.id
);

-- name: delivered
select distinct order_id from order_log where order_id = any(%(ids)s::text[]) and became = 'DELIVERED';

-- name: versions_missing
-- Compared as text: a ledger may hold anything.
select order_id, version from unnest(%(ids)s::text[], %(versions)s::text[]) as reported (order_id, version)
where not exists (
    select from order_log where order_log.order_id = reported.order_id and order_log.version::text = reported.version
);
