-- The role that Lifeboat restores with: `lifeboat_restore`. It makes databases of its own and gives the objects in them to
-- the roles that owned them; it is no superuser and cannot touch other people's databases.
--
-- Run this as a superuser or as your provider's administrator on the server to restore to. Run it again, there or in a
-- database that was backed up, when roles were added. Then give the role a password, which this file does not know:
--     \password lifeboat_restore
-- Another name: replace `lifeboat_restore` throughout.
--
-- What no role but a superuser (or your provider's stand-in for one) can restore is listed by `lifeboat restore --dry-run`:
-- event triggers, publications FOR ALL TABLES, subscriptions, untrusted extensions and languages, objects of superusers.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lifeboat_restore') THEN
    CREATE ROLE lifeboat_restore LOGIN;
  END IF;
END $$;

-- Makes the database to restore into, and renames it into place when it is proven.
ALTER ROLE lifeboat_restore CREATEDB;

-- Ends the sessions that are still in a database which `restore --clean` is about to replace.
GRANT pg_signal_backend TO lifeboat_restore;

-- Gives objects to their owners: for that it must be a member of theirs. These are the roles that own anything on this
-- server; on an empty one say it yourself: GRANT the_owner TO lifeboat_restore. Superusers are left out, because a member
-- of one is as good as one. (`--no-owner` and `--role-map` do without.)
DO $$
DECLARE
  owner name;
BEGIN
  FOR owner IN
    SELECT r.rolname FROM pg_roles AS r
    WHERE r.oid IN (SELECT refobjid FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o')
      AND NOT r.rolsuper AND r.rolname NOT LIKE 'pg\_%' AND r.rolname <> 'lifeboat_restore'
      AND NOT pg_has_role('lifeboat_restore', r.oid, 'MEMBER') AND NOT pg_has_role(r.rolname, 'lifeboat_restore', 'MEMBER')
  LOOP
    BEGIN
      EXECUTE format('GRANT %I TO lifeboat_restore', owner);
    EXCEPTION WHEN insufficient_privilege THEN
      RAISE NOTICE 'you may not grant %: what it owned will belong to lifeboat_restore', owner;
    END;
  END LOOP;
END $$;

-- `restore --data-only` switches off foreign keys and user triggers while rows come in, which takes a right that can be
-- granted from PostgreSQL 15 on. Without it Lifeboat drops and adds the foreign keys instead.
DO $$
BEGIN
  IF current_setting('server_version_num')::int >= 150000 THEN
    EXECUTE 'GRANT SET ON PARAMETER session_replication_role TO lifeboat_restore';
  END IF;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE 'you may not grant SET ON PARAMETER session_replication_role';
END $$;
