-- Orders, and the history of their moves. PostgreSQL 15 to 18.

create table orders (
    id             text primary key,
    customer_id    text,
    price          numeric(10, 2) not null,
    tax            numeric(10, 2) not null,
    final_price    numeric(10, 2) not null,
    pickup_lat     double precision,
    pickup_lng     double precision,
    dropoff_lat    double precision,
    dropoff_lng    double precision,
    status         text not null default 'PENDING',
    driver_id      text,
    reason         text,
    version        integer not null default 1,
    created_at     timestamptz not null default now(),
    pending_since  timestamptz not null default now(),
    dispatched_at  timestamptz,
    delivered_at   timestamptz,
    cancelled_at   timestamptz,
    -- The last line of defence: what gofleet/domain/order.py refuses, the database refuses too.
    constraint orders_status check (status in ('PENDING', 'DISPATCHED', 'MANUAL_DISPATCH', 'DELIVERED', 'CANCELLED')),
    constraint orders_money check (price > 0 and tax >= 0 and final_price = price + tax),
    constraint orders_driver check (status not in ('DISPATCHED', 'DELIVERED') or driver_id is not null),
    constraint orders_no_driver check (status not in ('PENDING', 'MANUAL_DISPATCH') or driver_id is null),
    constraint orders_reason check ((status = 'MANUAL_DISPATCH') <= (reason is not null)),
    constraint orders_pickup check ((pickup_lat is null) = (pickup_lng is null)),
    constraint orders_dropoff check ((dropoff_lat is null) = (dropoff_lng is null)),
    constraint orders_version check (version >= 1)
);

-- A driver holds at most one live order, whatever Redis believes.
create unique index one_live_order_per_driver on orders (driver_id) where status = 'DISPATCHED';
-- Pages of GET /orders: newest first, whole or by status or by driver.
create index orders_by_time on orders (created_at desc, id desc);
create index orders_by_status on orders (status, created_at desc, id desc);
create index orders_by_driver on orders (driver_id, created_at desc, id desc) where driver_id is not null;
-- What waits for a driver: the sweep, and the age of the oldest.
create index orders_pending on orders (pending_since) where status = 'PENDING';

-- Append-only: the history is checked, not only the last state.
create table order_log (
    id          bigint generated always as identity primary key,
    order_id    text not null,
    was         text,
    became      text not null,
    driver_id   text,
    version     integer not null,
    txid        xid8 not null default pg_current_xact_id(),
    at          timestamptz not null default now()
);
create index order_log_by_order on order_log (order_id, id);

create function log_order_move() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into order_log (order_id, became, driver_id, version) values (new.id, new.status, new.driver_id, new.version);
    elsif new.status is distinct from old.status or new.driver_id is distinct from old.driver_id then
        insert into order_log (order_id, was, became, driver_id, version)
        values (new.id, old.status, new.status, new.driver_id, new.version);
    end if;
    return new;
end
$$;
create trigger log_order_move after insert or update on orders for each row execute function log_order_move();

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name;
end
$$;
create trigger append_only before update or delete on order_log for each row execute function refuse_change();

-- The same table as MOVES in gofleet/domain/order.py: an update that makes any other move is refused.
create function refuse_illegal_move() returns trigger language plpgsql as $$
begin
    if (old.status, new.status) in (
        ('PENDING', 'DISPATCHED'), ('PENDING', 'MANUAL_DISPATCH'), ('PENDING', 'CANCELLED'),
        ('MANUAL_DISPATCH', 'DISPATCHED'), ('MANUAL_DISPATCH', 'CANCELLED'), ('MANUAL_DISPATCH', 'PENDING'),
        ('DISPATCHED', 'DELIVERED'), ('DISPATCHED', 'CANCELLED'), ('DISPATCHED', 'PENDING')
    ) then
        return new;
    end if;
    raise exception 'order % cannot become % from %', old.id, new.status, old.status using errcode = 'check_violation';
end
$$;
create trigger refuse_illegal_move before update of status on orders
    for each row when (old.status is distinct from new.status) execute function refuse_illegal_move();
