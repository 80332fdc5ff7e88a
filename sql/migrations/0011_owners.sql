-- Whose orders are whose: customers and drivers see their own, and nothing else.

-- Pages of a customer's own orders, and how many of them are not over yet. Orders that are nobody's cost nothing here.
create index orders_by_customer on orders (customer_id, created_at desc, id desc) where customer_id is not null;
create index orders_open_by_customer on orders (customer_id)
    where customer_id is not null and status in ('PENDING', 'MANUAL_DISPATCH', 'DISPATCHED');

-- The live stream is filtered by these. A driver from whom an order is taken must hear of just that.
alter table order_log add column customer_id text, add column was_driver_id text;

create or replace function log_order_move() returns trigger language plpgsql as $$
declare
    -- Whoever cancels an order that waited for people leaves the reason of that standing; it is none of the cancelling.
    why text := case when new.status = 'MANUAL_DISPATCH' then new.reason end;
begin
    if tg_op = 'INSERT' then
        insert into order_log (order_id, customer_id, became, driver_id, version, actor, reason, trace_id)
        values (new.id, new.customer_id, new.status, new.driver_id, new.version, new.moved_by, why, new.moved_trace);
    elsif new.status is distinct from old.status or new.driver_id is distinct from old.driver_id then
        insert into order_log (order_id, customer_id, was, became, driver_id, was_driver_id, version, actor, reason, trace_id)
        values (new.id, new.customer_id, old.status, new.status, new.driver_id, old.driver_id, new.version, new.moved_by,
                why, new.moved_trace);
    end if;
    return new;
end
$$;
