-- Hypertables, and what there is because of them: their chunks, and the extension's own notes about both. Nothing where there
-- are no hypertables.
SELECT found.schema, found.name
FROM (
    SELECT 1 AS place, h.schema_name::text AS schema, h.table_name::text AS name FROM _timescaledb_catalog.hypertable h
  UNION ALL
    SELECT 2, n.nspname::text, c.relname::text
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname IN ('_timescaledb_internal', '_timescaledb_catalog')
      AND EXISTS (SELECT FROM _timescaledb_catalog.hypertable)
) found
ORDER BY found.place, found.schema, found.name
