-- Infinite intervals.
CREATE TABLE zoo_types.endless (i interval);
INSERT INTO zoo_types.endless VALUES ('infinity'), ('-infinity');
