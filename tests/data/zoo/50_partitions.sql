-- Partitions of every kind and depth, and inheritance without them.
CREATE SCHEMA zoo_parts;
CREATE SCHEMA "zoo parts elsewhere";
SET search_path = zoo_parts;

CREATE TABLE by_range (at timestamptz NOT NULL, id int NOT NULL, note text, PRIMARY KEY (at, id)) PARTITION BY RANGE (at, id);
CREATE TABLE by_range_low PARTITION OF by_range FOR VALUES FROM (MINVALUE, MINVALUE) TO ('2026-01-01', 0);
CREATE TABLE by_range_2026 PARTITION OF by_range FOR VALUES FROM ('2026-01-01', 0) TO ('2027-01-01', 0) WITH (fillfactor = 50);
CREATE TABLE "zoo parts elsewhere"."by range; high" PARTITION OF by_range FOR VALUES FROM ('2027-01-01', 0) TO (MAXVALUE, MAXVALUE);
INSERT INTO by_range SELECT timestamptz '2025-06-01' + i * interval '10 days', i, 'note ' || i FROM generate_series(1, 100) AS i;
CREATE INDEX by_range_note ON by_range (note);
COMMENT ON TABLE by_range_2026 IS 'A comment on a partition';

-- Three levels, of three kinds, with a default at each.
CREATE TABLE deep (region text, day date, id int) PARTITION BY LIST (region);
CREATE TABLE deep_eu PARTITION OF deep FOR VALUES IN ('pl', 'de', 'it''s') PARTITION BY RANGE (day);
CREATE TABLE deep_eu_2026 PARTITION OF deep_eu FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY HASH (id);
CREATE TABLE deep_eu_2026_0 PARTITION OF deep_eu_2026 FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE deep_eu_2026_1 PARTITION OF deep_eu_2026 FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE deep_eu_2026_2 PARTITION OF deep_eu_2026 FOR VALUES WITH (MODULUS 6, REMAINDER 2);
CREATE TABLE deep_eu_2026_5 PARTITION OF deep_eu_2026 FOR VALUES WITH (MODULUS 6, REMAINDER 5);
CREATE TABLE deep_eu_rest PARTITION OF deep_eu DEFAULT;
CREATE TABLE deep_none PARTITION OF deep FOR VALUES IN (NULL);
CREATE TABLE deep_rest PARTITION OF deep DEFAULT PARTITION BY LIST (region);
CREATE TABLE deep_rest_us PARTITION OF deep_rest FOR VALUES IN ('us');
CREATE TABLE deep_rest_rest PARTITION OF deep_rest DEFAULT;
INSERT INTO deep SELECT (ARRAY['pl', 'de', 'us', 'it''s', NULL, 'jp'])[1 + i % 6], date '2025-12-01' + i, i FROM generate_series(1, 200) AS i;

CREATE TABLE no_parts (a int) PARTITION BY LIST (a);
CREATE TABLE empty_parts (a int PRIMARY KEY) PARTITION BY LIST (a);
CREATE TABLE empty_parts_1 PARTITION OF empty_parts FOR VALUES IN (1);
CREATE TABLE empty_parts_rest PARTITION OF empty_parts DEFAULT;

-- The key is an expression, or has a collation and an operator class of its own.
CREATE TABLE by_expression (a int, b text) PARTITION BY RANGE ((a % 3), lower(b) COLLATE "C" text_pattern_ops);
CREATE TABLE by_expression_0 PARTITION OF by_expression FOR VALUES FROM (0, 'a') TO (0, 'z');
CREATE TABLE by_expression_rest PARTITION OF by_expression DEFAULT;
INSERT INTO by_expression SELECT i, chr(65 + i) FROM generate_series(0, 25) AS i;

-- Hashes of enums depend on oids: after a restore the same row may belong to another partition.
CREATE TYPE colour AS ENUM ('red', 'green', 'blue', 'black', 'white');
CREATE TABLE by_colour (c colour, n int, PRIMARY KEY (c, n)) PARTITION BY HASH (c);
CREATE TABLE by_colour_0 PARTITION OF by_colour FOR VALUES WITH (MODULUS 4, REMAINDER 0);
CREATE TABLE by_colour_1 PARTITION OF by_colour FOR VALUES WITH (MODULUS 4, REMAINDER 1);
CREATE TABLE by_colour_2 PARTITION OF by_colour FOR VALUES WITH (MODULUS 4, REMAINDER 2);
CREATE TABLE by_colour_3 PARTITION OF by_colour FOR VALUES WITH (MODULUS 4, REMAINDER 3);
INSERT INTO by_colour SELECT c, n FROM unnest(enum_range(NULL::colour)) AS c, generate_series(1, 20) AS n;

