-- Of `setting` a dump holds what the user added, of `history` everything, of `cache` nothing.
CREATE TABLE setting (name text PRIMARY KEY, value text, is_standard boolean NOT NULL DEFAULT false);
INSERT INTO setting VALUES ('colour', 'blue', true), ('size', 'small', true);
CREATE SEQUENCE history_id;
CREATE TABLE history (id bigint PRIMARY KEY DEFAULT nextval('history_id'), note text);
CREATE TABLE cache (id int, note text);

SELECT pg_catalog.pg_extension_config_dump('setting', 'WHERE NOT is_standard');
SELECT pg_catalog.pg_extension_config_dump('history', '');
SELECT pg_catalog.pg_extension_config_dump('history_id', '');
