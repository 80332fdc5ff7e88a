-- The state of a server for `gofleet doctor`. Nothing here changes anything.

-- name: server
select
    current_setting('server_version_num')::int as version_number,
    split_part(current_setting('server_version'), ' ', 1) as version,
    clock_timestamp() as now,
    pg_is_in_recovery() or current_setting('default_transaction_read_only')::bool as read_only,
    (select setting::int from pg_settings where name = 'statement_timeout') as statement_timeout_ms,
    (select setting::int from pg_settings where name = 'lock_timeout') as lock_timeout_ms,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as connections_max,
    (select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid())
        as connections,
    (select has_database_privilege(oid, 'temporary') and not pg_has_role(datdba, 'usage')
     from pg_database where datname = current_database()) as may_create_temporary,
    to_regclass('schema_migrations') is not null as migrated;

-- name: applied
select name, digest from schema_migrations order by name;
