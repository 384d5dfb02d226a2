-- What Lifeboat looks at in TimescaleDB: its notes about hypertables, which a dump holds, and chunks that inherit from them.
CREATE SCHEMA _timescaledb_catalog;
CREATE SCHEMA _timescaledb_internal;
CREATE TABLE _timescaledb_catalog.hypertable (id serial PRIMARY KEY, schema_name name NOT NULL, table_name name NOT NULL);
CREATE TABLE _timescaledb_catalog.chunk (
    id serial PRIMARY KEY, hypertable_id int NOT NULL REFERENCES _timescaledb_catalog.hypertable, schema_name name, table_name name);
SELECT pg_catalog.pg_extension_config_dump('_timescaledb_catalog.hypertable', '');
SELECT pg_catalog.pg_extension_config_dump('_timescaledb_catalog.hypertable_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('_timescaledb_catalog.chunk', '');
SELECT pg_catalog.pg_extension_config_dump('_timescaledb_catalog.chunk_id_seq', '');
GRANT USAGE ON SCHEMA _timescaledb_catalog, _timescaledb_internal TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA _timescaledb_catalog TO PUBLIC;

CREATE FUNCTION create_hypertable(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  number int;
  chunk text;
BEGIN
  INSERT INTO _timescaledb_catalog.hypertable (schema_name, table_name)
  SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation
  RETURNING id INTO number;
  chunk := format('_hyper_%s_1_chunk', number);
  EXECUTE format('CREATE TABLE _timescaledb_internal.%I () INHERITS (%s)', chunk, relation);
  EXECUTE format('WITH moved AS (DELETE FROM ONLY %s RETURNING *) INSERT INTO _timescaledb_internal.%I SELECT * FROM moved', relation, chunk);
  INSERT INTO _timescaledb_catalog.chunk (hypertable_id, schema_name, table_name) VALUES (number, '_timescaledb_internal', chunk);
END $$;
