-- Owners, privileges and policies.
CREATE SCHEMA zoo_security AUTHORIZATION zoo_owner;
SET search_path = zoo_security;

CREATE TABLE secrets (id int PRIMARY KEY, owner name DEFAULT current_user, level int, body text);
INSERT INTO secrets SELECT i, CASE WHEN i % 2 = 0 THEN 'zoo_reader' ELSE 'zoo_owner' END, i, 'body ' || i FROM generate_series(1, 20) AS i;
ALTER TABLE secrets OWNER TO zoo_owner;
ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON secrets USING (owner = current_user) WITH CHECK (owner = current_user AND level < 10);
CREATE POLICY low_rows ON secrets AS RESTRICTIVE FOR SELECT TO zoo_reader, zoo_writer USING (level < 5);
CREATE POLICY may_insert ON secrets FOR INSERT TO PUBLIC WITH CHECK (level > 0);
CREATE POLICY may_update ON secrets FOR UPDATE TO "Zoo Rôle; --""" USING (EXISTS (SELECT FROM secrets AS s WHERE s.level = 1));
CREATE POLICY may_delete ON secrets FOR DELETE TO CURRENT_USER USING (false);
COMMENT ON POLICY own_rows ON secrets IS 'A comment on a policy';

CREATE TABLE not_forced (id int);
INSERT INTO not_forced VALUES (1), (2);
ALTER TABLE not_forced OWNER TO zoo_owner;
ALTER TABLE not_forced ENABLE ROW LEVEL SECURITY;
CREATE TABLE sleeping_policy (id int);
CREATE POLICY sleeping ON sleeping_policy USING (id > 0);
INSERT INTO sleeping_policy VALUES (1), (-1);
CREATE TABLE parts (id int, t text) PARTITION BY LIST (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
ALTER TABLE parts_1 ENABLE ROW LEVEL SECURITY;
INSERT INTO parts VALUES (1, 'x');

CREATE TABLE granted (a int, b int, c int);
CREATE SEQUENCE granted_sequence;
CREATE FUNCTION granted_function(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE granted_procedure() LANGUAGE sql AS '';
CREATE TYPE granted_type AS ENUM ('a');
CREATE DOMAIN granted_domain AS int;
CREATE VIEW granted_view AS SELECT * FROM granted;
GRANT ALL ON granted TO zoo_owner WITH GRANT OPTION;
GRANT SELECT (a), UPDATE (a, b), REFERENCES (c) ON granted TO zoo_reader;
GRANT SELECT, TRIGGER, TRUNCATE ON granted TO PUBLIC;
GRANT USAGE ON SEQUENCE granted_sequence TO zoo_writer;
REVOKE ALL ON FUNCTION granted_function(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION granted_function(int) TO zoo_reader;
REVOKE EXECUTE ON PROCEDURE granted_procedure FROM PUBLIC;
REVOKE USAGE ON TYPE granted_type FROM PUBLIC;
GRANT USAGE ON TYPE granted_domain TO zoo_reader WITH GRANT OPTION;
GRANT SELECT, INSERT ON granted_view TO zoo_reader;
GRANT USAGE, CREATE ON SCHEMA zoo_security TO zoo_writer;
GRANT USAGE ON SCHEMA zoo_tables, zoo_values TO PUBLIC;
GRANT USAGE ON LANGUAGE second_plpgsql TO zoo_reader;
COMMENT ON SCHEMA zoo_security IS 'A comment on a schema';
-- Granted by somebody else than the owner.
SET ROLE zoo_owner;
GRANT INSERT ON granted TO zoo_writer;
GRANT SELECT ON secrets TO zoo_reader;
RESET ROLE;
-- The owner himself has none.
CREATE TABLE disowned (id int);
INSERT INTO disowned VALUES (1);
ALTER TABLE disowned OWNER TO zoo_owner;
REVOKE ALL ON disowned FROM zoo_owner;
-- Rights on what belongs to the system.
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO zoo_owner;
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep_for(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_sleep_for(interval) TO zoo_reader;

ALTER DEFAULT PRIVILEGES IN SCHEMA zoo_security GRANT SELECT ON TABLES TO zoo_reader;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO zoo_writer;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner IN SCHEMA zoo_security GRANT ALL ON SEQUENCES TO zoo_writer WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner GRANT USAGE ON TYPES TO zoo_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner GRANT USAGE ON SCHEMAS TO zoo_reader;

-- Every kind of object with another owner.
CREATE TABLE owned_elsewhere (id int GENERATED ALWAYS AS IDENTITY);
ALTER TABLE owned_elsewhere OWNER TO "Zoo Rôle; --""";
ALTER SEQUENCE granted_sequence OWNER TO zoo_owner;
ALTER FUNCTION granted_function OWNER TO zoo_owner;
ALTER TYPE granted_type OWNER TO zoo_owner;
ALTER DOMAIN granted_domain OWNER TO zoo_owner;
ALTER VIEW granted_view OWNER TO zoo_owner;
