-- Logical replication slots of this database, with the WAL that the server keeps for each.
SELECT s.slot_name::text AS name,
       s.active AS is_active,
       coalesce(s.wal_status = 'lost', false) AS is_lost,
       greatest(coalesce(pg_catalog.pg_wal_lsn_diff(here.lsn, s.restart_lsn), 0), 0)::int8 AS lag_bytes
FROM pg_catalog.pg_replication_slots s
CROSS JOIN (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                        ELSE pg_catalog.pg_current_wal_lsn() END AS lsn) here
WHERE s.slot_type = 'logical' AND NOT s.temporary AND s.database = pg_catalog.current_database()
ORDER BY s.slot_name
