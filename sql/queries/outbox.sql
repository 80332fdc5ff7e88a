-- name: claim
-- Only the oldest unpublished event of each order, so that the events of one order are published in order, also by
-- several relays; SKIP LOCKED, so that relays share the work instead of waiting for each other. A failed row blocks its
-- own order only. The oldest is looked up row by row, whatever the statistics: as an anti join the planner once compared
-- each row with the whole backlog. Rows up to `after` are known to be published and are not passed again.
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
-- Answers true if a later event of one of these orders waits: this event held it back from every claim until now, so its
-- notification may be used up. It is looked up row by row.
-- The commit waits for no disk and no standby: what a crash of the server takes back is published again, as after a crash
-- of the relay.
with published as (
    update outbox set published_at = now(), error = null where id = any(%(ids)s) returning aggregate_id, seq
)
select coalesce(bool_or((
    select true from outbox as later
    where later.aggregate_id = published.aggregate_id and later.published_at is null and later.seq > published.seq
    limit 1
)), false), set_config('synchronous_commit', 'off', true)
from published;

-- name: refused
-- The backoff doubles from one second to a minute; after the last attempt the event has failed, and an operator decides.
update outbox set
    attempts = attempts + 1,
    error = %(error)s,
    next_attempt_at = now() + least(power(2, attempts), 60) * interval '1 second',
    failed_at = case when attempts + 1 >= %(max_attempts)s then now() end
where id = %(id)s;

-- name: lag
-- Read every few seconds, also after a day without the broker: so at most the oldest `most` rows are counted.
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
-- Only the oldest rows are read, by the primary key, so that it costs little when there is nothing to delete.
delete from outbox where id in (
    select id from (
        select id, published_at from outbox where published_at is not null order by id limit %(limit)s
    ) as oldest
    where published_at < now() - %(days)s::float8 * interval '1 day'
);
