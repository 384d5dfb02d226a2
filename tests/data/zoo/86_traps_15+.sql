SET search_path = zoo_traps, public;

-- Bytes that are no UTF-8: from 15 on they print as escapes. (Before, COPY writes them as they are and then refuses to read
-- them: a backup refuses such a table, which has a test of its own.)
CREATE TABLE high_chars (c "char");
INSERT INTO high_chars SELECT i::"char" FROM generate_series(-128, -1) AS i;
