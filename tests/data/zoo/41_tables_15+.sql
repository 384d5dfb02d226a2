-- Unlogged sequences, nulls that are not distinct, foreign keys that clear some columns.
SET search_path = zoo_tables;
CREATE UNLOGGED SEQUENCE unlogged_sequence START 9;
SELECT nextval('unlogged_sequence');
CREATE TABLE one_null (a int, b int, UNIQUE NULLS NOT DISTINCT (a, b));
INSERT INTO one_null VALUES (1, NULL), (NULL, NULL);
CREATE UNIQUE INDEX one_null_b ON one_null (a) NULLS NOT DISTINCT;
CREATE TABLE some_cleared (tenant int, label text, FOREIGN KEY (label) REFERENCES parent (label) ON DELETE SET NULL (label));
INSERT INTO some_cleared VALUES (1, 'label 1');
