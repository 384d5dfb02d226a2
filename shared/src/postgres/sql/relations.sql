-- Relations of users, with what is needed to lock, read and name them. Run inside the snapshot's transaction, after the locks.
SELECT c.oid,
       n.nspname::text AS schema,
       c.relname::text AS name,
       c.relkind::text AS kind,
       c.relpersistence::text AS persistence,
       c.relispartition AS is_partition,
       c.relispopulated AS is_populated,
       coalesce(am.amname::text, '') AS access_method,
       c.relfilenode AS filenode,
       -- What the storage manager says now, not what the snapshot sees: they differ after a rewrite.
       coalesce(pg_catalog.pg_relation_filenode(c.oid), 0) AS filenode_now,
       -- Without a lock the table may be gone by now.
       CASE WHEN c.relkind = 'r' THEN coalesce(pg_catalog.pg_relation_size(c.oid), 0) ELSE 0 END AS heap_bytes,
       e.extname::text AS extension,
       cfg.condition AS extension_condition
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
LEFT JOIN pg_catalog.pg_depend d
       ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.objsubid = 0
      AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
LEFT JOIN LATERAL (
    SELECT e.extcondition[i] AS condition
    FROM pg_catalog.generate_subscripts(e.extconfig, 1) AS i
    WHERE e.extconfig[i] = c.oid
) cfg ON true
WHERE c.relkind IN ('r', 'p', 'f', 'm', 'S')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND n.nspname !~ '^pg_(toast_)?temp_'
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
