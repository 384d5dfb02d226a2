-- What belongs to the database itself. In place of :"database" its quoted name is put (psql: -v database=NAME).
-- Each of these settings changes what a careless client reads or writes.
COMMENT ON DATABASE :"database" IS 'The zoo: one of everything, ''quoted'' and "quoted"';
ALTER DATABASE :"database" SET search_path = '$user', zoo_views, "odd schema", public;
ALTER DATABASE :"database" SET datestyle = 'German, DMY';
ALTER DATABASE :"database" SET intervalstyle = 'sql_standard';
ALTER DATABASE :"database" SET timezone = 'Asia/Kathmandu';
ALTER DATABASE :"database" SET bytea_output = 'escape';
ALTER DATABASE :"database" SET extra_float_digits = -3;
ALTER DATABASE :"database" SET xmloption = 'document';
ALTER DATABASE :"database" SET standard_conforming_strings = off;
ALTER DATABASE :"database" SET statement_timeout = '20min';
ALTER DATABASE :"database" SET idle_in_transaction_session_timeout = '20min';
ALTER DATABASE :"database" SET lock_timeout = '10min';
ALTER DATABASE :"database" SET row_security = on;
ALTER DATABASE :"database" SET zoo.custom = 'it''s \ ours';
ALTER ROLE zoo_reader IN DATABASE :"database" SET search_path = zoo_types, "odd schema";
ALTER ROLE zoo_writer IN DATABASE :"database" SET work_mem = '7MB';
ALTER DATABASE :"database" CONNECTION LIMIT 90;
GRANT TEMPORARY, CREATE ON DATABASE :"database" TO zoo_writer WITH GRANT OPTION;
GRANT CONNECT ON DATABASE :"database" TO zoo_reader;
ALTER DATABASE :"database" OWNER TO zoo_owner;
