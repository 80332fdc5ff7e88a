-- name: evaluate
-- Orders created since the last evaluation whose deadline is over, by their first transition. That is read from the
-- history and not from the row: the present status of an order says nothing about its first seconds. An order cancelled
-- in time was not due. At most one batch, or the backlog after a long outage would exceed the statement timeout; with
-- ties, as the next batch begins after the last time of this one.
with turn as (
    select until as since, now() - %(after)s::float8 * interval '1 second' as ripe
    from deadlines for update skip locked
), batch as (
    select id, created_at from orders
    where created_at > (select since from turn) and created_at <= (select ripe from turn)
    order by created_at
    fetch first (%(batch)s::integer) rows with ties
), progress as (
    select count(*) >= %(batch)s::integer as more, max(created_at) as until from batch
), saved as (
    update deadlines set until = case when progress.more then progress.until else turn.ripe end
    from turn, progress where turn.ripe > turn.since
), first_transitions as (
    select first.became, first.at - batch.created_at <= %(bound)s::float8 * interval '1 second' as in_time
    from batch
    left join lateral (
        select became, at from order_log where order_log.order_id = batch.id and became <> 'PENDING'
        order by version limit 1
    ) as first on true
)
select count(*) filter (where not cancelled_in_time) as due,
       count(*) filter (where not cancelled_in_time and (became is distinct from 'DISPATCHED' or not in_time)) as missed,
       (select more from progress) as more
from (
    select *, coalesce(became = 'CANCELLED' and in_time, false) as cancelled_in_time from first_transitions
) as evaluated;
