-- name: list
select id, event_id::text, event_type as type, aggregate_id as order_id, seq as sequence, attempts, error, created_at, failed_at,
       (select count(*) from outbox as later
        where later.aggregate_id = failed.aggregate_id and later.id > failed.id and later.published_at is null) as held_back
from outbox as failed
where failed_at is not null and published_at is null and (%(before)s::bigint is null or id < %(before)s)
order by id desc
limit %(limit)s;

-- name: count
select count(*) from outbox where failed_at is not null and published_at is null;

-- name: retry
-- All or none: counted rows are locked until they are changed, so the count holds at the commit.
with failed as (
    select id from outbox where failed_at is not null and published_at is null order by id for update
), counted as (
    select count(*) as failed from failed
), retried as (
    update outbox set failed_at = null, attempts = 0, next_attempt_at = now()
    from failed, counted where outbox.id = failed.id and counted.failed = %(expected_count)s
)
select failed from counted;
