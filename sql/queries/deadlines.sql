-- name: judge
-- Orders created since the last time that are old enough by now, by their first move: the history is asked, not the row,
-- for what an order is today says nothing about its first seconds. An order that was cancelled in time was not due.
-- A batch at most, or the backlog of a long silence would be a statement that never ends in time; with ties, for the next
-- batch begins behind the last time of this one.
with turn as (
    select until as since, now() - %(after)s::float8 * interval '1 second' as ripe
    from deadlines for update skip locked
), batch as (
    select id, created_at from orders
    where created_at > (select since from turn) and created_at <= (select ripe from turn)
    order by created_at
    fetch first (%(batch)s::integer) rows with ties
), read as (
    select count(*) >= %(batch)s::integer as more, max(created_at) as until from batch
), kept as (
    update deadlines set until = case when read.more then read.until else turn.ripe end
    from turn, read where turn.ripe > turn.since
), judged as (
    select first.became, first.at - batch.created_at <= %(bound)s::float8 * interval '1 second' as early
    from batch
    left join lateral (
        select became, at from order_log where order_log.order_id = batch.id and order_log.version = 2 limit 1
    ) as first on true
)
select count(*) filter (where not in_vain),
       count(*) filter (where not in_vain and (became is distinct from 'DISPATCHED' or not early)),
       (select more from read)
from (select *, coalesce(became = 'CANCELLED' and early, false) as in_vain from judged) as told;
