-- The roles that the zoo's objects belong to. They are the server's: run in any database, as often as you like.
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY '{zoo_owner,zoo_reader,zoo_writer,"Zoo Rôle; --\""}'::text[] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      EXECUTE format('CREATE ROLE %I', name);
    END IF;
  END LOOP;
  IF NOT pg_has_role('zoo_writer', 'zoo_reader', 'MEMBER') THEN
    GRANT zoo_reader TO zoo_writer;
  END IF;
END $$;
