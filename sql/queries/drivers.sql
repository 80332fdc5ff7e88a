-- fragment: driver
-- A driver by the names of gofleet/domain/driver.py, with its live order: of each driver the index has one at most.
-- Of a driver on duty off_duty_by means nothing: processes of a release before the column leave it as it was.
id, name, on_duty, version, case when not on_duty then off_duty_by end as off_duty_by,
          (select o.id from orders o where o.driver_id = drivers.id and o.status = 'DISPATCHED') as order_id

-- name: put
insert into drivers (id, name, on_duty) values (%(id)s, %(name)s, %(on_duty)s)
on conflict (id) do update set
    name = excluded.name,
    on_duty = excluded.on_duty,
    off_duty_by = case when not excluded.on_duty then
                      case when drivers.on_duty then %(staff)s else drivers.off_duty_by end end,
    version = drivers.version + 1,
    updated_at = now()
where (drivers.name, drivers.on_duty) is distinct from (excluded.name, excluded.on_duty)
returning {driver};

-- name: change
-- Compare and set, as for orders; without `versions` any version matches.
update drivers set
    name = %(name)s,
    on_duty = %(on_duty)s,
    off_duty_by = case when not %(on_duty)s then case when on_duty then %(staff)s else off_duty_by end end,
    version = version + 1,
    updated_at = now()
where id = %(id)s
  and (%(versions)s::bigint[] is null or version = any(%(versions)s::bigint[]))
  and (name, on_duty) is distinct from (%(name)s, %(on_duty)s)
returning {driver};

-- name: set_duty
-- As Driver.with_duty: `staff` is null if the driver asks: it cannot lift what staff set.
update drivers set
    on_duty = %(on_duty)s,
    off_duty_by = case when not %(on_duty)s then
                      case when on_duty then %(staff)s else coalesce(off_duty_by, %(staff)s) end end,
    version = version + 1,
    updated_at = now()
where id = %(id)s
  and (on_duty <> %(on_duty)s or (not on_duty and off_duty_by is null and %(staff)s::text is not null))
  and (on_duty or not %(on_duty)s or off_duty_by is null or %(staff)s::text is not null)
returning {driver};

-- name: get
-- The live order comes from its own index, which has one entry for each driver at most.
select d.id, d.name, d.on_duty, d.version, case when not d.on_duty then d.off_duty_by end as off_duty_by,
       o.id as order_id
from drivers d left join orders o on o.driver_id = d.id and o.status = 'DISPATCHED'
where d.id = %(id)s;

-- name: list
-- Not a join: the planner would expect nearly every driver to have an order, and read both tables completely.
select d.id, d.name, d.on_duty, d.version, case when not d.on_duty then d.off_duty_by end as off_duty_by,
       live.order_id
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
-- Lateral, so that each id is one lookup in each index, whatever the statistics of the tables suggest.
select requested.id, d.name, d.on_duty, d.version, case when not d.on_duty then d.off_duty_by end as off_duty_by,
       o.id as order_id
from unnest(%(ids)s::text[]) as requested (id)
cross join lateral (select name, on_duty, version, off_duty_by from drivers where id = requested.id limit 1) d
left join lateral (
    select id from orders where driver_id = requested.id and status = 'DISPATCHED' limit 1
) o on true;

-- name: registered
select id from drivers where id = any(%(ids)s::text[]);
