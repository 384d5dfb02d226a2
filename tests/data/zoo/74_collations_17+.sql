-- Collations that PostgreSQL brings itself.
CREATE COLLATION zoo_text.built_in (PROVIDER = builtin, LOCALE = 'C.UTF-8');
CREATE TABLE zoo_text.built_in_rows (t text COLLATE zoo_text.built_in);
INSERT INTO zoo_text.built_in_rows VALUES ('Ä'), ('a');
