-- The shop and the ledger in one database, 2.5 GB of rows at scale 1.

\ir shop.sql
\ir ledger.sql
