-- Event triggers that would hear of our last statements and that we may silence, with how to wake them again.
SELECT evtname::text,
       CASE evtenabled WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE' END
FROM pg_catalog.pg_event_trigger
WHERE evtenabled <> 'D' AND evtevent IN ('ddl_command_start', 'ddl_command_end', 'sql_drop')
  AND pg_catalog.pg_has_role(evtowner, 'USAGE')
ORDER BY evtname