CREATE TABLE by_text_hash (t text COLLATE "C", n int) PARTITION BY HASH (t, n);
CREATE TABLE by_text_hash_0 PARTITION OF by_text_hash FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE by_text_hash_1 PARTITION OF by_text_hash FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO by_text_hash SELECT 'key ' || i, i FROM generate_series(1, 100) AS i;

-- Attached partitions: columns in another order, dropped ones, defaults and constraints of their own.
CREATE TABLE attached (id int NOT NULL, day date NOT NULL, t text DEFAULT 'parent', CONSTRAINT id_positive CHECK (id > 0)) PARTITION BY RANGE (day);
CREATE TABLE attached_other_order (gone_1 int, t text DEFAULT 'child', gone_2 text, day date NOT NULL, id int NOT NULL, CONSTRAINT id_positive CHECK (id > 0), CONSTRAINT only_here CHECK (length(t) < 100));
INSERT INTO attached_other_order SELECT i, 't' || i, 'gone', date '2026-01-01' + i, i FROM generate_series(1, 20) AS i;
ALTER TABLE attached_other_order DROP COLUMN gone_1, DROP COLUMN gone_2;
ALTER TABLE attached ATTACH PARTITION attached_other_order FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE attached_same (LIKE attached INCLUDING ALL);
INSERT INTO attached_same VALUES (1, '2026-02-02'), (2, '2026-02-03');
ALTER TABLE attached ATTACH PARTITION attached_same FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
ALTER TABLE attached ADD COLUMN late int DEFAULT 5;
ALTER TABLE attached DROP COLUMN t;
CREATE TABLE detached (LIKE attached INCLUDING ALL);
ALTER TABLE attached ATTACH PARTITION detached FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
INSERT INTO attached VALUES (9, '2026-03-05', 1);
ALTER TABLE attached DETACH PARTITION detached;

-- An index of the parent that not all partitions share, one that none has, a foreign key in and out.
CREATE INDEX attached_partial ON ONLY attached (id);
CREATE INDEX attached_same_id ON attached_same (id);
ALTER INDEX attached_partial ATTACH PARTITION attached_same_id;
CREATE TABLE refers_to_parts (at timestamptz, id int, FOREIGN KEY (at, id) REFERENCES by_range);
INSERT INTO refers_to_parts SELECT at, id FROM by_range WHERE id % 10 = 0;
CREATE TABLE parts_refer (id int, c colour, n int, FOREIGN KEY (c, n) REFERENCES by_colour) PARTITION BY LIST (c);
CREATE TABLE parts_refer_red PARTITION OF parts_refer FOR VALUES IN ('red');
CREATE TABLE parts_refer_rest PARTITION OF parts_refer DEFAULT;
INSERT INTO parts_refer SELECT row_number() OVER (), c, n FROM by_colour WHERE n < 5;

CREATE TABLE partly_unlogged (a int) PARTITION BY LIST (a);
CREATE UNLOGGED TABLE partly_unlogged_1 PARTITION OF partly_unlogged FOR VALUES IN (1);
CREATE TABLE partly_unlogged_2 PARTITION OF partly_unlogged FOR VALUES IN (2);
INSERT INTO partly_unlogged VALUES (1), (1), (2);

-- Inheritance: rows in the parents too, several parents, merged and overridden columns.
CREATE TABLE vehicles (id int PRIMARY KEY, wheels int NOT NULL DEFAULT 4, name text, CONSTRAINT has_wheels CHECK (wheels >= 0), CONSTRAINT parents_only CHECK (id < 1000) NO INHERIT);
CREATE TABLE floating (id int, draught numeric, name text);
CREATE TABLE bicycles (gears int, wheels int DEFAULT 2) INHERITS (vehicles);
CREATE TABLE amphibians (doors int) INHERITS (vehicles, floating);
CREATE TABLE racing_bicycles () INHERITS (bicycles);
CREATE TABLE joined_later (id int NOT NULL, wheels int NOT NULL, name text, CONSTRAINT has_wheels CHECK (wheels >= 0));
INSERT INTO joined_later VALUES (4000, 1, 'later');
ALTER TABLE joined_later INHERIT vehicles;
INSERT INTO vehicles VALUES (1, 4, 'car'), (2, 3, 'tricycle');
INSERT INTO floating VALUES (1, 2.5, 'boat');
INSERT INTO bicycles (id, name, gears) VALUES (2001, 'bike', 7), (2002, E'bike\twith tab', NULL);
INSERT INTO amphibians VALUES (3001, 4, 'duck', 0.5, 2);
INSERT INTO racing_bicycles (id, name, gears) VALUES (2101, 'fast', 22);
ALTER TABLE ONLY bicycles ALTER COLUMN name SET DEFAULT 'a bicycle';
CREATE TABLE once_a_child () INHERITS (floating);
INSERT INTO once_a_child VALUES (5, 1, 'free');
ALTER TABLE once_a_child NO INHERIT floating;
