-- Tables of Citus: on the coordinator they are shells, their rows lie in shards, on other servers as a rule.
SELECT n.nspname::text AS schema, c.relname::text AS name
FROM pg_catalog.pg_dist_partition p
JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid::pg_catalog.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY 1, 2
