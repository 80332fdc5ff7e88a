-- Drivers that automatic dispatch passes over for an order, because a redispatch took the order from them.

create table order_exclusions (
    order_id   text not null,
    version    integer not null,  -- of the transition that took the order from the driver
    driver_id  text not null,
    until      timestamptz not null,
    primary key (order_id, version)
);
create index order_exclusions_by_time on order_exclusions (until);

-- For how long the last transition excludes the driver that it took the order from, for the trigger to copy; null = not at
-- all. The release before does not write it.
alter table orders add column excluded_until timestamptz;

create function exclude_driver() returns trigger language plpgsql as $$
begin
    insert into order_exclusions (order_id, version, driver_id, until)
    values (new.id, new.version, old.driver_id, new.excluded_until);
    return null;
end
$$;
create trigger exclude_driver after update of status on orders for each row
    when (old.status = 'DISPATCHED' and new.status = 'PENDING' and new.excluded_until > now())
    execute function exclude_driver();

-- Searches leave excluded drivers out; this refuses what a worker dispatches nevertheless, such as one of the release
-- before, which knows no exclusions. It reports a busy driver as the unique index does, because then every release goes
-- on with the next candidate. A manual dispatch has another actor and is not refused.
create function refuse_excluded_driver() returns trigger language plpgsql as $$
begin
    if exists (
        select from order_exclusions where order_id = new.id and driver_id = new.driver_id and until > now()
    ) then
        raise exception 'driver % is excluded for order %', new.driver_id, new.id
            using errcode = 'unique_violation', constraint = 'one_live_order_per_driver';
    end if;
    return new;
end
$$;
-- Below version 3 (created, dispatched, redispatched) no order has exclusions.
create trigger refuse_excluded_driver before update of status on orders for each row
    when (old.status <> 'DISPATCHED' and new.status = 'DISPATCHED' and new.moved_by = 'worker' and old.version >= 3)
    execute function refuse_excluded_driver();
