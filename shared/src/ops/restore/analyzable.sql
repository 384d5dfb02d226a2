-- Tables with rows of their own or of their children, none of which is foreign. Of partitions and other children the
-- topmost table alone is named: analyzing it reaches them all, but for plain inheritance, where each is named. Large
-- tables come first.
WITH RECURSIVE has_foreign(relation) AS (
    SELECT oid FROM pg_catalog.pg_class WHERE relkind = 'f'
  UNION
    SELECT i.inhparent FROM has_foreign JOIN pg_catalog.pg_inherits i ON i.inhrelid = has_foreign.relation
)
SELECT n.nspname::text, c.relname::text,
       coalesce(CASE c.relkind
           WHEN 'p' THEN (SELECT sum(pg_catalog.pg_relation_size(relid)) FROM pg_catalog.pg_partition_tree(c.oid))
           ELSE pg_catalog.pg_relation_size(c.oid)
       END, 0)::int8
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE (c.relkind IN ('r', 'p') OR c.relkind = 'm' AND c.relispopulated) AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND c.oid NOT IN (SELECT relation FROM has_foreign)
  AND NOT (c.relispartition AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_inherits i JOIN has_foreign ON has_foreign.relation = i.inhparent WHERE i.inhrelid = c.oid))
ORDER BY 3 DESC, 1, 2
