-- Some rows, some columns, whole schemas.
CREATE PUBLICATION of_parts FOR TABLE zoo_tables.child (id, a) WHERE (id > 5 AND label <> 'it''s') WITH (publish = 'insert');
CREATE PUBLICATION of_schemas FOR TABLES IN SCHEMA zoo_values, "odd schema", TABLE zoo_tables.parent WHERE (label IS NOT NULL) WITH (publish = 'insert');
