-- Every definition that is printed from the server's current state instead of the snapshot's and that no lock of ours holds
-- still, with the transaction that made it, or what else tells that it changed. Tables are locked; what hangs on them is not.
WITH lasting AS (
    SELECT n.oid, n.nspname, n.xmin FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_(toast_)?temp_'
), relation AS (
    SELECT c.oid, c.relname, c.relkind, n.nspname FROM pg_catalog.pg_class c JOIN lasting n ON n.oid = c.relnamespace
)
SELECT 'pg_proc' AS catalog, p.oid, 'function ' || n.nspname || '.' || p.proname AS name, p.xmin::text AS made_by
FROM pg_catalog.pg_proc p JOIN lasting n ON n.oid = p.pronamespace WHERE p.oid >= 16384
UNION ALL
SELECT 'pg_type', t.oid, 'type ' || n.nspname || '.' || t.typname, t.xmin::text
FROM pg_catalog.pg_type t JOIN lasting n ON n.oid = t.typnamespace WHERE t.oid >= 16384
UNION ALL
SELECT 'pg_enum', e.oid, 'the labels of enum ' || n.nspname || '.' || t.typname, e.xmin::text
FROM pg_catalog.pg_enum e JOIN pg_catalog.pg_type t ON t.oid = e.enumtypid JOIN lasting n ON n.oid = t.typnamespace WHERE e.oid >= 16384
UNION ALL
SELECT 'pg_rewrite', r.oid, 'rule ' || r.rulename || ' on ' || c.nspname || '.' || c.relname, r.xmin::text
FROM pg_catalog.pg_rewrite r JOIN relation c ON c.oid = r.ev_class WHERE r.oid >= 16384
UNION ALL
SELECT 'pg_trigger', t.oid, 'trigger ' || t.tgname || ' on ' || c.nspname || '.' || c.relname, t.xmin::text
FROM pg_catalog.pg_trigger t JOIN relation c ON c.oid = t.tgrelid WHERE t.oid >= 16384 AND NOT t.tgisinternal
UNION ALL
-- Views, sequences and composite types with their columns; indexes, which are renamed, or made again, beside our locks.
SELECT 'pg_class', c.oid, c.nspname || '.' || c.relname, pg_catalog.concat_ws(' ', c.relname, i.xmin,
    CASE WHEN c.relkind IN ('v', 'm', 'f', 'c') THEN (
        SELECT pg_catalog.string_agg(a.xmin::text, ',' ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0) END)
FROM relation c LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
WHERE c.oid >= 16384 AND c.relkind NOT IN ('r', 'p', 't') AND i.indisvalid IS NOT FALSE AND c.nspname <> 'pg_toast'
UNION ALL
SELECT 'pg_operator', o.oid, 'operator ' || o.oprname, o.xmin::text FROM pg_catalog.pg_operator o WHERE o.oid >= 16384
UNION ALL
SELECT 'pg_opclass', o.oid, 'operator class ' || o.opcname, o.xmin::text FROM pg_catalog.pg_opclass o WHERE o.oid >= 16384
UNION ALL
SELECT 'pg_collation', o.oid, 'collation ' || o.collname, o.xmin::text FROM pg_catalog.pg_collation o WHERE o.oid >= 16384
UNION ALL
SELECT 'pg_ts_config', o.oid, 'text search configuration ' || o.cfgname, o.xmin::text FROM pg_catalog.pg_ts_config o WHERE o.oid >= 16384
UNION ALL
SELECT 'pg_ts_dict', o.oid, 'text search dictionary ' || o.dictname, o.xmin::text FROM pg_catalog.pg_ts_dict o WHERE o.oid >= 16384
UNION ALL
SELECT 'pg_extension', e.oid, 'extension ' || e.extname, e.xmin::text FROM pg_catalog.pg_extension e WHERE e.oid >= 16384
UNION ALL
SELECT 'pg_statistic_ext', s.oid, 'statistics object ' || n.nspname || '.' || s.stxname, s.xmin::text
FROM pg_catalog.pg_statistic_ext s JOIN lasting n ON n.oid = s.stxnamespace WHERE s.oid >= 16384
UNION ALL
SELECT 'pg_namespace', n.oid, 'schema ' || n.nspname, n.xmin::text FROM lasting n WHERE n.oid >= 16384
UNION ALL
-- Privileges are printed with the current names of roles, owners with those of the snapshot.
SELECT 'pg_authid', r.oid, 'role ' || r.rolname, r.rolname::text
FROM pg_catalog.pg_roles r
WHERE r.oid IN (
    SELECT d.refobjid FROM pg_catalog.pg_shdepend d
    WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
      AND d.dbid = (SELECT b.oid FROM pg_catalog.pg_database b WHERE b.datname = pg_catalog.current_database()))
