-- Sequences that fill a column of whole numbers: as its identity, as its owner, or only by its default.
WITH fills AS (
    SELECT d.objid AS sequence, d.refobjid AS relation, d.refobjsubid AS number
    FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
  UNION
    SELECT d.refobjid, f.adrelid, f.adnum
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_attrdef f ON f.oid = d.objid
    WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
)
SELECT sn.nspname::text AS sequence_schema, s.relname::text AS sequence_name,
       n.nspname::text AS schema, c.relname::text AS name, a.attname::text AS column, q.seqincrement AS increment
FROM fills
JOIN pg_catalog.pg_sequence q ON q.seqrelid = fills.sequence
JOIN pg_catalog.pg_class s ON s.oid = fills.sequence
JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
JOIN pg_catalog.pg_class c ON c.oid = fills.relation
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = fills.relation AND a.attnum = fills.number
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE c.relkind IN ('r', 'p') AND NOT q.seqcycle
  AND CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
      IN ('pg_catalog.int2'::pg_catalog.regtype, 'pg_catalog.int4'::pg_catalog.regtype, 'pg_catalog.int8'::pg_catalog.regtype)
  -- A partition has its parent's default; the parent answers for all.
  AND NOT (c.relispartition AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend o WHERE o.objid = fills.sequence AND o.refobjid = c.oid AND o.deptype IN ('a', 'i')))
  AND n.nspname !~ '^pg_(toast_)?temp_'
ORDER BY 1, 2, 3, 4, 5
