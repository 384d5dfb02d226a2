CREATE SUBSCRIPTION quiet_15 CONNECTION 'dbname=elsewhere' PUBLICATION one WITH (connect = false, slot_name = NONE, two_phase = true, disable_on_error = true);
