-- Logical replication, the telling side.
CREATE PUBLICATION of_all FOR ALL TABLES WITH (publish = 'insert, truncate');
CREATE PUBLICATION of_some FOR TABLE zoo_tables.parent, ONLY zoo_parts.vehicles, zoo_parts.by_range WITH (publish = 'insert', publish_via_partition_root = true);
CREATE PUBLICATION "odd "" publication" FOR TABLE "odd schema"."a.b";
CREATE PUBLICATION of_nothing;
ALTER PUBLICATION of_some OWNER TO zoo_owner;
COMMENT ON PUBLICATION of_some IS 'A comment on a publication';
