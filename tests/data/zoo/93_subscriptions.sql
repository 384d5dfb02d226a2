-- Logical replication, the listening side. They never connect: they have neither slot nor leave to start.
CREATE SUBSCRIPTION quiet CONNECTION 'host=elsewhere.invalid user=remote password=zoo-subscription-secret' PUBLICATION one, "tw""o" WITH (connect = false, slot_name = NONE, synchronous_commit = 'remote_apply', binary = true, streaming = on);
CREATE SUBSCRIPTION "odd "" subscription" CONNECTION 'dbname=elsewhere' PUBLICATION one WITH (connect = false, slot_name = 'other_slot');
COMMENT ON SUBSCRIPTION quiet IS 'A comment on a subscription';
