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

-- As in 0016_registered_drivers.sql, with the new column and table.
create or replace function grant_to_process_roles() returns void language plpgsql as $$
declare
    -- By whoever moves an order; the log's are what log_order_move() writes, in the name of who moves.
    moved constant text := 'status, driver_id, reason, version, moved_by, moved_trace, dispatch_epoch, pending_since, '
                           'dispatched_at, delivered_at, cancelled_at, excluded_until';
    logged constant text := 'order_id, customer_id, client_order_id, was, became, driver_id, was_driver_id, version, '
                            'actor, reason, trace_id';
    event  constant text := 'event_id, aggregate_id, seq, event_type, payload, traceparent';
    given_up constant text := 'queue, event_id, body, headers, reason, attempts, cause, fingerprint';
    process text;
    privileges text;
begin
    -- PostgreSQL's own default since 15; databases that came from older ones still let anybody create.
    if has_schema_privilege('public', current_schema(), 'create') then
        execute format('revoke create on schema %I from public', current_schema());
    end if;

    foreach process in array array['gofleet_api', 'gofleet_relay', 'gofleet_worker', 'gofleet_fleet'] loop
        if to_regrole(process) is null then
            begin
                execute format('create role %I', process);
            exception
                when duplicate_object or unique_violation then null;
                when insufficient_privilege then
                    raise warning '% may not create the role %: have an administrator create it, and say '
                                  '"select grant_to_process_roles()" then', current_user, process;
                    continue;
            end;
        end if;
        execute format('revoke all on orders, order_exclusions, order_log, outbox, inbox, parked, drivers, '
                       'request_counts, deadlines, schema_migrations from %I', process);
        if not has_schema_privilege(process, current_schema(), 'usage') then
            execute format('grant usage on schema %I to %I', current_schema(), process);
        end if;
        execute format('grant select on schema_migrations to %I', process);
    end loop;

    for process, privileges in values
        ('gofleet_api', 'select, update (' || moved || ') on orders'),
        ('gofleet_api', 'insert (id, customer_id, client_order_id, price, tax, final_price, pickup_lat, pickup_lng, '
                        'dropoff_lat, dropoff_lng, moved_by, moved_trace) on orders'),
        ('gofleet_api', 'insert (order_id, version, driver_id, until) on order_exclusions'),
        ('gofleet_api', 'select, insert (' || logged || ') on order_log'),
        -- What failed to be published is listed and tried again; what the events say is not read.
        ('gofleet_api', 'select (id, event_id, event_type, aggregate_id, seq, created_at, published_at, attempts, '
                        'failed_at, error) on outbox'),
        ('gofleet_api', 'insert (' || event || '), update (attempts, next_attempt_at, failed_at) on outbox'),
        ('gofleet_api', 'select, update (replay_requested_at, error) on parked'),
        ('gofleet_api', 'select, insert (id, name, on_duty) on drivers'),
        ('gofleet_api', 'update (name, on_duty, off_duty_by, version, updated_at) on drivers'),
        ('gofleet_api', 'select, delete on request_counts'),
        ('gofleet_api', 'insert (process, number, answered, failed, ingests, fast_ingests) on request_counts'),

        ('gofleet_relay', 'select, update (' || moved || ') on orders'),
        ('gofleet_relay', 'select (ctid, until), delete on order_exclusions'),
        ('gofleet_relay', 'select (order_id, version, became, at), insert (' || logged || ') on order_log'),
        ('gofleet_relay', 'select, delete, insert (kind, ' || event || ') on outbox'),
        ('gofleet_relay', 'update (published_at, attempts, next_attempt_at, failed_at, error) on outbox'),
        ('gofleet_relay', 'select (ctid, at), delete on inbox'),
        ('gofleet_relay', 'select, delete, update (replay_requested_at, replayed_at, replay_count, error) on parked'),
        ('gofleet_relay', 'select, update (until) on deadlines'),
        ('gofleet_relay', 'select (id) on drivers'),

        ('gofleet_worker', 'select, update (' || moved || ') on orders'),
        ('gofleet_worker', 'select (order_id, driver_id, until) on order_exclusions'),
        ('gofleet_worker', 'insert (' || logged || ') on order_log'),
        ('gofleet_worker', 'insert (' || event || ') on outbox'),
        ('gofleet_worker', 'select (consumer, event_id, outcome), insert (consumer, event_id, outcome) on inbox'),
        ('gofleet_worker', 'insert (' || given_up || ') on parked'),
        ('gofleet_worker', 'select (id) on drivers'),

        ('gofleet_fleet', 'select on orders'),
        ('gofleet_fleet', 'select (id, name, on_duty, off_duty_by, version) on drivers'),
        ('gofleet_fleet', 'insert (' || given_up || ') on parked')
    loop
        if to_regrole(process) is not null then
            execute format('grant %s to %I', privileges, process);
        end if;
    end loop;
end
$$;
select grant_to_process_roles();
