-- Populated materialized views, each after those it reads, through views as well.
WITH RECURSIVE reads(view, relation) AS (
    SELECT r.ev_class, d.refobjid
    FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_depend d
      ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
     AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
    WHERE c.relkind IN ('v', 'm') AND d.refobjid <> r.ev_class AND r.ev_type = '1'
), depth(view, steps) AS (
    SELECT c.oid, 0 FROM pg_catalog.pg_class c WHERE c.relkind IN ('v', 'm')
  UNION
    SELECT reads.view, depth.steps + 1
    FROM depth JOIN reads ON reads.relation = depth.view
    WHERE depth.steps < 200
)
SELECT n.nspname::text AS schema, c.relname::text AS name
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN (SELECT view, max(steps) AS steps FROM depth GROUP BY view) o ON o.view = c.oid
WHERE c.relkind = 'm' AND c.relispopulated AND n.nspname !~ '^pg_(toast_)?temp_'
ORDER BY o.steps, n.nspname COLLATE "C", c.relname COLLATE "C"
