SELECT c.system_identifier,
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8 AS postmaster_start_us,
       host(inet_server_addr()) AS server_address,
       d.oid::int8 AS database_oid,
       d.datname::text AS database,
       current_setting('server_version_num')::int4 AS server_version_num,
       current_setting('server_version') AS server_version,
       current_setting('server_encoding') AS server_encoding,
       pg_is_in_recovery() AS in_recovery,
       current_setting('transaction_read_only') = 'on' AS read_only,
       pg_backend_pid() AS backend_pid
FROM pg_control_system() c, pg_database d
WHERE d.datname = current_database()
