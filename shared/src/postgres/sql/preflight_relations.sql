-- Tables and sequences of users, and what stands between them and the current role.
SELECT n.nspname::text AS schema,
       c.relname::text AS name,
       c.relkind = 'S' AS is_sequence,
       coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE'), true) AS schema_usable,
       coalesce(CASE WHEN c.relkind = 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
                     ELSE pg_catalog.has_table_privilege(c.oid, 'SELECT') END, true) AS readable,
       c.relkind <> 'S' AND coalesce(pg_catalog.has_any_column_privilege(c.oid, 'SELECT'), true) AS partly_readable,
       c.relkind <> 'S' AND pg_catalog.row_security_active(c.oid) AS hides_rows
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'S')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND n.nspname !~ '^pg_(toast_)?temp_'
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
