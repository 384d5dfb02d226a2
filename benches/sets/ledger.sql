-- A ledger: one narrow table, of 20 million rows at scale 1.

CREATE TABLE ledger (
    id bigint NOT NULL,
    account integer NOT NULL,
    amount numeric(12, 2) NOT NULL,
    booked_at timestamptz NOT NULL
);

INSERT INTO ledger
SELECT i,
       ((hashint8extended(i, 1) & 9223372036854775807) % 250000)::int,
       ((hashint8extended(i, 2) & 9223372036854775807) % 20000000 - 10000000)::int / 100.0,
       to_timestamp(1577836800 + i * 8 + ((hashint8extended(i, 3) & 9223372036854775807) % 7000000)::int / 1e6)
FROM generate_series(1, greatest(1000, 20000000 * :scale)::int) i;

ALTER TABLE ledger ADD PRIMARY KEY (id);
