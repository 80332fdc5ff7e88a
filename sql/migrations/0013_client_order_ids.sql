-- Ids that customers name are their own: the id of such an order is computed from customer and name, by
-- customer_order_id() in gofleet/domain/order_ids.py, and the name is kept beside it. The primary key stays the only
-- arbiter of repeated requests; nothing maps one id to the other.

alter table orders add column client_order_id text;
alter table order_log add column client_order_id text;

create or replace function log_order_move() returns trigger language plpgsql as $$
declare
    -- A cancellation keeps the reason of an earlier escalation in the order; it is not the reason of the cancellation.
    why text := case when new.status = 'MANUAL_DISPATCH' then new.reason end;
begin
    if tg_op = 'INSERT' then
        insert into order_log (order_id, customer_id, client_order_id, became, driver_id, version, actor, reason, trace_id)
        values (new.id, new.customer_id, new.client_order_id, new.status, new.driver_id, new.version, new.moved_by, why,
                new.moved_trace);
    elsif new.status is distinct from old.status or new.driver_id is distinct from old.driver_id then
        insert into order_log (order_id, customer_id, client_order_id, was, became, driver_id, was_driver_id, version, actor,
                reason, trace_id)
        values (new.id, new.customer_id, new.client_order_id, old.status, new.status, new.driver_id, old.driver_id,
                new.version, new.moved_by, why, new.moved_trace);
    end if;
    return new;
end
$$;

-- While an api of the previous release runs beside a new one, it would create an order again that the new one created
-- under a computed id. It answers this error with 503, and the client repeats the request. The function is called for
-- customers' orders without client_order_id only: those of the previous release, and those without any name.
create function refuse_computed_id() returns trigger language plpgsql as $$
begin
    if exists (
        select from orders where id =
            'own-' || left(encode(sha256(convert_to('customer/' || new.customer_id || '/' || new.id, 'UTF8')), 'hex'), 32)
    ) then
        raise exception 'order % has a computed id', new.id using errcode = 'lock_not_available';
    end if;
    return new;
end
$$;
create trigger refuse_computed_id before insert on orders
    for each row when (new.client_order_id is null and new.moved_by = 'customer:' || new.customer_id)
    execute function refuse_computed_id();
