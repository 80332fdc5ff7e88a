-- outside a transaction
-- References are the clients' own and not unique. Built while orders are written, as 0019.
drop index concurrently if exists orders_by_reference;
create index concurrently orders_by_reference on orders (reference, created_at desc, id desc) where reference is not null;
