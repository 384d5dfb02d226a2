-- Extensions, and what users keep in the tables of some.
CREATE SCHEMA zoo_ext;
CREATE EXTENSION hstore SCHEMA zoo_ext;
CREATE EXTENSION citext SCHEMA zoo_ext;
CREATE EXTENSION ltree SCHEMA zoo_ext;
CREATE EXTENSION cube SCHEMA zoo_ext;
CREATE EXTENSION earthdistance SCHEMA zoo_ext;
CREATE EXTENSION seg SCHEMA zoo_ext;
CREATE EXTENSION isn SCHEMA zoo_ext;
CREATE EXTENSION intarray SCHEMA zoo_ext;
CREATE EXTENSION pg_trgm SCHEMA zoo_ext;
CREATE EXTENSION btree_gist SCHEMA zoo_ext;
CREATE EXTENSION btree_gin SCHEMA zoo_ext;
CREATE EXTENSION bloom SCHEMA zoo_ext;
CREATE EXTENSION lo SCHEMA zoo_ext;
CREATE EXTENSION pgcrypto SCHEMA zoo_ext;
CREATE EXTENSION "uuid-ossp" SCHEMA zoo_ext;
CREATE EXTENSION unaccent SCHEMA zoo_ext;
CREATE EXTENSION dict_int SCHEMA zoo_ext;
CREATE EXTENSION tablefunc SCHEMA zoo_ext;
CREATE EXTENSION tsm_system_rows SCHEMA zoo_ext;
CREATE EXTENSION postgres_fdw SCHEMA zoo_ext;
CREATE EXTENSION file_fdw SCHEMA zoo_ext;
CREATE EXTENSION pg_stat_statements SCHEMA zoo_ext;
COMMENT ON EXTENSION hstore IS 'A comment of our own on an extension';

CREATE EXTENSION bed_settings;
INSERT INTO bed_settings.setting VALUES ('colour of mine', 'green'), ('size of mine', NULL);
INSERT INTO bed_settings.history (note) VALUES ('first'), (E'second\t\\.');
INSERT INTO bed_settings.cache VALUES (1, 'a dump has no right to this');
GRANT SELECT ON bed_settings.cache TO zoo_reader;

SET search_path = zoo_ext;
CREATE TABLE members (
  id     int PRIMARY KEY,
  h      hstore,
  c      citext,
  l      ltree,
  lq     lquery,
  cube   cube,
  place  earth,
  seg    seg,
  isbn   isbn13,
  issn   issn,
  ints   int[],
  lo     lo,
  cs     citext[],
  hs     hstore[]
);
INSERT INTO members VALUES
  (1, '"a b"=>"c\"d", n=>NULL, ""=>""', 'MiXeD', 'Top.Science.Astronomy', '*.Astronomy{1,}', '(1, -2.5), (3, 1e-300)', ll_to_earth(52, 13),
   '1.5 .. 2.50', '978-0-393-04002-9', '1436-4522', '{3,1,2}', NULL, '{A,a,NULL}', '{"a=>1",NULL}'),
  (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (3, '', '', '', '*', '(0)', NULL, '<9', NULL, NULL, '{}', NULL, '{}', '{}');
CREATE INDEX members_hstore ON members USING gist (h);
CREATE INDEX members_trigram ON members USING gin ((c::text) gin_trgm_ops);
CREATE INDEX members_path ON members USING gist (l gist_ltree_ops (siglen = 100));
CREATE INDEX members_ints ON members USING gin (ints gin__int_ops);
CREATE INDEX members_bloom ON members USING bloom (id) WITH (length = 80, col1 = 2);
RESET search_path;
