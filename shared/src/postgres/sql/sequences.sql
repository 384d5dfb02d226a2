-- Sequences with the column that owns each; their values are read from the sequences themselves.
SELECT c.oid,
       n.nspname::text AS schema,
       c.relname::text AS name,
       c.relpersistence::text AS persistence,
       tn.nspname::text AS table_schema,
       t.relname::text AS table_name,
       a.attname::text AS column_name
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_depend d
       ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
LEFT JOIN pg_catalog.pg_class t ON t.oid = d.refobjid
LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE c.relkind = 'S' AND n.nspname !~ '^pg_(toast_)?temp_'
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
