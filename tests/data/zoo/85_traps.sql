-- Databases that pg_dump followed by pg_restore cannot carry over: the rows of a table need more than the table.
CREATE SCHEMA zoo_traps;
SET search_path = zoo_traps;

-- A check that asks another table, which sorts after it.
CREATE TABLE a_checked (id int PRIMARY KEY, kind text);
CREATE TABLE z_kinds (kind text PRIMARY KEY);
INSERT INTO z_kinds VALUES ('known'), ('also known');
CREATE FUNCTION is_kind(text) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT EXISTS (SELECT FROM zoo_traps.z_kinds WHERE kind = $1)';
ALTER TABLE a_checked ADD CONSTRAINT kind_is_known CHECK (is_kind(kind));
INSERT INTO a_checked SELECT i, 'known' FROM generate_series(1, 10) AS i;

-- A check that finds its function's helper through the search path.
CREATE FUNCTION helper(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
CREATE FUNCTION needs_path(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN helper($1); END';
CREATE TABLE path_checked (id int CHECK (needs_path(id)));
INSERT INTO path_checked VALUES (1), (2);

-- A check whose own rows no longer pass.
CREATE FUNCTION is_allowed(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 < 100';
CREATE TABLE outdated_check (id int, CONSTRAINT allowed CHECK (is_allowed(id)), note text);
INSERT INTO outdated_check VALUES (1, 'still fine'), (50, 'no longer');
CREATE OR REPLACE FUNCTION is_allowed(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 < 10';
CREATE DOMAIN allowed_number AS int CHECK (is_allowed(VALUE));

-- A generated column whose function has changed since, so that what is stored cannot be computed again.
CREATE FUNCTION factor() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2';
CREATE TABLE outdated_generated (id int, g int GENERATED ALWAYS AS (id * factor()) STORED);
INSERT INTO outdated_generated VALUES (1), (2);
CREATE OR REPLACE FUNCTION factor() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 3';

-- Names of things that exist only after the rows: an index, a constraint's index, a foreign key has none.
CREATE TABLE indexed (id int PRIMARY KEY, t text);
CREATE INDEX indexed_t ON indexed (t);
CREATE TABLE a_names_of_indexes (id int, which regclass);
INSERT INTO a_names_of_indexes VALUES (1, 'indexed_t'), (2, 'indexed_pkey'), (3, 'indexed'), (4, NULL);

-- Another table access method, though it is heap by another name.
CREATE ACCESS METHOD second_heap TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE in_second_heap (id int PRIMARY KEY, t text) USING second_heap;
INSERT INTO in_second_heap SELECT i, 'row ' || i FROM generate_series(1, 500) AS i;

-- A child whose columns stand in another order than its parent's: pg_dump's CREATE TABLE … INHERITS puts them in the
-- parent's.
CREATE TABLE parent (a int, b text);
CREATE TABLE joined_later (own int, b text, a int);
INSERT INTO joined_later VALUES (1, 'b', 2);
ALTER TABLE joined_later INHERIT parent;

-- A view that is printed differently once it has been printed and read.
CREATE VIEW second_print AS (SELECT 1 EXCEPT SELECT 2) UNION ALL VALUES (7), (8);

-- A row that its foreign key would refuse: it came in while the triggers were off.
CREATE TABLE referred (id int PRIMARY KEY);
CREATE TABLE orphaned (id int, other int REFERENCES referred);
ALTER TABLE orphaned DISABLE TRIGGER ALL;
INSERT INTO orphaned VALUES (1, 9999), (2, NULL);
ALTER TABLE orphaned ENABLE TRIGGER ALL;

-- An index upon an expression that asks another table.
CREATE FUNCTION kind_of(int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT kind FROM zoo_traps.a_checked WHERE id = $1';
CREATE TABLE indexed_by_others (id int);
INSERT INTO indexed_by_others VALUES (1), (2);
CREATE INDEX indexed_by_kind ON indexed_by_others (kind_of(id));

-- An invalid index, and one that was left behind by a failed build.
CREATE TABLE badly_indexed (id int, t text);
INSERT INTO badly_indexed VALUES (1, 'twice'), (2, 'twice');
CREATE UNIQUE INDEX left_behind ON badly_indexed (id);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'left_behind'::regclass;

-- A materialized view that asks through the search path; 17 and later refuse to make one.
CREATE FUNCTION unqualified() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM z_kinds); END';
DO $$
BEGIN
  IF current_setting('server_version_num')::int < 170000 THEN
    CREATE MATERIALIZED VIEW path_view AS SELECT unqualified() AS n;
  END IF;
END $$;

-- What everybody should do, and what pg_dump 18 takes for the default: on a server 14 it is lost.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
