-- Functions, procedures, aggregates, operators, casts, and the rarer things that programmers add.
CREATE SCHEMA zoo_code;
SET search_path = zoo_code;

CREATE FUNCTION plain(int) RETURNS int LANGUAGE sql IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE COST 5 AS 'SELECT $1 + 1';
CREATE FUNCTION plain(text) RETURNS text LANGUAGE sql AS $$ SELECT $1 || ' it''s overloaded; $body$ not an end $body$' $$;
CREATE FUNCTION arguments(a int, OUT b int, INOUT c text DEFAULT E'it''s\t\\', VARIADIC d int[] DEFAULT '{1,2}') LANGUAGE plpgsql AS $fn$
BEGIN
  b := a + cardinality(d); -- semicolons; 'quotes'; $$ dollars $$
END
$fn$;
CREATE FUNCTION table_of(n int) RETURNS TABLE (id int, "Odd Name" text) LANGUAGE sql ROWS 7 AS 'SELECT i, i::text FROM generate_series(1, n) AS i';
CREATE FUNCTION set_of() RETURNS SETOF record LANGUAGE sql AS 'VALUES (1, 2)';
CREATE FUNCTION polymorphic(anyelement, anyarray) RETURNS anyarray LANGUAGE sql AS 'SELECT $2 || $1';
CREATE FUNCTION with_settings() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = zoo_code, pg_temp SET work_mem = '5MB' SET datestyle FROM CURRENT AS $$ BEGIN RETURN current_setting('search_path'); END $$;
CREATE FUNCTION "odd ""name""; DROP"("odd arg" int) RETURNS int LANGUAGE sql AS 'SELECT "odd arg"';
CREATE FUNCTION no_arguments() RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION internal_root(float8) RETURNS float8 LANGUAGE internal IMMUTABLE STRICT AS 'dsqrt';
CREATE FUNCTION window_row() RETURNS bigint LANGUAGE internal WINDOW IMMUTABLE AS 'window_row_number';
CREATE FUNCTION standard_body(a int, b int DEFAULT 2) RETURNS int LANGUAGE sql RETURN a + b;
CREATE TABLE used_by_body (id int, t text);
CREATE FUNCTION atomic_body(i int) RETURNS text LANGUAGE sql BEGIN ATOMIC
  INSERT INTO used_by_body VALUES (i, 'it''s; in');
  SELECT t FROM used_by_body WHERE id = i;
END;
CREATE PROCEDURE atomic_procedure(i int, OUT o int) LANGUAGE sql BEGIN ATOMIC
  DELETE FROM used_by_body WHERE id = i;
  SELECT i * 2;
END;
CREATE PROCEDURE plain_procedure(INOUT a int) LANGUAGE plpgsql AS $$ BEGIN COMMIT; a := 1; END $$;
-- Its body does not exist yet, and never will.
SET check_function_bodies = off;
CREATE FUNCTION broken_body() RETURNS int LANGUAGE sql AS 'SELECT no_such_column FROM no_such_table';
RESET check_function_bodies;
-- A function whose default and body need another that sorts after it.
CREATE FUNCTION z_later() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 3';
CREATE FUNCTION a_earlier(x int DEFAULT z_later()) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT x + z_later(); END;
CREATE TABLE computed (a int DEFAULT a_earlier(), b int GENERATED ALWAYS AS (plain(5)) STORED, CHECK (plain(a) > 0));
INSERT INTO computed VALUES (DEFAULT), (8);
CREATE INDEX computed_plain ON computed (plain(a));
COMMENT ON FUNCTION plain(int) IS 'A comment on a function';
COMMENT ON PROCEDURE plain_procedure IS 'A comment on a procedure';
ALTER FUNCTION plain(int) DEPENDS ON EXTENSION hstore;

