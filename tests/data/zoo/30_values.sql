-- Values that a careless reader or writer of COPY text gets wrong.
CREATE SCHEMA zoo_values;
SET search_path = zoo_values;

CREATE TABLE one_column (t text);
INSERT INTO one_column VALUES
  ('\.'), (''), (NULL), ('\N'), ('NULL'), ('\'), ('\\'), ('\\.'), ('.'), (E'\\.\n'), (E'\n\\.\n'), (E'a\n\\.\nb'), ('\t'), (E'\t'), (E'\n'), (E'\r'), (E'\r\n'), (E'\n\n'), (' '),
  ('\x41'), ('\101'), ('\b\f\n\r\t\v'), ('"'), (''''), (','), ('"quoted",csv'), ('$1'), ('%s'), ('{}'), ('--'), ('/* */'), ('; DROP TABLE one_column;'), (E'end\\'), (E'\\\n'), (E'\\\\\n');
INSERT INTO one_column SELECT chr(i) FROM generate_series(1, 255) AS i;
INSERT INTO one_column SELECT 'x' || chr(i) || 'y' FROM generate_series(1, 31) AS i;

CREATE TABLE every_byte (id int PRIMARY KEY, b bytea NOT NULL);
INSERT INTO every_byte SELECT i, decode(lpad(to_hex(i), 2, '0'), 'hex') FROM generate_series(0, 255) AS i;
INSERT INTO every_byte SELECT 256, string_agg(b, '' ORDER BY id) FROM every_byte;

CREATE TABLE many_nulls (a text, b text, c text, d text);
INSERT INTO many_nulls VALUES (NULL, NULL, NULL, NULL), ('', '', '', ''), (NULL, '', NULL, ''), ('\N', NULL, '\N', NULL), (E'\t', NULL, E'\t', '');
-- Rows that are equal twice: a fingerprint that cancels them out would miss them.
INSERT INTO many_nulls SELECT 'twin', NULL, NULL, NULL FROM generate_series(1, 4);

CREATE TABLE wide_rows (id int PRIMARY KEY, short text, long text, bytes bytea, list text[]);
INSERT INTO wide_rows
SELECT i, 'short', repeat(md5(i::text), i * 20000), decode(repeat(md5('b' || i), 10000), 'hex'), ARRAY(SELECT md5(n::text) FROM generate_series(1, i * 1000) AS n)
FROM generate_series(1, 4) AS i;
INSERT INTO wide_rows VALUES (5, 'one value of 8 MB', repeat(E'\\\t', 4 << 20), NULL, NULL), (6, NULL, NULL, NULL, '{}');

-- Many pages, some of them emptied again, so that block ranges with nothing in them exist.
CREATE TABLE many_pages (id int PRIMARY KEY, filler text) WITH (autovacuum_enabled = false);
INSERT INTO many_pages SELECT i, repeat('f', 500) FROM generate_series(1, 20000) AS i;
DELETE FROM many_pages WHERE id BETWEEN 5000 AND 15000;
UPDATE many_pages SET filler = 'updated' WHERE id % 100 = 0;
DELETE FROM many_pages WHERE id > 19000;

CREATE TABLE no_rows (id int PRIMARY KEY, t text);
CREATE TABLE only_deleted_rows (id int);
INSERT INTO only_deleted_rows SELECT generate_series(1, 1000);
DELETE FROM only_deleted_rows;

-- Without columns, yet with rows.
CREATE TABLE no_columns ();
INSERT INTO no_columns SELECT FROM generate_series(1, 5);
CREATE TABLE no_columns_no_rows ();
CREATE TABLE no_columns_any_more (a int, b text);
INSERT INTO no_columns_any_more VALUES (1, 'x'), (2, 'y');
ALTER TABLE no_columns_any_more DROP COLUMN a, DROP COLUMN b;

-- Columns dropped, added with defaults that no row stores, and changed.
CREATE TABLE lived_in (a int, dropped_first text, b text, dropped_middle int, c date);
INSERT INTO lived_in SELECT i, 'gone', 'b' || i, i, date '2026-01-01' + i FROM generate_series(1, 50) AS i;
ALTER TABLE lived_in DROP COLUMN dropped_first, DROP COLUMN dropped_middle;
ALTER TABLE lived_in ADD COLUMN fast_default text DEFAULT E'never\tstored', ADD COLUMN computed_default int NOT NULL DEFAULT 40 + 2, ADD COLUMN late int;
ALTER TABLE lived_in ALTER COLUMN a TYPE bigint;
INSERT INTO lived_in VALUES (51, 'b51', NULL, 'own', 7, 1), (52, NULL, NULL, NULL, 1, NULL);

DO $$
BEGIN
  EXECUTE (SELECT 'CREATE TABLE zoo_values.most_columns (' || string_agg(format('c%s %s', i, (ARRAY['int', 'boolean', '"char"', 'smallint'])[1 + i % 4]), ', ') || ')' FROM generate_series(1, 1600) AS i);
  INSERT INTO zoo_values.most_columns (c1, c800, c1600) VALUES (false, 8, 16), (true, NULL, NULL), (NULL, NULL, -1);
END $$;
INSERT INTO most_columns DEFAULT VALUES;
