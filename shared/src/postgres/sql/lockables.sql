-- Tables of users, in the order in which they are locked.
SELECT c.oid,
       n.nspname::text AS schema,
       c.relname::text AS name,
       c.relfilenode AS filenode
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND n.nspname !~ '^pg_(toast_)?temp_'
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
