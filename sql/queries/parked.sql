-- name: add
insert into parked (queue, event_id, body, headers, reason, attempts, cause, fingerprint)
values (%(queue)s, %(event_id)s, %(body)s, %(headers)s::jsonb, %(reason)s, %(attempts)s, %(cause)s, %(fingerprint)s);

-- name: count
select count(*) from parked where replayed_at is null;

-- name: list
select id, queue, cause, left(reason, 500) as reason, fingerprint, left(event_id, 64) as event_id,
       left(headers->>'x-aggregate-id', 64) as order_id, attempts,
       octet_length(body) as body_bytes, parked_at, replay_requested_at, replayed_at, replay_count, error
from parked
where (%(queue)s::text is null or queue = %(queue)s)
  and (%(fingerprint)s::text is null or fingerprint = %(fingerprint)s)
  and (%(cause)s::text is null or cause = %(cause)s)
  and case coalesce(%(stage)s::text, 'parked')
          when 'parked' then replayed_at is null
          when 'waiting' then replayed_at is null and replay_requested_at is null
          when 'requested' then replayed_at is null and replay_requested_at is not null
          else replayed_at is not null
      end
  and (%(before)s::bigint is null or id < %(before)s)
order by id desc
limit %(limit)s;

-- name: groups
-- `waiting` is the count to expect when the whole group is replayed.
select fingerprint, queue, cause, left((array_agg(reason order by id desc))[1], 500) as reason, count(*) as count,
       count(*) filter (where replayed_at is null and replay_requested_at is null) as waiting,
       min(parked_at) as first_at, max(parked_at) as last_at
from parked
where (%(queue)s::text is null or queue = %(queue)s)
  and (%(fingerprint)s::text is null or fingerprint = %(fingerprint)s)
  and (%(cause)s::text is null or cause = %(cause)s)
  and case coalesce(%(stage)s::text, 'parked')
          when 'parked' then replayed_at is null
          when 'waiting' then replayed_at is null and replay_requested_at is null
          when 'requested' then replayed_at is null and replay_requested_at is not null
          else replayed_at is not null
      end
group by fingerprint, queue, cause
order by count(*) desc, fingerprint, queue, cause
limit %(limit)s;

-- name: open
select id, queue, cause, left(reason, 500) as reason, fingerprint, left(event_id, 64) as event_id,
       left(headers->>'x-aggregate-id', 64) as order_id, attempts,
       octet_length(body) as body_bytes, parked_at, replay_requested_at, replayed_at, replay_count, error,
       headers, substring(body for %(most_bytes)s) as body
from parked where id = %(id)s;

-- name: request
update parked set replay_requested_at = now(), error = null
where id = %(id)s and replayed_at is null and replay_requested_at is null and queue = any(%(queues)s);

-- name: request_all
-- All or none: counted rows are locked until they are marked, so the count holds at the commit.
with matching as (
    select id, queue from parked
    where replayed_at is null and replay_requested_at is null
      and (%(queue)s::text is null or queue = %(queue)s)
      and (%(fingerprint)s::text is null or fingerprint = %(fingerprint)s)
      and (%(cause)s::text is null or cause = %(cause)s)
    order by id
    for update
), counted as (
    select count(*) as waiting, min(queue) filter (where queue <> all(%(queues)s)) as unknown_queue from matching
), requested as (
    update parked set replay_requested_at = now(), error = null
    from matching, counted
    where parked.id = matching.id and counted.waiting = %(expected_count)s and counted.unknown_queue is null
)
select waiting, unknown_queue from counted;

-- name: claim
select id, queue, body, headers from parked
where replay_requested_at is not null and replayed_at is null
order by replay_requested_at, id
limit %(limit)s
for update skip locked;

-- name: replayed
update parked set replayed_at = now(), replay_count = replay_count + 1, error = null where id = any(%(ids)s);

-- name: refused
update parked set replay_requested_at = null, error = %(error)s where id = %(id)s;

-- name: prune
delete from parked where id in (
    select id from parked where replayed_at < now() - %(days)s::float8 * interval '1 day' limit %(limit)s
);
