-- A transaction may not use the labels that it adds, hence a file of its own.
CREATE TABLE zoo_types.grown_rows (g zoo_types.grown PRIMARY KEY, before_c boolean GENERATED ALWAYS AS (g < 'c') STORED);
INSERT INTO zoo_types.grown_rows VALUES ('a'), ('b'), ('c'), ('d'), ('e');
