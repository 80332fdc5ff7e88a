-- name: count
with pruned as (
    delete from request_counts where at < now() - interval '1 hour'
)
insert into request_counts (process, number, answered, failed, ingests, fast_ingests)
values (%(process)s, %(number)s, %(answered)s, %(failed)s, %(ingests)s, %(fast_ingests)s)
on conflict do nothing;

-- name: requests
select coalesce(sum(answered), 0)::bigint as answered, coalesce(sum(failed), 0)::bigint as failed,
       coalesce(sum(ingests), 0)::bigint as ingests, coalesce(sum(fast_ingests), 0)::bigint as fast_ingests
from request_counts where at > now() - %(window)s::float8 * interval '1 second';

-- name: orders
-- The first transition of an order is the first entry in its history that is not PENDING. For nearly all orders the row
-- itself still shows it; the history is read for the others only.
with recent as (
    select id, created_at,
           case when version = 2 and status <> 'PENDING' then status when version = 3 and status = 'DELIVERED' then 'DISPATCHED' end as became,
           dispatched_at, version
    from orders where created_at > now() - %(window)s::float8 * interval '1 second'
), first_transitions as (
    select created_at, coalesce(recent.became, first.became) as became, coalesce(first.at, dispatched_at) as at
    from recent
    left join lateral (
        select became, at from order_log
        where order_log.order_id = recent.id and order_log.became <> 'PENDING' and recent.became is null and recent.version > 1
        order by order_log.version limit 1
    ) as first on true
)
select count(*) filter (where old and became = 'DISPATCHED' and at - created_at <= bound) as in_time,
       count(*) filter (where old and became is distinct from 'CANCELLED') as due,
       count(*) filter (where became = 'DISPATCHED') as dispatched,
       count(*) filter (where became in ('DISPATCHED', 'MANUAL_DISPATCH')) as settled
from (select first_transitions.*, created_at <= now() - bound as old, bound
      from first_transitions, (select %(bound)s::float8 * interval '1 second' as bound) as bounds) as evaluated;
