-- For each foreign key of these tables a question: does it have rows whose other row is missing? Operators and names are
-- spelled out, for search_path is empty. Keys that no rows have to obey are left out.
SELECT conrelid::pg_catalog.regclass::text AS table_name, c.conname::text AS name,
       'SELECT EXISTS (SELECT FROM ONLY ' || conrelid::pg_catalog.regclass || ' f WHERE '
       || pg_catalog.string_agg(pg_catalog.format('f.%I IS NOT NULL', fa.attname), ' AND ')
       || ' AND NOT EXISTS (SELECT FROM ' || confrelid::pg_catalog.regclass || ' p WHERE '
       || pg_catalog.string_agg(pg_catalog.format('p.%I OPERATOR(%I.%s) f.%I', pa.attname, n.nspname, o.oprname, fa.attname), ' AND ')
       || '))' AS question
FROM pg_catalog.pg_constraint c
CROSS JOIN LATERAL ROWS FROM (
    pg_catalog.unnest(c.conkey), pg_catalog.unnest(c.confkey), pg_catalog.unnest(c.conpfeqop)
) AS k(own, other, operator)
JOIN pg_catalog.pg_attribute fa ON fa.attrelid = c.conrelid AND fa.attnum = k.own
JOIN pg_catalog.pg_attribute pa ON pa.attrelid = c.confrelid AND pa.attnum = k.other
JOIN pg_catalog.pg_operator o ON o.oid = k.operator
JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
WHERE c.contype = 'f' AND c.convalidated AND c.conrelid = ANY ($1::text[]::pg_catalog.regclass[])
  AND NOT coalesce((pg_catalog.to_jsonb(c) ->> 'conperiod')::boolean, false)
GROUP BY c.oid, c.conrelid, c.confrelid, c.conname
ORDER BY 1, 2
