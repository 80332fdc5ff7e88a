-- name: put
insert into drivers (id, name, on_duty) values (%(id)s, %(name)s, %(on_duty)s)
on conflict (id) do update set
    name = excluded.name,
    on_duty = excluded.on_duty,
    version = drivers.version + 1,
    updated_at = now()
where (drivers.name, drivers.on_duty) is distinct from (excluded.name, excluded.on_duty)
returning id, name, on_duty, version;

-- name: get
select id, name, on_duty, version from drivers where id = %(id)s;

-- name: list
select id, name, on_duty, version from drivers where id > %(after)s order by id limit %(limit)s;
