-- :scale tables of a hundred rows each.

SELECT format(
    'CREATE TABLE equal_%1$s (id int PRIMARY KEY, at timestamptz NOT NULL, name text NOT NULL, amount numeric(10, 2));
     INSERT INTO equal_%1$s
     SELECT i, to_timestamp(1577836800 + i * 977 + %2$s), md5((%2$s * 1000 + i)::text), i * %2$s %% 100000 / 100.0
     FROM generate_series(1, 100) i;',
    lpad(n::text, 5, '0'), n)
FROM generate_series(1, :scale) n \gexec
