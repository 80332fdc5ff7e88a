-- name: claim
-- Only the oldest unpublished event of each order, so that events of one order leave in order even with many relays;
-- SKIP LOCKED, so that relays share the work instead of waiting for each other. A failed row blocks its own order only.
-- The oldest is asked for row by row, which no statistics can make the planner do otherwise: as an anti join it once
-- compared each row with all that waited. What is known to be published is not passed again: `after`.
select id, event_id, event_type, aggregate_id, seq, payload::text, traceparent
from outbox as head
where published_at is null
  and failed_at is null
  and next_attempt_at <= now()
  and id > %(after)s::bigint
  and seq = (
      select seq from outbox as waiting
      where waiting.aggregate_id = head.aggregate_id and waiting.published_at is null
      order by seq
      limit 1
  )
order by id
limit %(limit)s::bigint
for update of head skip locked;

-- name: published
update outbox set published_at = now(), error = null where id = any(%(ids)s);

-- name: refused
-- Backoff doubles from one second to a minute; after the last attempt people must look.
update outbox set
    attempts = attempts + 1,
    error = %(error)s,
    next_attempt_at = now() + least(power(2, attempts), 60) * interval '1 second',
    failed_at = case when attempts + 1 >= %(max_attempts)s then now() end
where id = %(id)s;

-- name: lag
-- Asked every few seconds, also when the broker has been away for a day: so of what waits no more than the oldest `most`
-- are looked at.
with waiting as (
    select count(*) as events, min(created_at) as since from (
        select created_at from outbox where published_at is null and failed_at is null
        order by id limit %(most)s::bigint
    ) as oldest
), failed as (
    select count(*) as events, min(created_at) as since from outbox where published_at is null and failed_at is not null
)
select waiting.events + failed.events, coalesce(extract(epoch from now() - least(waiting.since, failed.since)), 0)::float8
from waiting, failed;

-- name: prune
-- The oldest rows alone are looked at, by the primary key, so that it costs little when there is nothing to forget.
delete from outbox where id in (
    select id from (
        select id, published_at from outbox where published_at is not null order by id limit %(limit)s
    ) as oldest
    where published_at < now() - %(days)s::float8 * interval '1 day'
);
