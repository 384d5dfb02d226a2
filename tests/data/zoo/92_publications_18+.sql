CREATE PUBLICATION of_generated FOR TABLE zoo_tables.virtual_columns (a, stored) WITH (publish_generated_columns = stored, publish = 'insert');
