-- It runs whenever somebody connects, whoever it is.
CREATE FUNCTION zoo_events.greet() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1; END $$;
CREATE EVENT TRIGGER on_login ON login EXECUTE FUNCTION zoo_events.greet();
ALTER EVENT TRIGGER on_login ENABLE ALWAYS;
