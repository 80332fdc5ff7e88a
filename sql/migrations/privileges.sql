-- Privileges of the process roles. `gofleet migrate` runs this file after the numbered ones whenever it has changed, so that
-- all privileges stand here and a migration that adds a column does not repeat them.
create or replace function grant_to_process_roles() returns void language plpgsql as $$
declare
    -- The columns that a transition writes, and those that log_order_move() writes in the name of the same login.
    moved constant text := 'status, driver_id, reason, version, moved_by, moved_trace, dispatch_epoch, pending_since, '
                           'dispatched_at, delivered_at, cancelled_at, excluded_until';
    logged constant text := 'order_id, customer_id, client_order_id, was, became, driver_id, was_driver_id, version, '
                            'actor, reason, trace_id, kind';
    event  constant text := 'event_id, aggregate_id, seq, event_type, payload, traceparent';
    given_up constant text := 'queue, event_id, body, headers, reason, attempts, cause, fingerprint';
    process text;
    privileges text;
begin
    -- PostgreSQL's default since 15; in a database from before it every login may create tables.
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
                        'dropoff_lat, dropoff_lng, reference, items, metadata, moved_by, moved_trace) on orders'),
        ('gofleet_api', 'update (reference, items, metadata, changed_at, created_as) on orders'),
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
