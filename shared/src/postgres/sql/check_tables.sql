-- Tables that hold rows of users, with what the planner believes of their size; -1 where it was never told.
SELECT n.nspname::text AS schema, c.relname::text AS name, c.reltuples::float8 AS estimated_rows
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND n.nspname !~ '^pg_(toast_)?temp_'
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
