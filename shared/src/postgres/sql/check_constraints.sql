-- Constraints of tables and domains whose existing rows were never checked. Only where they were declared: partitions and
-- children have them from there.
SELECT coalesce(cn.nspname, tn.nspname)::text AS schema,
       coalesce(c.relname, t.typname)::text AS name,
       con.conname::text AS constraint,
       c.oid IS NULL AS is_domain,
       coalesce((pg_catalog.to_jsonb(con) ->> 'conenforced')::boolean, true) AS is_enforced
FROM pg_catalog.pg_constraint con
LEFT JOIN pg_catalog.pg_class c ON c.oid = con.conrelid
LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_type t ON t.oid = con.contypid
LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
WHERE NOT con.convalidated AND con.conparentid = 0 AND con.conislocal
  AND coalesce(cn.nspname, tn.nspname) !~ '^pg_(toast_)?temp_'
ORDER BY 1, 2, 3