CREATE FUNCTION sum_step(bigint, int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1 + coalesce($2, 0)';
CREATE FUNCTION sum_back(bigint, int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1 - coalesce($2, 0)';
CREATE FUNCTION sum_both(bigint, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
CREATE FUNCTION sum_end(bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'sum ' || $1 $$;
CREATE AGGREGATE my_sum (int) (
  SFUNC = sum_step, STYPE = bigint, INITCOND = '0', FINALFUNC = sum_end, COMBINEFUNC = sum_both, MSFUNC = sum_step, MINVFUNC = sum_back, MSTYPE = bigint, MINITCOND = '0', MFINALFUNC = sum_end, PARALLEL = SAFE
);
CREATE AGGREGATE my_percentile (float8 ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA);
CREATE AGGREGATE my_rank (VARIADIC "any" ORDER BY VARIADIC "any") (SFUNC = ordered_set_transition_multi, STYPE = internal, FINALFUNC = rank_final, FINALFUNC_EXTRA, HYPOTHETICAL);
CREATE AGGREGATE my_max (int) (SFUNC = int4larger, STYPE = int, SORTOP = >);
COMMENT ON AGGREGATE my_sum (int) IS 'A comment on an aggregate';

CREATE TYPE pair AS (a int, b int);
CREATE FUNCTION pair_less(pair, pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.a < $2.a';
CREATE FUNCTION pair_more(pair, pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.a > $2.a';
CREATE FUNCTION pair_same(pair, pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.a = $2.a';
CREATE FUNCTION pair_not_less(pair, pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.a >= $2.a';
CREATE FUNCTION pair_not_more(pair, pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.a <= $2.a';
CREATE FUNCTION pair_compare(pair, pair) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1.a - $2.a';
CREATE FUNCTION pair_hash(pair) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT hashint4($1.a)';
CREATE OPERATOR <<< (LEFTARG = pair, RIGHTARG = pair, FUNCTION = pair_less, COMMUTATOR = >>>, NEGATOR = >>>=, RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR >>> (LEFTARG = pair, RIGHTARG = pair, FUNCTION = pair_more, COMMUTATOR = <<<, NEGATOR = <<<=);
CREATE OPERATOR >>>= (LEFTARG = pair, RIGHTARG = pair, FUNCTION = pair_not_less, COMMUTATOR = <<<=, NEGATOR = <<<);
CREATE OPERATOR <<<= (LEFTARG = pair, RIGHTARG = pair, FUNCTION = pair_not_more, COMMUTATOR = >>>=, NEGATOR = >>>);
CREATE OPERATOR ==== (LEFTARG = pair, RIGHTARG = pair, FUNCTION = pair_same, COMMUTATOR = ====, HASHES, MERGES);
CREATE OPERATOR !@# (RIGHTARG = pair, FUNCTION = pair_hash);
COMMENT ON OPERATOR <<< (pair, pair) IS 'A comment on an operator';

CREATE OPERATOR FAMILY pair_family USING btree;
CREATE OPERATOR CLASS pair_order DEFAULT FOR TYPE pair USING btree FAMILY pair_family AS
  OPERATOR 1 <<<, OPERATOR 2 <<<=, OPERATOR 3 ====, OPERATOR 4 >>>=, OPERATOR 5 >>>, FUNCTION 1 pair_compare(pair, pair);
CREATE OPERATOR CLASS pair_hashed FOR TYPE pair USING hash AS OPERATOR 1 ====, FUNCTION 1 pair_hash(pair);
CREATE OPERATOR FAMILY lonely_family USING gist;
CREATE FUNCTION int_pair_compare(int, pair) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 - $2.a';
ALTER OPERATOR FAMILY pair_family USING btree ADD FUNCTION 1 (int, pair) int_pair_compare(int, pair);
COMMENT ON OPERATOR CLASS pair_order USING btree IS 'A comment on an operator class';
COMMENT ON OPERATOR FAMILY pair_family USING btree IS 'A comment on an operator family';
CREATE TABLE pairs (p pair);
INSERT INTO pairs SELECT ROW(i, -i)::pair FROM generate_series(1, 20) AS i;
CREATE INDEX pairs_ordered ON pairs (p pair_order);
CREATE INDEX pairs_hashed ON pairs USING hash (p pair_hashed);

CREATE FUNCTION int_to_pair(int) RETURNS pair LANGUAGE sql IMMUTABLE AS 'SELECT ROW($1, 0)::zoo_code.pair';
CREATE CAST (int AS pair) WITH FUNCTION int_to_pair(int) AS IMPLICIT;
CREATE CAST (pair AS json) WITH INOUT AS ASSIGNMENT;
CREATE TYPE pair_too AS (a int, b int);
CREATE CAST (varchar AS pair) WITH INOUT;
CREATE DOMAIN lookalike AS text;
CREATE TYPE label_1 AS ENUM ('x');
CREATE CAST (label_1 AS text) WITH INOUT AS IMPLICIT;
COMMENT ON CAST (int AS pair) IS 'A comment on a cast';

CREATE FUNCTION second_handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE FUNCTION second_inline_handler(internal) RETURNS void LANGUAGE c STRICT AS '$libdir/plpgsql', 'plpgsql_inline_handler';
CREATE FUNCTION second_validator(oid) RETURNS void LANGUAGE c STRICT AS '$libdir/plpgsql', 'plpgsql_validator';
CREATE TRUSTED LANGUAGE second_plpgsql HANDLER second_handler INLINE second_inline_handler VALIDATOR second_validator;
CREATE FUNCTION in_second_language() RETURNS int LANGUAGE second_plpgsql AS 'BEGIN RETURN 2; END';
COMMENT ON LANGUAGE second_plpgsql IS 'A comment on a language';
CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal), TO SQL WITH FUNCTION int4recv(internal));
COMMENT ON TRANSFORM FOR int LANGUAGE sql IS 'A comment on a transform';
CREATE ACCESS METHOD second_gist TYPE INDEX HANDLER gisthandler;
COMMENT ON ACCESS METHOD second_gist IS 'A comment on an access method';
CREATE CONVERSION latin_conversion FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
COMMENT ON CONVERSION latin_conversion IS 'A comment on a conversion';
