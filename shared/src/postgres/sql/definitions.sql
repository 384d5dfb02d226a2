-- Every definition that is printed from the server's current state instead of the snapshot's, with the transaction that made it.
WITH lasting AS (
    SELECT n.oid, n.xmin FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_(toast_)?temp_'
), relation AS (
    SELECT c.oid FROM pg_catalog.pg_class c JOIN lasting n ON n.oid = c.relnamespace
)
SELECT 'pg_proc' AS catalog, p.oid, p.xmin::text AS made_by FROM pg_catalog.pg_proc p JOIN lasting n ON n.oid = p.pronamespace WHERE p.oid >= 16384
UNION ALL
SELECT 'pg_type', t.oid, t.xmin::text FROM pg_catalog.pg_type t JOIN lasting n ON n.oid = t.typnamespace WHERE t.oid >= 16384
UNION ALL
SELECT 'pg_enum', e.oid, e.xmin::text FROM pg_catalog.pg_enum e WHERE e.oid >= 16384
UNION ALL
SELECT 'pg_rewrite', r.oid, r.xmin::text FROM pg_catalog.pg_rewrite r JOIN relation c ON c.oid = r.ev_class WHERE r.oid >= 16384
UNION ALL
SELECT 'pg_trigger', t.oid, t.xmin::text FROM pg_catalog.pg_trigger t JOIN relation c ON c.oid = t.tgrelid WHERE t.oid >= 16384 AND NOT t.tgisinternal
UNION ALL
SELECT 'pg_operator', o.oid, o.xmin::text FROM pg_catalog.pg_operator o WHERE o.oid >= 16384
UNION ALL
SELECT 'pg_statistic_ext', s.oid, s.xmin::text FROM pg_catalog.pg_statistic_ext s JOIN lasting n ON n.oid = s.stxnamespace WHERE s.oid >= 16384
UNION ALL
SELECT 'pg_namespace', n.oid, n.xmin::text FROM lasting n WHERE n.oid >= 16384
