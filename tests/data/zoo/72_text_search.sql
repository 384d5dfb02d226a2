-- Text search and collations.
CREATE SCHEMA zoo_text;
SET search_path = zoo_text;

CREATE TEXT SEARCH PARSER my_parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype, HEADLINE = prsd_headline);
CREATE TEXT SEARCH TEMPLATE my_template (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH DICTIONARY my_simple (TEMPLATE = my_template, STOPWORDS = 'english', ACCEPT = false);
CREATE TEXT SEARCH DICTIONARY my_snowball (TEMPLATE = pg_catalog.snowball, LANGUAGE = 'german');
CREATE TEXT SEARCH DICTIONARY my_numbers (TEMPLATE = zoo_ext.intdict_template, MAXLEN = 3);
CREATE TEXT SEARCH CONFIGURATION my_search (PARSER = my_parser);
ALTER TEXT SEARCH CONFIGURATION my_search ADD MAPPING FOR asciiword, word WITH my_simple, my_snowball;
ALTER TEXT SEARCH CONFIGURATION my_search ADD MAPPING FOR int, uint WITH my_numbers;
CREATE TEXT SEARCH CONFIGURATION "odd search" (COPY = pg_catalog.french);
ALTER TEXT SEARCH CONFIGURATION my_search OWNER TO zoo_owner;
ALTER TEXT SEARCH DICTIONARY my_simple OWNER TO zoo_owner;
COMMENT ON TEXT SEARCH PARSER my_parser IS 'A comment on a parser';
COMMENT ON TEXT SEARCH TEMPLATE my_template IS 'A comment on a template';
COMMENT ON TEXT SEARCH DICTIONARY my_simple IS 'A comment on a dictionary';
COMMENT ON TEXT SEARCH CONFIGURATION my_search IS 'A comment on a configuration';
CREATE TABLE searched (id int, t text, v tsvector GENERATED ALWAYS AS (to_tsvector('zoo_text.my_search', t)) STORED, with_config regconfig DEFAULT 'zoo_text."odd search"');
INSERT INTO searched (id, t) VALUES (1, 'Die schnellen Katzen 12345'), (2, NULL), (3, '');
CREATE INDEX searched_v ON searched USING gin (v);
CREATE INDEX searched_expression ON searched USING gist (to_tsvector('zoo_text.my_search', t));

CREATE COLLATION copied FROM "C";
CREATE COLLATION no_case (PROVIDER = icu, LOCALE = 'und-u-ks-level2', DETERMINISTIC = false);
CREATE COLLATION digits (PROVIDER = icu, LOCALE = 'en-u-kn-true');
CREATE COLLATION "odd Collation" (PROVIDER = libc, LC_COLLATE = 'C', LC_CTYPE = 'POSIX');
ALTER COLLATION no_case OWNER TO zoo_owner;
COMMENT ON COLLATION no_case IS 'A comment on a collation';
CREATE TABLE collated (k text COLLATE no_case PRIMARY KEY, d text COLLATE digits UNIQUE, c text COLLATE "odd Collation");
INSERT INTO collated VALUES ('Straße', 'item 10', 'b'), ('ABC', 'item 9', 'B'), ('é', 'item 2', NULL);
CREATE TABLE refers_without_case (k text COLLATE no_case REFERENCES collated);
INSERT INTO refers_without_case VALUES ('abc'), ('STRAßE'), ('É');
CREATE TABLE by_collation (k text COLLATE digits) PARTITION BY RANGE (k);
CREATE TABLE by_collation_low PARTITION OF by_collation FOR VALUES FROM (MINVALUE) TO ('item 10');
CREATE TABLE by_collation_high PARTITION OF by_collation FOR VALUES FROM ('item 10') TO (MAXVALUE);
INSERT INTO by_collation SELECT 'item ' || i FROM generate_series(1, 30) AS i;
