-- Event triggers. The first writes into a table: created too early in a restore, it would log the restore.
CREATE SCHEMA zoo_events;
CREATE TABLE zoo_events.log (what text);
INSERT INTO zoo_events.log VALUES ('from before');
CREATE FUNCTION zoo_events.note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO zoo_events.log VALUES (TG_EVENT || ' ' || TG_TAG); END $$;
CREATE FUNCTION zoo_events.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no % here', TG_TAG; END $$;
CREATE EVENT TRIGGER a_logger ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE INDEX') EXECUTE FUNCTION zoo_events.note();
CREATE EVENT TRIGGER "odd "" refuser" ON ddl_command_start WHEN TAG IN ('CREATE CONVERSION') EXECUTE FUNCTION zoo_events.refuse();
CREATE EVENT TRIGGER on_drop ON sql_drop EXECUTE FUNCTION zoo_events.note();
CREATE EVENT TRIGGER on_rewrite ON table_rewrite EXECUTE FUNCTION zoo_events.note();
CREATE EVENT TRIGGER disabled ON ddl_command_start EXECUTE FUNCTION zoo_events.refuse();
ALTER EVENT TRIGGER disabled DISABLE;
CREATE EVENT TRIGGER on_replica ON ddl_command_start EXECUTE FUNCTION zoo_events.refuse();
ALTER EVENT TRIGGER on_replica ENABLE REPLICA;
ALTER EVENT TRIGGER on_drop ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER a_logger IS 'A comment on an event trigger';
