-- Conditions that GoFleet checks before it uses a database. Nothing here changes anything.

-- name: session
select pg_backend_pid(), source from pg_settings where name = 'idle_in_transaction_session_timeout';

-- name: has_history
select to_regclass('order_log') is not null;

-- name: history
-- A row that this snapshot sees has a lower txid than its end, unless another cluster gave it.
select order_log.txid::text, pg_snapshot_xmax(pg_current_snapshot())::text from order_log
where txid >= pg_snapshot_xmax(pg_current_snapshot()) order by order_log.txid desc limit 1;
