-- Documents: JSONB of a kilobyte or two, and pages of text so wide that the server keeps them compressed beside their
-- table. 1.5 GB of rows at scale 1.

\ir prose.sql

SELECT greatest(100, 450000 * :scale)::int AS documents, greatest(20, 60000 * :scale)::int AS pages \gset

CREATE TABLE documents (
    id bigint PRIMARY KEY,
    kind text NOT NULL,
    changed_at timestamptz NOT NULL,
    body jsonb NOT NULL
);

INSERT INTO documents
SELECT i,
       material.one_of(i, 1, '{article,profile,event,event,event}'),
       material.moment(i, 2, 300 / :scale),
       jsonb_build_object(
           'id', md5(i::text),
           'version', 1 + material.dice(i, 3, 12),
           'author', jsonb_build_object('id', material.dice(i, 4, 100000), 'name', initcap(left(b.text, 12)), 'admin', i % 50 = 0),
           'title', left(a.text, 50),
           'summary', a.text,
           'body', b.text,
           'labels', jsonb_build_array(material.one_of(i, 5, '{draft,public,secret}'), material.one_of(i, 6, '{en,de,fr,sv}')),
           'metrics', (
               SELECT jsonb_agg(jsonb_build_object('at', 1577836800 + i * 60 + k, 'value', material.dice(i * 16 + k, 7, 100000) / 1000.0))
               FROM generate_series(1, 2 + material.dice(i, 8, 8)) k),
           'parent', CASE WHEN i % 3 = 0 THEN md5((i / 3)::text) END)
FROM generate_series(1, :documents) i
JOIN material.prose a ON a.id = 1 + material.dice(i, 9, :paragraphs)
JOIN material.prose b ON b.id = 1 + material.dice(i, 10, :paragraphs)
ORDER BY i;

CREATE INDEX ON documents ((body ->> 'id'));

CREATE TABLE pages (
    id bigint PRIMARY KEY,
    url text NOT NULL UNIQUE,
    fetched_at timestamptz NOT NULL,
    content text NOT NULL,
    digest bytea NOT NULL
);

INSERT INTO pages
SELECT i,
       'https://www.example.org/' || material.one_of(i, 1, '{news,blog,docs,shop}') || '/' || i || '/' || left(md5(i::text), 8),
       material.moment(i, 2, 2500 / :scale),
       (
           SELECT string_agg(
               (SELECT text FROM material.prose WHERE id = 1 + material.dice(i * 100 + k, 4, :paragraphs)), E'\n\n' ORDER BY k)
           FROM generate_series(1, 6 + material.dice(i, 3, 60)) k
       ),
       sha256(i::text::bytea)
FROM generate_series(1, :pages) i;

DROP SCHEMA material CASCADE;
