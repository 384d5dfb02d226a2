-- Identity on partitioned tables.
CREATE TABLE zoo_tables.identity_parts (id bigint GENERATED ALWAYS AS IDENTITY (START 100), day date NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE zoo_tables.identity_parts_1 PARTITION OF zoo_tables.identity_parts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE zoo_tables.identity_parts_2 PARTITION OF zoo_tables.identity_parts DEFAULT;
INSERT INTO zoo_tables.identity_parts (day) SELECT date '2026-01-20' + i FROM generate_series(1, 30) AS i;
ALTER TABLE zoo_tables.stored_oddly ALTER b SET STATISTICS DEFAULT;
