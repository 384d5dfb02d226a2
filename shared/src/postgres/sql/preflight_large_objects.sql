-- Large objects that the current role may not read: how many, and the first of them.
SELECT m.oid, count(*) OVER () AS total
FROM pg_catalog.pg_largeobject_metadata m
WHERE current_setting('lo_compat_privileges') = 'off'
  -- Who may read the table of pages needs no right on an object.
  AND NOT pg_catalog.has_table_privilege('pg_catalog.pg_largeobject', 'SELECT')
  AND NOT pg_catalog.pg_has_role(m.lomowner, 'USAGE')
  AND NOT EXISTS (
      SELECT FROM pg_catalog.aclexplode(m.lomacl) x
      WHERE x.privilege_type = 'SELECT'
        AND CASE WHEN x.grantee = 0 THEN true ELSE pg_catalog.pg_has_role(x.grantee, 'USAGE') END)
ORDER BY m.oid
LIMIT 20
