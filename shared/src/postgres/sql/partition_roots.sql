-- The topmost partitioned table of every partition.
WITH RECURSIVE up(leaf, ancestor) AS (
    SELECT i.inhrelid, i.inhparent
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
    WHERE c.relispartition AND c.relkind = 'r'
  UNION ALL
    SELECT up.leaf, i.inhparent
    FROM up JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.ancestor
)
SELECT up.leaf, n.nspname::text AS schema, c.relname::text AS name
FROM up
JOIN pg_catalog.pg_class c ON c.oid = up.ancestor
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT c.relispartition
