CREATE FUNCTION check_control_type(control text) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$ SELECT control <> '' $$;
CREATE TABLE part_config (
    parent_table text PRIMARY KEY, control text NOT NULL, partition_interval text NOT NULL, retention text,
    CONSTRAINT control_check CHECK (check_control_type(control)));
SELECT pg_catalog.pg_extension_config_dump('part_config', '');
