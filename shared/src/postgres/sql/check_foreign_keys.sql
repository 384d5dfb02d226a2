-- Enforced foreign keys, with what is needed to look for rows that violate them. A key on a partitioned table is looked at
-- through its root, so the copies on partitions are left out.
SELECT n.nspname::text AS schema, c.relname::text AS name, con.conname::text AS constraint,
       rn.nspname::text AS referenced_schema, r.relname::text AS referenced_name,
       c.relkind = 'p' AS is_partitioned, r.relkind = 'p' AS references_partitioned,
       con.confmatchtype = 'f' AS matches_full,
       coalesce((pg_catalog.to_jsonb(con) ->> 'conperiod')::boolean, false) AS has_period,
       k.columns, k.referenced_columns, k.operators, k.collations
FROM pg_catalog.pg_constraint con
JOIN pg_catalog.pg_class c ON c.oid = con.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class r ON r.oid = con.confrelid
JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
CROSS JOIN LATERAL (
    SELECT pg_catalog.array_agg(a.attname::text ORDER BY u.place) AS columns,
           pg_catalog.array_agg(b.attname::text ORDER BY u.place) AS referenced_columns,
           pg_catalog.array_agg(pg_catalog.format('OPERATOR(%I.%s)', pn.nspname, o.oprname) ORDER BY u.place) AS operators,
           -- As the server's own check does: where the collations differ, the referenced column's counts.
           pg_catalog.array_agg(CASE WHEN a.attcollation <> b.attcollation AND b.attcollation <> 0
                                     THEN pg_catalog.format('%I.%I', ln.nspname, l.collname) ELSE '' END
                                ORDER BY u.place) AS collations
    FROM unnest(con.conkey, con.confkey, con.conpfeqop) WITH ORDINALITY u(key, referenced_key, operator, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = u.key
    JOIN pg_catalog.pg_attribute b ON b.attrelid = con.confrelid AND b.attnum = u.referenced_key
    JOIN pg_catalog.pg_operator o ON o.oid = u.operator
    JOIN pg_catalog.pg_namespace pn ON pn.oid = o.oprnamespace
    LEFT JOIN pg_catalog.pg_collation l ON l.oid = b.attcollation
    LEFT JOIN pg_catalog.pg_namespace ln ON ln.oid = l.collnamespace
) k
WHERE con.contype = 'f' AND con.conparentid = 0
  AND coalesce((pg_catalog.to_jsonb(con) ->> 'conenforced')::boolean, true)
  AND n.nspname !~ '^pg_(toast_)?temp_'
ORDER BY 1, 2, 3
