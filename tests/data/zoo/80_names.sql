-- Identifiers that break careless quoting.
CREATE SCHEMA "odd schema";
CREATE SCHEMA "Ünïcödé 表 🐢";
CREATE SCHEMA "select";
CREATE SCHEMA "schema_name_of_63_bytes_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
SET search_path = "odd schema";

CREATE TABLE "table with spaces" (
  "column with spaces" int PRIMARY KEY, "UPPER" text, "quo""te" text, "apo'strophe" text, "back\slash" text, "select" text, "1digit" text, "do$llar" text, "żółw 🐢" text, "semi;colon" text, "--" text, "/*" text, "%s {} $1" text, "comma,paren)" text,
  "tab	here" text, "new
line" text, " lead and trail " text, "." text, "column_name_of_63_bytes_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" text, "ctid " text, "*" text
);
INSERT INTO "table with spaces" SELECT i, 'U', 'q', 'a', 'b', 's', '1', 'd', 'ż', ';', '-', '/', '%', ',', 't', 'n', 'l', '.', 'c', 'x', '*' FROM generate_series(1, 10) AS i;
CREATE TABLE "a.b" (id int PRIMARY KEY);
CREATE TABLE "quo""ted""" (id int);
CREATE TABLE "it's" (id int);
CREATE TABLE "x; DROP TABLE y; --" (id int);
CREATE TABLE "new
line" (id int);
CREATE TABLE "tab	bed" (id int);
CREATE TABLE "back\slash\" (id int);
CREATE TABLE "CamelCase" (id int);
CREATE TABLE camelcase (id int);
CREATE TABLE "table" ("user" int, "order" int, "group" int, "from" int, "null" int, "true" int);
CREATE TABLE "1" (id int);
CREATE TABLE " " (" " int);
CREATE TABLE "*" (id int);
CREATE TABLE "a*b?c[d]" (id int);
CREATE TABLE "../../etc/passwd" (id int);
CREATE TABLE "pg_looks_like_ours" (id int);
CREATE TABLE "Ünïcödé 表 🐢"."żółw" ("カラム" int, U&"\00e9" text, U&"e\0301" text);
CREATE TABLE "select"."from" ("where" int);
CREATE TABLE "schema_name_of_63_bytes_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"."table_name_of_63_bytes_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" (
  "column_name_of_63_bytes_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" serial PRIMARY KEY, CONSTRAINT "constraint_name_of_63_bytes_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" CHECK ("column_name_of_63_bytes_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" > 0)
);
-- 63 bytes of two bytes each, but for the last.
CREATE TABLE "żżżżżżżżżżżżżżżżżżżżżżżżżżżżżżżx" (id int);
INSERT INTO "a.b" VALUES (1);
INSERT INTO "quo""ted""" VALUES (2);
INSERT INTO "it's" VALUES (3);
INSERT INTO "x; DROP TABLE y; --" VALUES (4);
INSERT INTO "new
line" VALUES (5);
INSERT INTO "tab	bed" VALUES (6);
INSERT INTO "back\slash\" VALUES (7);
INSERT INTO "CamelCase" VALUES (8);
INSERT INTO camelcase VALUES (9);
INSERT INTO "table" VALUES (1, 2, 3, 4, 5, 6);
INSERT INTO "1" VALUES (10);
INSERT INTO " " VALUES (11);
INSERT INTO "Ünïcödé 表 🐢"."żółw" VALUES (1, 'one letter', 'a letter and an accent');
INSERT INTO "select"."from" VALUES (12);
INSERT INTO "schema_name_of_63_bytes_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"."table_name_of_63_bytes_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" DEFAULT VALUES;

ALTER TABLE "table with spaces" ADD CONSTRAINT "odd; constraint ""name""" CHECK ("UPPER" <> 'it''s') , ADD CONSTRAINT "odd fk" FOREIGN KEY ("column with spaces") REFERENCES "table with spaces";
CREATE INDEX "odd "" index; --" ON "table with spaces" ("quo""te", ("select" || 'it''s'));
CREATE VIEW "odd view" AS SELECT "column with spaces" AS "new ""name""", "é" FROM "table with spaces", "Ünïcödé 表 🐢"."żółw";
CREATE SEQUENCE "odd "" sequence" OWNED BY "table with spaces"."column with spaces";
SELECT nextval('"odd schema"."odd "" sequence"');
CREATE TYPE "odd "" enum" AS ENUM ('a');
CREATE DOMAIN "odd domain" AS "odd "" enum" CONSTRAINT "odd check" CHECK (VALUE <> 'b'::text::"odd "" enum" OR true);
CREATE FUNCTION "odd function"("odd "" argument" "odd domain" DEFAULT 'a') RETURNS "odd "" enum"[] LANGUAGE sql AS 'SELECT ARRAY[$1::"odd schema"."odd "" enum"]';
CREATE FUNCTION "odd trigger function"() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER "odd "" trigger" BEFORE INSERT ON "table with spaces" FOR EACH ROW EXECUTE FUNCTION "odd trigger function"();
CREATE POLICY "odd "" policy" ON "table with spaces" USING (true);
CREATE RULE "odd "" rule" AS ON DELETE TO "a.b" DO INSTEAD NOTHING;
CREATE STATISTICS "odd "" statistics" ON "quo""te", "select" FROM "table with spaces";
CREATE COLLATION "odd "" collation" FROM "C";
COMMENT ON COLUMN "table with spaces"."new
line" IS E'A comment\nof two lines; -- and "quotes"';
GRANT SELECT ("quo""te") ON "table with spaces" TO "Zoo Rôle; --""";
