-- The role that Lifeboat reads with: `lifeboat`. It is no superuser, owns nothing and cannot write.
--
-- Run this as a superuser or as your provider's administrator (RDS: the master user), once in every database to back up:
--     psql --dbname=shop --file=backup_role.sql
-- then give the role a password, which this file does not know:
--     \password lifeboat
-- Running it again is harmless. Another name: replace `lifeboat` throughout.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lifeboat') THEN
    CREATE ROLE lifeboat LOGIN;
  END IF;
END $$;

-- Reads every table, view and sequence in every schema, now and in future, in every database of the server. That includes
-- large objects: Lifeboat reads the pages of pg_largeobject, so no object needs a grant of its own. It also includes what
-- system catalogs keep secret (hashes of passwords, passwords in user mappings): guard this role's password like a backup.
GRANT pg_read_all_data TO lifeboat;

-- Sees what other sessions are doing: how many connections are free, and who waits for a lock that a backup holds.
GRANT pg_read_all_stats TO lifeboat;

-- A second bolt on the door: a session of this role starts out unable to write.
ALTER ROLE lifeboat SET default_transaction_read_only = on;

DO $$
BEGIN
  -- Everybody may connect to a database unless somebody revoked that.
  IF NOT has_database_privilege('lifeboat', current_database(), 'CONNECT') THEN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO lifeboat', current_database());
  END IF;
END $$;

-- Row-level security hides rows even from a role that may read all data, and a backup without them is no backup: Lifeboat
-- refuses such tables unless its role bypasses the policies. Only a superuser, or since PostgreSQL 16 an administrator who
-- has the attribute himself, can give it away. Where that is refused, make the role a member of the tables' owner
-- (GRANT the_owner TO lifeboat; it may then write as well), which suffices for tables without FORCE ROW LEVEL SECURITY.
DO $$
DECLARE
  hidden text;
BEGIN
  ALTER ROLE lifeboat BYPASSRLS;
EXCEPTION WHEN insufficient_privilege THEN
  SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid::regclass::text) INTO hidden
  FROM pg_class AS c
  WHERE c.relrowsecurity AND c.relkind IN ('r', 'p') AND (c.relforcerowsecurity OR NOT pg_has_role('lifeboat', c.relowner, 'USAGE'));
  IF hidden IS NOT NULL THEN
    RAISE WARNING 'you may not grant BYPASSRLS: Lifeboat will refuse to back up %', hidden
      USING HINT = 'Ask your provider for BYPASSRLS, or GRANT the owner of these tables TO lifeboat.';
  END IF;
END $$;

-- Functions need no grants: those that Lifeboat calls (pg_export_snapshot, pg_control_system, pg_current_snapshot, …) are
-- everybody's. If your server revoked EXECUTE on some of them from PUBLIC, `lifeboat doctor` names what is missing.
--
-- What this role cannot see, because pg_dump shows it to superusers alone, is listed by each backup as skipped: the options
-- of other roles' user mappings, and subscriptions.
