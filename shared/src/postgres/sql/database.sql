-- What CREATE DATABASE and ALTER DATABASE must say again. The columns differ by version: to_jsonb reads whichever are there.
SELECT d.oid, d.datname::text AS name, pg_catalog.pg_get_userbyid(d.datdba)::text AS owner,
       pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding,
       d.datcollate::text AS collate, d.datctype::text AS ctype, d.datconnlimit AS connection_limit,
       CASE pg_catalog.to_jsonb(d) ->> 'datlocprovider' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END AS provider,
       coalesce(pg_catalog.to_jsonb(d) ->> 'datlocale', pg_catalog.to_jsonb(d) ->> 'daticulocale') AS locale,
       pg_catalog.to_jsonb(d) ->> 'daticurules' AS icu_rules,
       pg_catalog.to_jsonb(d) ->> 'datcollversion' AS collation_version,
       pg_catalog.shobj_description(d.oid, 'pg_database') AS comment,
       d.datacl IS NOT NULL AS has_privileges,
       ARRAY(SELECT pg_catalog.concat_ws(':', CASE WHEN x.grantee = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(x.grantee) END,
                                         x.privilege_type, x.is_grantable)
             FROM pg_catalog.aclexplode(d.datacl) x ORDER BY 1)::text[] AS privileges
FROM pg_catalog.pg_database d
WHERE d.datname = pg_catalog.current_database()
