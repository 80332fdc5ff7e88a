-- outside a transaction
-- A version has one entry. Built while orders are written; what an interrupted attempt left is dropped first.
drop index concurrently if exists order_log_by_version;
create unique index concurrently order_log_by_version on order_log (order_id, version);
drop index concurrently if exists order_log_by_order;
