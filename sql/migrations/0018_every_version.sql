-- Every version of an order has an entry in its history, also one that changes neither its status nor its driver.

-- The type of the version's event without `orders.`; null in entries of earlier releases, which logged transitions only.
alter table order_log add column kind text;

create function change_kind(was text, became text) returns text language sql immutable as $$
    select case when was is null then 'created' when was = became then 'updated'
                when became = 'PENDING' then 'redispatched' else lower(became) end
$$;

create or replace function log_order_move() returns trigger language plpgsql as $$
declare
    -- A cancellation keeps the reason of an earlier escalation in the order; it is not the reason of the cancellation.
    why text := case when new.status = 'MANUAL_DISPATCH' then new.reason end;
begin
    if tg_op = 'INSERT' then
        insert into order_log (order_id, customer_id, client_order_id, became, driver_id, version, actor, reason, trace_id,
                kind)
        values (new.id, new.customer_id, new.client_order_id, new.status, new.driver_id, new.version, new.moved_by, why,
                new.moved_trace, change_kind(null, new.status));
    elsif (new.version, new.status, new.driver_id) is distinct from (old.version, old.status, old.driver_id) then
        -- What changes an order without a new version is refused by order_log_by_version.
        insert into order_log (order_id, customer_id, client_order_id, was, became, driver_id, was_driver_id, version, actor,
                reason, trace_id, kind)
        values (new.id, new.customer_id, new.client_order_id, old.status, new.status, new.driver_id, old.driver_id,
                new.version, new.moved_by, why, new.moved_trace, change_kind(old.status, new.status));
    end if;
    return new;
end
$$;

-- The trigger runs with the privileges of who changes the order; those of all roles are renewed after the migrations.
do $$
declare
    process text;
begin
    foreach process in array array['gofleet_api', 'gofleet_relay', 'gofleet_worker'] loop
        if to_regrole(process) is not null then
            execute format('grant insert (kind) on order_log to %I', process);
        end if;
    end loop;
end
$$;
