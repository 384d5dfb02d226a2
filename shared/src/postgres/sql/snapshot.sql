-- The first statement that takes the transaction's snapshot: exports it and says what it shows.
SELECT pg_catalog.pg_export_snapshot() AS id,
       pg_catalog.pg_current_snapshot()::text AS snapshot,
       (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
             ELSE pg_catalog.pg_current_wal_insert_lsn() END)::text AS lsn,
       -- From the WAL file's name where there is one: the control file lags behind a promotion.
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint())
            ELSE ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int4 END AS timeline,
       (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::int8 AS taken_us,
       CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN (extract(epoch FROM pg_catalog.pg_last_xact_replay_timestamp()) * 1000000)::int8 END AS replayed_us,
       pg_catalog.current_setting('block_size')::int8 AS block_bytes
