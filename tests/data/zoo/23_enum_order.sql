-- Labels whose order is not that of their creation: the order of an index depends on it.
CREATE TYPE zoo_types.grown AS ENUM ('b', 'd');
ALTER TYPE zoo_types.grown ADD VALUE 'a' BEFORE 'b';
ALTER TYPE zoo_types.grown ADD VALUE 'c' AFTER 'b';
ALTER TYPE zoo_types.grown ADD VALUE 'e';
