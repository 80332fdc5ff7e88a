-- A login for each process role, as a member of the role with its privileges (sql/migrations/0012_privileges.sql).
-- PostgreSQL in Compose runs this when it creates its data. Another run sets the passwords to those in the environment.

\set ON_ERROR_STOP on
\getenv api DB_API_PASSWORD
\getenv relay DB_RELAY_PASSWORD
\getenv worker DB_WORKER_PASSWORD
\getenv fleet DB_FLEET_PASSWORD

select format('create role %I', name) from unnest(array['api', 'relay', 'worker', 'fleet']) as process,
    format('gofleet_%s', process) as name
where to_regrole(name) is null \gexec
select format('create role %I', process) from unnest(array['api', 'relay', 'worker', 'fleet']) as process
where to_regrole(process) is null \gexec

-- As sql/migrations/0015_temporary_tables.sql: the owner of the database or a superuser may do this.
select format('revoke temporary on database %I from public', current_database()) \gexec

alter role api login password :'api';
alter role relay login password :'relay';
alter role worker login password :'worker';
alter role fleet login password :'fleet';
grant gofleet_api to api;
grant gofleet_relay to relay;
grant gofleet_worker to worker;
grant gofleet_fleet to fleet;
