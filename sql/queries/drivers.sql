-- fragment: driver
-- A driver by the names of gofleet/domain/driver.py, with its live order: of each driver the index has one at most.
id, name, on_duty, version,
          (select o.id from orders o where o.driver_id = drivers.id and o.status = 'DISPATCHED') as order_id

-- name: put
insert into drivers (id, name, on_duty) values (%(id)s, %(name)s, %(on_duty)s)
on conflict (id) do update set
    name = excluded.name,
    on_duty = excluded.on_duty,
    version = drivers.version + 1,
    updated_at = now()
where (drivers.name, drivers.on_duty) is distinct from (excluded.name, excluded.on_duty)
returning {driver};

-- name: change
-- Compare and set, as for orders; without `versions` any version matches.
update drivers set name = %(name)s, on_duty = %(on_duty)s, version = version + 1, updated_at = now()
where id = %(id)s
  and (%(versions)s::bigint[] is null or version = any(%(versions)s::bigint[]))
  and (name, on_duty) is distinct from (%(name)s, %(on_duty)s)
returning {driver};

-- name: set_duty
update drivers set on_duty = %(on_duty)s, version = version + 1, updated_at = now()
where id = %(id)s and on_duty <> %(on_duty)s
returning {driver};

-- name: get
-- The live order comes from its own index, which has one entry for each driver at most.
select d.id, d.name, d.on_duty, d.version, o.id as order_id
from drivers d left join orders o on o.driver_id = d.id and o.status = 'DISPATCHED'
where d.id = %(id)s;

-- name: list
-- Not a join: the planner would expect nearly every driver to have an order, and read both tables completely.
select d.id, d.name, d.on_duty, d.version, live.order_id
from drivers d
cross join lateral (
    select (select o.id from orders o where o.driver_id = d.id and o.status = 'DISPATCHED') as order_id
) live
where d.id > %(after)s
  and (%(on_duty)s::boolean is null or d.on_duty = %(on_duty)s)
  and (%(free)s::boolean is null or (d.on_duty and live.order_id is null) = %(free)s)
order by d.id
limit %(limit)s;

-- name: among
-- A driver that reports its position before it is registered may already hold an order: version 0 means no record.
-- Lateral, so that each id is one lookup in each index, whatever the statistics of the tables suggest.
select requested.id, coalesce(d.name, requested.id) as name, coalesce(d.on_duty, true) as on_duty,
       coalesce(d.version, 0) as version, o.id as order_id
from unnest(%(ids)s::text[]) as requested (id)
left join lateral (select name, on_duty, version from drivers where id = requested.id limit 1) d on true
left join lateral (
    select id from orders where driver_id = requested.id and status = 'DISPATCHED' limit 1
) o on true;
