-- The right to maintain.
GRANT MAINTAIN ON zoo_security.granted TO zoo_writer WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_owner IN SCHEMA zoo_security GRANT MAINTAIN ON TABLES TO zoo_reader;
