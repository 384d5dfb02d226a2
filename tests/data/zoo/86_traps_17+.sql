-- An exclusion constraint on a partitioned table: pg_dump's ALTER INDEX … ATTACH PARTITION is refused for such.
SET search_path = zoo_traps, zoo_ext;
CREATE TABLE excluded_parts (day date NOT NULL, id int, EXCLUDE USING gist (day WITH =, id WITH =)) PARTITION BY RANGE (day);
CREATE TABLE excluded_parts_1 PARTITION OF excluded_parts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
INSERT INTO excluded_parts VALUES ('2026-01-01', 1), ('2026-01-01', 2);
