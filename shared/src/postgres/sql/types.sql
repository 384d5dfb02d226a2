-- Every type that is built from others or can change how its values print: a description of its own, the types it is built from,
-- whether its binary form is read again in another database, and means the same (oids of types and objects do not, who knows what an
-- extension sends, and the server refuses an empty tsquery that it wrote itself),
-- and whether its text can change only together with the description (what names an object or a role is renamed with it).
-- Every table and view is a type, too, and so are its arrays: of those only what something is made of.
WITH used AS (
    SELECT a.atttypid AS oid FROM pg_catalog.pg_attribute a
  UNION
    SELECT b.typbasetype FROM pg_catalog.pg_type b
  UNION
    SELECT b.rngsubtype FROM pg_catalog.pg_range b
)
SELECT t.oid,
       pg_catalog.concat_ws(':', t.typtype, t.typname, t.typelem, t.typbasetype, t.typtypmod, t.typoutput::pg_catalog.oid, r.rngsubtype, m.rngtypid,
           (SELECT pg_catalog.string_agg(e.oid || '=' || e.enumlabel, ',' ORDER BY e.oid)
            FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid),
           (SELECT pg_catalog.string_agg(pg_catalog.concat_ws('/', a.attnum, a.atttypid, a.atttypmod), ',' ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped),
           CASE WHEN o.oid >= 16384 THEN o.xmin::text END, e.extname, e.extversion) AS description,
       pg_catalog.array_remove(ARRAY[t.typelem, t.typbasetype, r.rngsubtype, m.rngtypid]
           || ARRAY(SELECT a.atttypid FROM pg_catalog.pg_attribute a
                    WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), NULL)::pg_catalog.oid[] AS built_from,
       t.typsend <> 0 AND t.typreceive <> 0 AND t.typtype <> 'c'
           AND CASE WHEN t.oid >= 16384 THEN t.typtype <> 'b' ELSE t.typname !~ '^_?(reg|tsquery$)' END AS is_portable_in_binary,
       CASE WHEN o.oid >= 16384 THEN o.provolatile = 'i' ELSE t.oid >= 16384 OR t.typname !~ '^_?(reg|aclitem$)' END AS is_fixed_in_text
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_proc o ON o.oid = t.typoutput
LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
LEFT JOIN pg_catalog.pg_range m ON m.rngmultitypid = t.oid
LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
LEFT JOIN pg_catalog.pg_type i ON i.oid = t.typelem AND i.typarray = t.oid
LEFT JOIN pg_catalog.pg_class ic ON ic.oid = i.typrelid AND ic.relkind <> 'c'
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid AND d.deptype = 'e'
    AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
WHERE t.typtype <> 'p'
  AND (t.oid >= 16384 OR t.typelem <> 0 OR t.typtype <> 'b' OR t.typsend = 0 OR t.typreceive = 0 OR t.typname ~ '^reg' OR t.typname IN ('aclitem', 'tsquery'))
  AND (c.oid IS NULL OR c.relkind = 'c' OR t.oid IN (SELECT used.oid FROM used) OR t.typarray IN (SELECT used.oid FROM used))
  AND (ic.oid IS NULL OR t.oid IN (SELECT used.oid FROM used))
