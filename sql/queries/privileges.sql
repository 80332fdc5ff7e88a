-- name: lacking
-- The privileges that the named roles were granted in this database and this session lacks. An owner, a member of the
-- role, and a login with the same grants of its own lack nothing. Reads catalogs only, which every login may read.
with granted as (
    select acl.grantee, class.oid, class.relname, null as attnum, acl.privilege_type
    from pg_class class, aclexplode(class.relacl) acl
    where class.relkind = 'r'
    union all
    select acl.grantee, class.oid, class.relname, attribute.attnum, acl.privilege_type
    from pg_attribute attribute join pg_class class on class.oid = attribute.attrelid, aclexplode(attribute.attacl) acl
    where class.relkind = 'r'
)
select name, current_user as login, string_agg(distinct lower(privilege_type) || ' on ' || relname, ', ') as privileges
from unnest(%(roles)s::text[]) as name join granted on granted.grantee = to_regrole(name)
where not case when attnum is null then has_table_privilege(oid, privilege_type)
               else has_column_privilege(oid, attnum, privilege_type) end
group by name order by name;
