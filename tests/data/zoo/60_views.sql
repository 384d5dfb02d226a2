-- Views of every make, and materialized views upon each other.
CREATE SCHEMA zoo_views;
SET search_path = zoo_views;

CREATE TABLE base (id int PRIMARY KEY, tenant text NOT NULL DEFAULT current_user, amount numeric, tags text[]);
INSERT INTO base SELECT i, 'tenant ' || i % 3, i * 1.10, ARRAY['t' || i % 5] FROM generate_series(1, 50) AS i;

CREATE VIEW plain AS SELECT * FROM base WHERE amount > 10;
CREATE VIEW renamed ("Odd Column", second) WITH (security_barrier) AS SELECT id, amount FROM plain;
CREATE VIEW checked AS SELECT id, tenant, amount FROM base WHERE amount < 1000 WITH CASCADED CHECK OPTION;
CREATE VIEW checked_locally WITH (check_option = local) AS SELECT id, tenant, amount FROM checked WHERE id > 0;
CREATE RECURSIVE VIEW counted (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counted WHERE n < 10;
CREATE VIEW everything AS
  WITH RECURSIVE steps (n) AS NOT MATERIALIZED (SELECT 1 UNION SELECT n + 1 FROM steps WHERE n < 5)
  SELECT b.id, sum(b.amount) FILTER (WHERE b.id > 2) OVER w AS running, lag(b.tenant, 1) OVER w AS before, s.n, t.tag, t.ordinality, CASE WHEN b.amount > 5 THEN 'much' ELSE 'little' END AS much,
         (SELECT max(id) FROM base) AS highest, EXISTS (SELECT FROM plain WHERE plain.id = b.id) AS is_plain, ARRAY(SELECT unnest(b.tags)) AS tags, ROW(b.id, b.tenant)::text AS pair, b AS whole
  FROM base AS b
  LEFT JOIN LATERAL unnest(b.tags) WITH ORDINALITY AS t (tag) ON true
  CROSS JOIN steps AS s
  WINDOW w AS (PARTITION BY b.tenant ORDER BY b.id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW EXCLUDE TIES);
CREATE VIEW grouped AS SELECT tenant, id % 2 AS odd, count(*) AS n, percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) AS median FROM base GROUP BY GROUPING SETS ((tenant), (tenant, 2), ()) HAVING count(*) > 0;
CREATE VIEW united AS (SELECT id FROM base EXCEPT SELECT 1) UNION ALL SELECT 7 ORDER BY 1 FETCH FIRST 5 ROWS WITH TIES;
CREATE VIEW no_columns AS SELECT FROM base;
CREATE VIEW with_default AS SELECT id, amount FROM base;
ALTER VIEW with_default ALTER COLUMN amount SET DEFAULT 99;
-- A function and a view that need each other's row type.
CREATE VIEW of_function AS SELECT 1 AS a, 'x'::text AS b;
CREATE FUNCTION rows_of_view() RETURNS SETOF of_function LANGUAGE sql AS 'SELECT * FROM zoo_views.of_function';
CREATE OR REPLACE VIEW of_function AS SELECT id AS a, tenant AS b FROM zoo_views.base;

CREATE MATERIALIZED VIEW totals WITH (fillfactor = 80) AS SELECT tenant, sum(amount) AS total FROM base GROUP BY tenant;
CREATE UNIQUE INDEX totals_tenant ON totals (tenant);
-- Named so that neither the order of names nor that of creation is the order of need.
CREATE MATERIALIZED VIEW a_second_level AS SELECT max(total) AS highest FROM totals;
CREATE VIEW between_levels AS SELECT highest FROM a_second_level;
CREATE MATERIALIZED VIEW "a third level" AS SELECT highest * 2 AS doubled FROM between_levels;
CREATE MATERIALIZED VIEW not_populated AS SELECT * FROM base WITH NO DATA;
CREATE MATERIALIZED VIEW no_rows AS SELECT * FROM base WHERE false;
CREATE MATERIALIZED VIEW upon_function AS SELECT a, b FROM rows_of_view();
-- What it holds is older than what it is made from: a restore may only make it anew.
INSERT INTO base (id, tenant, amount) VALUES (51, 'late', 1);
CREATE STATISTICS totals_statistics ON tenant, total FROM totals;
ALTER MATERIALIZED VIEW totals CLUSTER ON totals_tenant;
ALTER MATERIALIZED VIEW totals ALTER COLUMN total SET STATISTICS 50;

COMMENT ON VIEW plain IS 'A comment on a view';
COMMENT ON COLUMN plain.amount IS 'A comment on a view''s column';
COMMENT ON MATERIALIZED VIEW totals IS 'A comment on a materialized view';

-- Rules.
CREATE TABLE rule_log (what text, at timestamptz DEFAULT '2026-01-01');
CREATE TABLE ruled (id int, t text);
CREATE RULE log_inserts AS ON INSERT TO ruled DO ALSO INSERT INTO rule_log (what) VALUES ('insert ' || NEW.id);
CREATE RULE protect AS ON DELETE TO ruled WHERE OLD.id < 3 DO INSTEAD NOTHING;
CREATE RULE tell AS ON UPDATE TO ruled DO ALSO NOTIFY ruled, 'it''s changed';
CREATE RULE sleeping AS ON INSERT TO ruled DO INSTEAD NOTHING;
ALTER TABLE ruled DISABLE RULE sleeping;
CREATE RULE always_there AS ON UPDATE TO ruled WHERE NEW.id > 100 DO INSTEAD (INSERT INTO rule_log (what) VALUES ('too big'); DELETE FROM rule_log WHERE what = 'never');
ALTER TABLE ruled ENABLE ALWAYS RULE always_there;
INSERT INTO ruled VALUES (1, 'a'), (2, 'b'), (5, 'c');
CREATE VIEW writable AS SELECT id, upper(t) AS t FROM ruled;
CREATE RULE write_through AS ON INSERT TO writable DO INSTEAD INSERT INTO ruled VALUES (NEW.id, NEW.t) RETURNING ruled.id, ruled.t;
COMMENT ON RULE log_inserts ON ruled IS 'A comment on a rule';
