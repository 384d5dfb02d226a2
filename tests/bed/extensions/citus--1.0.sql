-- What Lifeboat looks at in Citus: the list of distributed tables, which are shells here. Their rows move to a shard that only
-- Citus knows of; it is a table of another database in life.
CREATE TABLE pg_dist_partition (logicalrelid regclass PRIMARY KEY, partmethod "char" NOT NULL);
ALTER TABLE pg_dist_partition SET SCHEMA pg_catalog;
GRANT SELECT ON pg_catalog.pg_dist_partition TO PUBLIC;

CREATE FUNCTION create_distributed_table(relation regclass, column_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO pg_catalog.pg_dist_partition VALUES (relation, 'h');
  EXECUTE format('TRUNCATE %s', relation);
END $$;
