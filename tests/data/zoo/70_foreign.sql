-- Foreign data: wrappers, servers, users' passwords on them, tables that cannot be read.
CREATE SCHEMA zoo_foreign;
SET search_path = zoo_foreign;

CREATE FOREIGN DATA WRAPPER no_handler OPTIONS (debug 'true', "odd option" 'it''s');
CREATE SERVER nowhere TYPE 'kind' VERSION '1.2' FOREIGN DATA WRAPPER no_handler OPTIONS (host 'nowhere.invalid');
CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'elsewhere.invalid', dbname 'other', connect_timeout '2');
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE USER MAPPING FOR zoo_owner SERVER elsewhere OPTIONS (user 'remote', password 'zoo-user-mapping-secret');
CREATE USER MAPPING FOR PUBLIC SERVER nowhere OPTIONS (anything 'it''s \ odd');
CREATE USER MAPPING FOR "Zoo Rôle; --""" SERVER elsewhere OPTIONS (user 'odd');
GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO zoo_owner;
GRANT USAGE ON FOREIGN SERVER elsewhere TO zoo_reader WITH GRANT OPTION;
ALTER SERVER elsewhere OWNER TO zoo_owner;

CREATE FOREIGN TABLE remote (id int OPTIONS (column_name 'ID') NOT NULL, t text COLLATE "C" DEFAULT 'x', CONSTRAINT positive CHECK (id > 0)) SERVER elsewhere OPTIONS (schema_name 'public', table_name 'it''s');
CREATE FOREIGN TABLE remote_unwrapped (id int) SERVER nowhere;
ALTER FOREIGN TABLE remote OWNER TO zoo_owner;
GRANT SELECT ON remote TO zoo_reader;
CREATE VIEW upon_remote AS SELECT * FROM remote;
COMMENT ON FOREIGN DATA WRAPPER no_handler IS 'A comment on a wrapper';
COMMENT ON SERVER nowhere IS 'A comment on a server';
COMMENT ON FOREIGN TABLE remote IS 'A comment on a foreign table';

-- Half of a partitioned table is far away; so is a child.
CREATE TABLE half_remote (id int, t text) PARTITION BY RANGE (id);
CREATE TABLE half_remote_here PARTITION OF half_remote FOR VALUES FROM (0) TO (100);
CREATE FOREIGN TABLE half_remote_there PARTITION OF half_remote FOR VALUES FROM (100) TO (200) SERVER elsewhere OPTIONS (table_name 'half');
INSERT INTO half_remote_here SELECT i, 'here ' || i FROM generate_series(0, 50) AS i;
CREATE TABLE local_parent (id int, t text);
CREATE FOREIGN TABLE remote_child () INHERITS (local_parent) SERVER elsewhere;
INSERT INTO local_parent VALUES (1, 'local');
