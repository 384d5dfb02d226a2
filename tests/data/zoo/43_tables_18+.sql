-- Virtual columns, constraints over time, constraints that are not enforced, named NOT NULLs that are not valid.
SET search_path = zoo_tables, zoo_ext;
CREATE TABLE virtual_columns (a int, doubled int GENERATED ALWAYS AS (a * 2) VIRTUAL, b text, stored int GENERATED ALWAYS AS (a + 1) STORED);
INSERT INTO virtual_columns (a, b) VALUES (1, 'x'), (NULL, NULL);
CREATE TABLE virtual_parts (a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL) PARTITION BY RANGE (a);
CREATE TABLE virtual_parts_1 PARTITION OF virtual_parts (b GENERATED ALWAYS AS (a * 3)) FOR VALUES FROM (0) TO (10);
INSERT INTO virtual_parts VALUES (1), (2);
CREATE TABLE priced (product int, valid daterange, price numeric, CONSTRAINT priced_key PRIMARY KEY (product, valid WITHOUT OVERLAPS));
INSERT INTO priced VALUES (1, '[2026-01-01,2026-02-01)', 5), (1, '[2026-02-01,)', 6);
CREATE TABLE sold (product int, during daterange, CONSTRAINT sold_priced FOREIGN KEY (product, PERIOD during) REFERENCES priced (product, PERIOD valid));
INSERT INTO sold VALUES (1, '[2026-01-15,2026-02-15)');
CREATE TABLE not_enforced (a int CONSTRAINT a_positive CHECK (a > 0) NOT ENFORCED, label text CONSTRAINT label_known REFERENCES parent (label) NOT ENFORCED);
INSERT INTO not_enforced VALUES (-1, 'unknown');
CREATE TABLE not_null_later (a int, b int CONSTRAINT b_is_there NOT NULL, c int CONSTRAINT c_is_there NOT NULL NO INHERIT);
INSERT INTO not_null_later VALUES (NULL, 1, 1);
ALTER TABLE not_null_later ADD CONSTRAINT a_is_there NOT NULL a NOT VALID;
COMMENT ON CONSTRAINT b_is_there ON not_null_later IS 'A comment on a NOT NULL';
CREATE UNLOGGED TABLE uuids (id uuid DEFAULT uuidv7());
RESET search_path;
