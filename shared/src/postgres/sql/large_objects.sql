-- Large objects with owner, privileges and comment, in order of their ids. Their bytes are read with lo_get.
SELECT m.oid,
       pg_catalog.pg_get_userbyid(m.lomowner)::text AS owner,
       ARRAY(SELECT pg_catalog.concat_ws(':', CASE WHEN x.grantee = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(x.grantee) END,
                                         x.privilege_type, x.is_grantable)
             FROM pg_catalog.aclexplode(m.lomacl) x WHERE x.grantee <> m.lomowner
             ORDER BY 1)::text[] AS privileges,
       pg_catalog.obj_description(m.oid, 'pg_largeobject') AS comment
FROM pg_catalog.pg_largeobject_metadata m
ORDER BY m.oid
