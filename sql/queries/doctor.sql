-- What a server is like, for a diagnosis; nothing here changes anything.

-- name: server
select
    current_setting('server_version_num')::int,
    split_part(current_setting('server_version'), ' ', 1),
    clock_timestamp(),
    pg_is_in_recovery() or current_setting('default_transaction_read_only')::bool,
    (select setting::int from pg_settings where name = 'statement_timeout'),
    (select setting::int from pg_settings where name = 'lock_timeout'),
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
    (select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()),
    to_regclass('schema_migrations') is not null;

-- name: applied
select name, digest from schema_migrations order by name;
