-- name: claim
-- Only the oldest unpublished event of each order, so that events of one order leave in order even with many relays;
-- SKIP LOCKED, so that relays share the work instead of waiting for each other. A failed row blocks its own order only.
select id, event_id, event_type, aggregate_id, seq, payload::text, traceparent
from outbox as head
where published_at is null
  and failed_at is null
  and next_attempt_at <= now()
  and not exists (
      select 1 from outbox as earlier
      where earlier.aggregate_id = head.aggregate_id and earlier.seq < head.seq and earlier.published_at is null
  )
order by id
limit %(limit)s
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
select count(*), coalesce(extract(epoch from now() - min(created_at)), 0)::float8
from outbox where published_at is null;

-- name: prune
-- The oldest rows alone are looked at, by the primary key, so that it costs little when there is nothing to forget.
delete from outbox where id in (
    select id from (
        select id, published_at from outbox where published_at is not null order by id limit %(limit)s
    ) as oldest
    where published_at < now() - %(days)s::float8 * interval '1 day'
);
