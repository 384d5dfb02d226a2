-- Of the reference systems a dump holds those that a user added.
CREATE TABLE spatial_ref_sys (srid int PRIMARY KEY, auth_name varchar(256), srtext varchar(2048));
INSERT INTO spatial_ref_sys VALUES (3857, 'EPSG', 'a standard one'), (4326, 'EPSG', 'a standard one');
GRANT SELECT ON spatial_ref_sys TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('spatial_ref_sys', 'WHERE NOT (srid BETWEEN 3000 AND 4999)');
