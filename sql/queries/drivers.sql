-- name: put
insert into drivers (id, name, on_duty) values (%(id)s, %(name)s, %(on_duty)s)
on conflict (id) do update set
    name = excluded.name,
    on_duty = excluded.on_duty,
    version = drivers.version + 1,
    updated_at = now()
where (drivers.name, drivers.on_duty) is distinct from (excluded.name, excluded.on_duty)
returning id, name, on_duty, version,
          (select o.id from orders o where o.driver_id = drivers.id and o.status = 'DISPATCHED') as order_id;

-- name: change
-- Compare and set, as orders do; without versions any will do.
update drivers set name = %(name)s, on_duty = %(on_duty)s, version = version + 1, updated_at = now()
where id = %(id)s
  and (%(versions)s::bigint[] is null or version = any(%(versions)s::bigint[]))
  and (name, on_duty) is distinct from (%(name)s, %(on_duty)s)
returning id, name, on_duty, version,
          (select o.id from orders o where o.driver_id = drivers.id and o.status = 'DISPATCHED') as order_id;

-- name: set_duty
update drivers set on_duty = %(on_duty)s, version = version + 1, updated_at = now()
where id = %(id)s and on_duty <> %(on_duty)s
returning id, name, on_duty, version,
          (select o.id from orders o where o.driver_id = drivers.id and o.status = 'DISPATCHED') as order_id;

-- name: get
-- The live order comes from its own index, which holds one a driver at most.
select d.id, d.name, d.on_duty, d.version, o.id as order_id
from drivers d left join orders o on o.driver_id = d.id and o.status = 'DISPATCHED'
where d.id = %(id)s;

-- name: list
-- Not a join: of one the planner believes that next to nobody has no order, and reads both tables to find out.
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
-- Whoever moves has a position before anybody registers it, and may even be given an order: version 0 is no record.
-- One look into each index for each id, whatever the planner thinks of reading the tables instead.
select asked.id, coalesce(d.name, asked.id), coalesce(d.on_duty, true), coalesce(d.version, 0), o.id as order_id
from unnest(%(ids)s::text[]) as asked (id)
left join lateral (select name, on_duty, version from drivers where id = asked.id limit 1) d on true
left join lateral (
    select id from orders where driver_id = asked.id and status = 'DISPATCHED' limit 1
) o on true;
