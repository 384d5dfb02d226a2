-- Every built-in type that a column can have, at its extremes; a test fails when PostgreSQL has one that is not here.
CREATE SCHEMA zoo_types;
SET search_path = zoo_types, public;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

CREATE TABLE numbers (
  id int PRIMARY KEY, i2 smallint, i4 int, i8 bigint, n numeric, n52 numeric(5, 2), wide numeric(1000, 500), f4 real, f8 double precision, m money, b boolean
);
INSERT INTO numbers VALUES
  (1, -32768, -2147483648, -9223372036854775808, '-Infinity', -999.99, repeat('9', 500)::numeric, '-Infinity', '-Infinity', '-92233720368547758.08', false),
  (2, 32767, 2147483647, 9223372036854775807, 'Infinity', 999.99, ('0.' || repeat('0', 499) || '1')::numeric, 'Infinity', 'Infinity', '92233720368547758.07', true),
  (3, 0, 0, 0, 'NaN', 'NaN', 'NaN', 'NaN', 'NaN', 0, NULL),
  (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (5, 1, 1, 1, 0.00000000000000000000000000001, 0.01, 0, '-0', '-0', 0.01, true),
  (6, 1, 1, 1, 1.50000, 1.50, 1, 1.17549435e-38, 2.2250738585072014e-308, 1, true),
  (7, 1, 1, 1, ('1' || repeat('0', 1000))::numeric, 1, 1, 1.4e-45, 4.9406564584124654e-324, 1, true),
  (8, 1, 1, 1, 1e-16383::numeric, 1, 1, 3.4028234e38, 1.7976931348623157e308, 1, true),
  (9, 1, 1, 1, 0.1 + 0.2, 1, 1, 0.1::real + 0.2::real, 0.1::float8 + 0.2::float8, 1, true);

CREATE TABLE characters (
  id int PRIMARY KEY, t text, v varchar, v5 varchar(5), c char(5), single "char", n name, b bytea
);
INSERT INTO characters VALUES
  (1, '', '', '', '', '', '', ''),
  (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (3, 'NULL', '\N', '\.', 'ab', 'a', 'a name', '\x00'),
  (4, repeat('żółw 🐢 ', 1000), 'é', 'ééééé', '表 ', '\', repeat('n', 63), decode(repeat('00ff5c2e0a', 2000), 'hex')),
  (5, E'combining: e\u0301, right to left: \u202eabc, zero width: \u200b, byte order mark: \ufeff, highest: \U0010FFFF', NULL, NULL, NULL, '7', NULL, NULL);
INSERT INTO characters (id, single) SELECT 1000 + i, i::"char" FROM generate_series(0, 127) AS i;

CREATE TABLE moments (
  id int PRIMARY KEY, d date, t time, t0 time(0), tz timetz, ts timestamp, ts3 timestamp(3), tstz timestamptz, i interval, ym interval year to month, i2 interval second(2)
);
INSERT INTO moments VALUES
  (1, '-infinity', '00:00', '00:00', '00:00+15:59:59', '-infinity', '-infinity', '-infinity', '-178000000 years', '-1 year -2 months', '1.239'),
  (2, 'infinity', '24:00', '24:00', '24:00-15:59:59', 'infinity', 'infinity', 'infinity', '178000000 years', '5 years', '59.99'),
  (3, '4713-11-24 BC', '12:34:56.789012', '12:34:56', '12:34:56.789012+05:45', '4713-11-24 00:00:00 BC', '0001-01-01 BC', '4713-11-24 00:00:00+00 BC', '1 mon -1 day +00:00:01', NULL, NULL),
  (4, '5874897-12-31', '23:59:59.999999', NULL, '23:59:60+00', '294276-12-31 23:59:59.999999', NULL, '294276-12-31 23:59:59.999999+00', '-1 mon +2 days -03:04:05.6', NULL, NULL),
  (5, '0044-03-15 BC', NULL, NULL, NULL, '0044-03-15 12:00 BC', NULL, '2026-03-29 02:30:00 Europe/Berlin', '-00:00:00.000001', NULL, NULL),
  (6, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (7, '2000-02-29', NULL, NULL, NULL, '1999-12-31 23:59:59.999999', NULL, '1900-01-01 00:00:00 Asia/Kathmandu', '0', '0', '0');

CREATE TABLE shapes (
  id int PRIMARY KEY, p point, l line, s lseg, b box, open_path path, closed_path path, poly polygon, c circle
);
INSERT INTO shapes VALUES
  (1, '(1,2)', '{1,-1,0}', '[(0,0),(1,1)]', '(1,1),(0,0)', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '((0,0),(1,1),(2,0))', '<(0,0),5>'),
  (2, '(NaN,Infinity)', '{0,1,-1e300}', '[(-Infinity,0),(1e-300,1)]', '(Infinity,1),(-Infinity,0)', '[(0.1,0.2)]', '((0,0))', '((1e300,-1e300))', '<(0.1,0.2),0>'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE addresses (id int PRIMARY KEY, i inet, c cidr, m macaddr, m8 macaddr8);
INSERT INTO addresses VALUES
  (1, '192.168.0.1/24', '192.168.0.0/24', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05'),
  (2, '::ffff:1.2.3.4', '::/0', '00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff:ff:ff'),
  (3, '2001:db8::1/128', '2001:db8::/32', 'ff:ff:ff:ff:ff:ff', '08:00:2b:ff:fe:01:02:03'),
  (4, '0.0.0.0', '10/8', NULL, NULL);

CREATE TABLE bits (id int PRIMARY KEY, one bit, fixed bit(12), varying bit varying, limited bit varying(5));
INSERT INTO bits VALUES (1, B'0', B'101010101010', B'', B'10101'), (2, B'1', X'FFF', repeat('10', 5000)::varbit, B''), (3, NULL, NULL, NULL, NULL);

CREATE TABLE documents (id int PRIMARY KEY, j json, jb jsonb, jp jsonpath, x xml, tv tsvector, tq tsquery, u uuid);
INSERT INTO documents VALUES
  (1, '{"a": 1,  "a": 2, "b":"\u00e9\ud83d\udc22\\n\t"}', '{"b": [1, 2.50, 1e-10, null, true], "a": {"": "\\.\t"}}', '$.a[*] ? (@.b > 1 && @.c like_regex "^x\\d" flag "i")',
   '<a b="1">t &amp; <![CDATA[<raw>]]></a>', 'a fat cat', 'fat & (rat | !cat:AB*) <-> dog', '00000000-0000-0000-0000-000000000000'),
  (2, ' null ', 'null', 'strict $."quoted key".**{2 to last}', '<?xml version="1.0"?><r/>', $$'it''s':1A,2B '\\':3 ' ':4 'żółw':5$$, $$'it''s' <3> '\\'$$, 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
  (3, '[]', '[]', '$', 'text only', '', '', '123e4567-e89b-12d3-a456-426614174000'),
  (4, '"\n"', '"\\u0000 as text"', 'lax $[0 to last]', '<a/><b/>', 'x:16383', NULL, NULL),
  (5, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (6, '1E400', '1E400', '-1.5e3', '', NULL, NULL, NULL);

CREATE TABLE internals (
  id int PRIMARY KEY, o oid, ti tid, x xid, ci cid, x8 xid8, iv int2vector, ov oidvector, lsn pg_lsn, snapshot pg_snapshot, old_snapshot txid_snapshot, cursor refcursor, acl aclitem
);
INSERT INTO internals VALUES
  (1, 0, '(0,0)', '0', '0', '0', '', '', '0/0', '1:1:', '1:1:', '', 'zoo_owner=arwdDxt/zoo_reader'),
  (2, 4294967295, '(4294967295,65535)', '4294967295', '4294967295', '18446744073709551615', '1 -2 3', '1 4294967295', 'FFFFFFFF/FFFFFFFF', '10:20:10,14,15', '10:20:10,14,15', 'a "portal"', '=r*/zoo_owner'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE ranges (
  id int PRIMARY KEY, i4 int4range, i8 int8range, n numrange, ts tsrange, tz tstzrange, d daterange,
  mi4 int4multirange, mi8 int8multirange, mn nummultirange, mts tsmultirange, mtz tstzmultirange, md datemultirange
);
INSERT INTO ranges VALUES
  (1, '[1,10]', '(,9223372036854775807)', '(1.50,NaN]', '[-infinity,infinity]', '["2026-01-01 00:00:00+02",)', '(,)', '{[1,3),[5,7)}', '{}', '{(,1.0),(1.0,)}', '{}', '{(,infinity]}', '{["0044-03-15 BC",)}'),
  (2, 'empty', 'empty', 'empty', 'empty', 'empty', 'empty', '{}', '{}', '{}', '{}', '{}', '{}'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (4, '(,)', '(,)', '(,)', '(,)', '(,)', '[2026-01-01,infinity)', '{(,)}', '{(,)}', '{(,)}', '{(,)}', '{(,)}', '{(,)}');

CREATE TABLE arrays (
  id int PRIMARY KEY, i int[], t text[], f float8[], b bytea[], n numeric[], d date[], j jsonb[], u uuid[], tz timestamptz[], bo boolean[], ch "char"[], na name[], r int4range[], mr int4multirange[],
  p point[], boxes box[], x xml[], v varchar(3)[], fixed int[3][3]
);
INSERT INTO arrays VALUES
  (1, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'),
  (2, '{1,NULL,3}', '{"NULL",NULL,"","a,b","{x}","q\"uote","back\\slash"," lead","null"}', '{NaN,Infinity,-0}', '{"\\x00",NULL,"\\x5c2e"}', '{NaN,1.500}', '{infinity,"0044-03-15 BC"}', '{"{\"a\": [1, null]}",NULL}', '{00000000-0000-0000-0000-000000000000}',
   '{"2026-01-01 00:00:00.000001+00"}', '{t,f,NULL}', '{a,NULL,"\\"}', '{name}', '{"[1,5)",empty}', '{"{[1,5)}"}', '{"(1,2)"}', '{(1,1),(0,0);(3,3),(2,2)}', '{"<a b=\"1\"/>"}', '{abc}', '{{1,2,3},{4,5,6},{7,8,9}}'),
  (3, '[-2:0]={1,2,3}', '[0:1][5:6]={{a,b},{c,d}}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{1}'),
  (4, array_fill(7, '{2,2,2,2,2,2}'), ARRAY[E'tab\there', E'new\nline', E'\\N', E'\\.', E'\r', 'żółw'], NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

-- Names of objects as values: what they name must be there when they are read in.
CREATE FUNCTION named(int, text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = text, FUNCTION = named);
CREATE TABLE names (
  id int PRIMARY KEY, p regproc, pp regprocedure, op regoper, opp regoperator, c regclass, t regtype, r regrole, ns regnamespace, co regcollation, cfg regconfig, dict regdictionary,
  cs regclass[]
);
INSERT INTO names VALUES
  (1, 'pg_sleep', 'lower(text)', '||/', '+(int,int)', 'pg_class', 'int', 'zoo_owner', 'pg_catalog', '"C"', 'english', 'simple', '{pg_class,pg_type}'),
  (2, 'zoo_types.named', 'zoo_types.named(int,text)', 'zoo_types.===', 'zoo_types.===(int,text)', 'zoo_types.numbers', 'zoo_types.numbers', '"Zoo Rôle; --"""', 'zoo_types', 'pg_catalog."C"', 'pg_catalog.simple', NULL, '{zoo_types.names}'),
  (3, '-', '-', '0', '0', '-', '-', '-', '-', '-', '-', '-', '{-}'),
  (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (5, '4294967295', '4294967295', '4294967295', '4294967295', '4294967295', '4294967295', '4294967295', '4294967295', '4294967295', '4294967295', '4294967295', NULL);

-- Types of the user's own.
CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'so, so', 'back\slash', 'UPPER', '', ' ', 'żółw');
CREATE DOMAIN positive AS int DEFAULT 7 NOT NULL CONSTRAINT is_positive CHECK (VALUE > 0);
CREATE DOMAIN even_positive AS positive CHECK (VALUE % 2 = 0);
CREATE DOMAIN short_text AS varchar(10) COLLATE "C" CHECK (VALUE <> 'forbidden');
CREATE DOMAIN few AS int[] CHECK (cardinality(VALUE) <= 3);
CREATE DOMAIN unproven AS int;
CREATE TYPE inner_row AS (a int, b text, m mood);
CREATE TYPE outer_row AS (i inner_row, list inner_row[], d even_positive, "odd Name" numeric(10, 2), few few);
CREATE TYPE no_fields AS ();
CREATE DOMAIN checked_row AS inner_row CHECK ((VALUE).a > 0);
CREATE TYPE float_range AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi, MULTIRANGE_TYPE_NAME = float_ranges);
CREATE TYPE text_range AS RANGE (SUBTYPE = text, COLLATION = "C");
CREATE TYPE domain_range AS RANGE (SUBTYPE = even_positive);

CREATE TABLE own_types (
  id int PRIMARY KEY, m mood, ms mood[], p positive, e even_positive, s short_text, f few, u unproven, i inner_row, o outer_row, os outer_row[], nothing no_fields, c checked_row,
  fr float_range, frs float_ranges, tr text_range, dr domain_range, row_of_table numbers, ds positive[]
);
INSERT INTO own_types VALUES
  (1, 'it''s ok', '{sad,"so, so","back\\slash","",NULL," "}', DEFAULT, 2, 'short', '{1,2,3}', -5, ROW(1, 'a,"b"\c', 'sad'), ROW(ROW(NULL, '', NULL), ARRAY[ROW(1, NULL, '')::inner_row, NULL], 4, 1.5, '{}'),
   ARRAY[ROW(NULL, NULL, 2, NULL, NULL)::outer_row], ROW(), ROW(1, 'x', NULL), '[0.1,0.2)', '{[0,NaN)}', '["a,b","c\"d"]', '[2,4]', ROW(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, true), '{1,2}'),
  (2, '', '{}', 1, 4, '', NULL, -5, NULL, NULL, '{}', NULL, NULL, 'empty', '{}', 'empty', 'empty', NULL, '{}'),
  (3, 'żółw', NULL, 1, 4, NULL, NULL, NULL, ROW(NULL, NULL, NULL), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
ALTER DOMAIN unproven ADD CONSTRAINT not_yet_proven CHECK (VALUE >= 0) NOT VALID;
ALTER TYPE mood RENAME VALUE 'UPPER' TO 'Upper';
-- A dropped attribute and a late one: rows that are already stored keep the old shape.
ALTER TYPE inner_row ADD ATTRIBUTE late int;
ALTER TYPE inner_row DROP ATTRIBUTE late;
COMMENT ON TYPE mood IS 'How it feels';
COMMENT ON COLUMN inner_row.b IS 'A comment on an attribute';
COMMENT ON DOMAIN positive IS 'A comment on a domain';
COMMENT ON CONSTRAINT is_positive ON DOMAIN positive IS 'A comment on a domain''s constraint';

-- A base type, as C programmers make them, from functions that every server has.
CREATE TYPE celsius;
CREATE FUNCTION celsius_in(cstring) RETURNS celsius LANGUAGE internal STRICT IMMUTABLE AS 'int4in';
CREATE FUNCTION celsius_out(celsius) RETURNS cstring LANGUAGE internal STRICT IMMUTABLE AS 'int4out';
CREATE TYPE celsius (INPUT = celsius_in, OUTPUT = celsius_out, LIKE = int4, CATEGORY = 'N', DEFAULT = '20');
CREATE TYPE shell_only;
CREATE TABLE temperatures (id int, t celsius DEFAULT '-5', ts celsius[]);
INSERT INTO temperatures VALUES (1, '37', '{1,-273}'), (2, DEFAULT, NULL);
