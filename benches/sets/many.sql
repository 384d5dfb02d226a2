-- Many small tables: 5,000 at scale 1, of up to 200 rows. Twenty of them are partitioned, in eight parts each, which are
-- counted, too.

SELECT greatest(1, 20 * :scale)::int AS partitioned \gset
SELECT greatest(30, 5000 * :scale)::int - 9 * :partitioned AS plain \gset

CREATE FUNCTION rows_of(n int) RETURNS TABLE (id int, at timestamptz, name text, amount numeric, note text)
LANGUAGE sql AS $$
    SELECT i,
           to_timestamp(1577836800 + i * 977.0 + n),
           md5((n * 1000 + i)::text),
           ((hashint8extended(i, n) & 9223372036854775807) % 1000000)::int / 100.0,
           CASE WHEN i % 3 = 0 THEN 'row ' || i || ' of table ' || n END
    FROM generate_series(1, ((hashint8extended(n, 0) & 9223372036854775807) % 200)::int) i
$$;

SELECT format(
    'CREATE TABLE small_%s (id int PRIMARY KEY, at timestamptz NOT NULL, name text NOT NULL, amount numeric(10, 2), note text);
     INSERT INTO small_%s SELECT * FROM rows_of(%s);', lpad(n::text, 5, '0'), lpad(n::text, 5, '0'), n)
FROM generate_series(1, :plain) n \gexec

SELECT format('CREATE INDEX ON small_%s (at)', lpad(n::text, 5, '0')) FROM generate_series(1, :plain, 2) n \gexec

SELECT format(
    'CREATE TABLE parted_%s (id int, at timestamptz NOT NULL, name text NOT NULL, amount numeric(10, 2), note text) PARTITION BY HASH (id)', n)
FROM generate_series(1, :partitioned) n \gexec

SELECT format('CREATE TABLE parted_%s_%s PARTITION OF parted_%s FOR VALUES WITH (MODULUS 8, REMAINDER %s)', n, part, n, part)
FROM generate_series(1, :partitioned) n, generate_series(0, 7) part \gexec

SELECT format('INSERT INTO parted_%s SELECT * FROM rows_of(%s); ALTER TABLE parted_%s ADD PRIMARY KEY (id)', n, 10000 + n, n)
FROM generate_series(1, :partitioned) n \gexec

DROP FUNCTION rows_of;
