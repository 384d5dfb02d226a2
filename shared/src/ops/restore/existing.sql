-- Everything in a database that has a name, by the kinds that a schema's archive tells apart. search_path must be empty:
-- types are printed as the archive prints them.
SELECT 'SCHEMA' AS kind, '' AS schema, nspname::text AS name FROM pg_catalog.pg_namespace
UNION ALL SELECT 'EXTENSION', '', extname::text FROM pg_catalog.pg_extension
UNION ALL SELECT 'LANGUAGE', '', lanname::text FROM pg_catalog.pg_language
UNION ALL SELECT 'FOREIGN DATA WRAPPER', '', fdwname::text FROM pg_catalog.pg_foreign_data_wrapper
UNION ALL SELECT 'SERVER', '', srvname::text FROM pg_catalog.pg_foreign_server
UNION ALL SELECT 'ACCESS METHOD', '', amname::text FROM pg_catalog.pg_am
UNION ALL SELECT 'CAST', '',
    'CAST (' || pg_catalog.format_type(castsource, NULL) || ' AS ' || pg_catalog.format_type(casttarget, NULL) || ')'
    FROM pg_catalog.pg_cast
UNION ALL SELECT found.kind, n.nspname::text, found.name::text
FROM (
    SELECT 'RELATION' AS kind, relnamespace AS schema, relname AS name FROM pg_catalog.pg_class
    UNION ALL SELECT 'TYPE', typnamespace, typname FROM pg_catalog.pg_type
    UNION ALL SELECT 'COLLATION', collnamespace, collname FROM pg_catalog.pg_collation
    UNION ALL SELECT 'CONVERSION', connamespace, conname FROM pg_catalog.pg_conversion
    UNION ALL SELECT 'OPERATOR', oprnamespace, oprname FROM pg_catalog.pg_operator
    UNION ALL SELECT 'OPERATOR CLASS', opcnamespace, opcname FROM pg_catalog.pg_opclass
    UNION ALL SELECT 'OPERATOR FAMILY', opfnamespace, opfname FROM pg_catalog.pg_opfamily
    UNION ALL SELECT 'TEXT SEARCH CONFIGURATION', cfgnamespace, cfgname FROM pg_catalog.pg_ts_config
    UNION ALL SELECT 'TEXT SEARCH DICTIONARY', dictnamespace, dictname FROM pg_catalog.pg_ts_dict
    UNION ALL SELECT 'TEXT SEARCH PARSER', prsnamespace, prsname FROM pg_catalog.pg_ts_parser
    UNION ALL SELECT 'TEXT SEARCH TEMPLATE', tmplnamespace, tmplname FROM pg_catalog.pg_ts_template
) AS found(kind, schema, name)
JOIN pg_catalog.pg_namespace n ON n.oid = found.schema
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
UNION ALL
SELECT 'FUNCTION', n.nspname::text, p.proname || '(' || coalesce(
    (SELECT pg_catalog.string_agg(pg_catalog.format_type(argument.type, NULL), ', ' ORDER BY argument.number)
     FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY AS argument(type, number)),
    CASE p.prokind WHEN 'a' THEN '*' ELSE '' END) || ')'
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
