-- PostgreSQL lets every login create temporary tables, which can fill the server's disk. Only the owner of a database can
-- take that back: where another role migrates, an administrator runs config/postgres/logins.sql, and `gofleet doctor`
-- warns until then.
do $$
begin
    if (select pg_has_role(datdba, 'usage') from pg_database where datname = current_database()) then
        execute format('revoke temporary on database %I from public', current_database());
    end if;
end
$$;
