-- What limits a backup: the role, connections, locks, replay. Settings of newer versions are null on older servers.
SELECT current_user::text AS role,
       r.rolsuper AS is_superuser,
       s.rolconnlimit AS role_connection_limit,
       d.datconnlimit AS database_connection_limit,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.usesysid = s.oid) AS role_connections,
       (SELECT t.numbackends::int8 FROM pg_catalog.pg_stat_database t WHERE t.datid = d.oid) AS database_connections,
       (SELECT sum(t.numbackends)::int8 FROM pg_catalog.pg_stat_database t) AS connections,
       current_setting('max_connections')::int8 AS max_connections,
       current_setting('superuser_reserved_connections')::int8 AS superuser_reserved_connections,
       CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles x WHERE x.rolname = 'pg_use_reserved_connections'
                         AND pg_catalog.pg_has_role(s.oid, x.oid, 'USAGE')) THEN 0
            ELSE coalesce(current_setting('reserved_connections', true), '0')::int8
       END AS reserved_connections,
       current_setting('max_locks_per_transaction')::int8 AS max_locks_per_transaction,
       current_setting('max_prepared_transactions')::int8 AS max_prepared_transactions,
       CASE WHEN pg_is_in_recovery()
            THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
       END AS replay_age_s,
       CASE WHEN pg_is_in_recovery()
            THEN pg_catalog.pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::int8
       END AS unreplayed_bytes,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END AS replay_paused,
       current_setting('hot_standby_feedback') = 'on' AS standby_feedback,
       ARRAY(SELECT f.name FROM unnest(ARRAY[
                 'pg_catalog.pg_export_snapshot()', 'pg_catalog.pg_current_snapshot()',
                 'pg_catalog.pg_control_system()', 'pg_catalog.pg_control_checkpoint()',
                 'pg_catalog.pg_relation_filenode(regclass)', 'pg_catalog.pg_relation_size(regclass)',
                 'pg_catalog.pg_blocking_pids(integer)', 'pg_catalog.lo_get(oid,bigint,integer)',
                 'pg_catalog.pg_current_wal_insert_lsn()', 'pg_catalog.pg_current_wal_flush_lsn()',
                 'pg_catalog.pg_last_wal_replay_lsn()', 'pg_catalog.pg_walfile_name(pg_lsn)'
             ]) f(name)
             WHERE NOT coalesce(pg_catalog.has_function_privilege(pg_catalog.to_regprocedure(f.name), 'EXECUTE'), false)
       ) AS forbidden_functions
FROM pg_catalog.pg_roles r, pg_catalog.pg_roles s, pg_catalog.pg_database d
WHERE r.rolname = current_user AND s.rolname = session_user AND d.datname = pg_catalog.current_database()
