-- name: lacking
-- What the named roles were granted here and this session may not do; so an owner, a member of the role, and whoever was
-- given the same by hand lack nothing. Asks catalogs alone, which anybody may read.
with granted as (
    select acl.grantee, class.oid, class.relname, null as attnum, acl.privilege_type
    from pg_class class, aclexplode(class.relacl) acl
    where class.relkind = 'r'
    union all
    select acl.grantee, class.oid, class.relname, attribute.attnum, acl.privilege_type
    from pg_attribute attribute join pg_class class on class.oid = attribute.attrelid, aclexplode(attribute.attacl) acl
    where class.relkind = 'r'
)
select name, current_user, string_agg(distinct lower(privilege_type) || ' on ' || relname, ', ')
from unnest(%(roles)s::text[]) as name join granted on granted.grantee = to_regrole(name)
where not case when attnum is null then has_table_privilege(oid, privilege_type)
               else has_column_privilege(oid, attnum, privilege_type) end
group by name order by name;
