-- Roles that something in this database refers to, without passwords.
SELECT r.rolname::text AS name, r.rolcanlogin AS can_login, r.rolinherit AS inherits,
       ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_auth_members am
             JOIN pg_catalog.pg_roles g ON g.oid = am.roleid
             WHERE am.member = r.oid ORDER BY g.rolname)::text[] AS member_of
FROM pg_catalog.pg_roles r
WHERE r.rolname !~ '^pg_'
  AND (EXISTS (SELECT FROM pg_catalog.pg_shdepend d
               WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.refobjid = r.oid
                 AND (d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
                      OR d.classid = 'pg_catalog.pg_database'::pg_catalog.regclass
                         AND d.objid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())))
       OR r.oid = (SELECT datdba FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
ORDER BY r.rolname COLLATE "C"
