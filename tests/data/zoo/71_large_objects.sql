-- Large objects with owners, rights and comments.
SELECT lo_from_bytea(5000001, '');
SELECT lo_from_bytea(5000002, convert_to(repeat('żółw' || chr(9) || chr(10), 20000), 'UTF8'));
SELECT lo_from_bytea(5000003, decode(repeat('00ff5c0a', 50000), 'hex'));
-- A hole of a megabyte that no row of pg_largeobject holds.
SELECT lo_from_bytea(5000004, 'start'), lo_put(5000004, 1048576, 'far');
-- Exactly one page, and one byte more.
SELECT lo_from_bytea(5000005, decode(repeat('ab', 2048), 'hex')), lo_from_bytea(5000006, decode(repeat('cd', 2049), 'hex'));
ALTER LARGE OBJECT 5000002 OWNER TO zoo_owner;
ALTER LARGE OBJECT 5000003 OWNER TO "Zoo Rôle; --""";
GRANT SELECT, UPDATE ON LARGE OBJECT 5000002 TO zoo_reader WITH GRANT OPTION;
GRANT SELECT ON LARGE OBJECT 5000001 TO PUBLIC;
REVOKE ALL ON LARGE OBJECT 5000003 FROM "Zoo Rôle; --""";
COMMENT ON LARGE OBJECT 5000001 IS 'A comment on a large object, it''s empty';
CREATE SCHEMA zoo_large;
CREATE TABLE zoo_large.pictures (id int PRIMARY KEY, raster zoo_ext.lo, other oid);
INSERT INTO zoo_large.pictures VALUES (1, 5000002, 5000003), (2, 5000004, NULL), (3, 4999999, 0);
CREATE TRIGGER manage BEFORE UPDATE OR DELETE ON zoo_large.pictures FOR EACH ROW EXECUTE FUNCTION zoo_ext.lo_manage(raster);
SELECT lo_create(oid) FROM generate_series(5001000, 5001099) AS oid;
