-- A shop: customers, products, orders with their items, reviews. 1.5 GB of rows at scale 1.

\ir prose.sql

SELECT greatest(200, 780000 * :scale)::int AS customers,
       greatest(100, 100000 * :scale)::int AS products,
       greatest(600, 2600000 * :scale)::int AS orders,
       greatest(1800, 7800000 * :scale)::int AS items,
       greatest(200, 1000000 * :scale)::int AS reviews \gset

CREATE TABLE customers (
    id bigint NOT NULL,
    number uuid NOT NULL,
    first_name text NOT NULL,
    last_name text NOT NULL,
    email text NOT NULL,
    phone text,
    street text,
    postcode text,
    city text,
    country char(2) NOT NULL,
    born date,
    credit numeric(12, 2) NOT NULL,
    newsletter boolean NOT NULL,
    created_at timestamptz NOT NULL,
    seen_at timestamptz,
    notes text
);

INSERT INTO customers
SELECT i,
       md5(i::text)::uuid,
       first_name,
       last_name,
       lower(first_name) || '.' || lower(last_name) || material.dice(i, 3, 10000) || '@example.' || material.one_of(i, 4, '{com,org,net}'),
       CASE WHEN i % 4 > 0 THEN '+49 ' || 151 + material.dice(i, 5, 28) || ' ' || 1000000 + material.dice(i, 6, 8999999) END,
       initcap(material.one_of(i, 7, '{harbour,station,forest,river,garden,church,mill,market,school,bridge}')) || ' '
           || material.one_of(i, 8, '{street,road,lane,square}') || ' ' || 1 + material.dice(i, 9, 180),
       lpad(material.dice(i, 10, 99999)::text, 5, '0'),
       material.one_of(i, 11, '{Aachen,Bergen,Como,Delft,Espoo,Fulda,Ghent,Haarlem,Innsbruck,Jena,Kiel,Lyon,Malmö,Nantes,Oslo,Porto}'),
       material.one_of(i, 12, '{DE,NO,IT,NL,FI,BE,AT,FR,SE,PT}'),
       date '1940-01-01' + material.dice(i, 13, 24000),
       material.dice(i, 14, 5000000) / 100.0,
       i % 3 = 0,
       material.moment(i, 15, 192 / :scale),
       material.moment(i, 16, 192 / :scale) + material.dice(i, 17, 40000000) * interval '1 second',
       CASE WHEN i % 5 = 0 THEN left(prose.text, 60 + material.dice(i, 18, 240)) END
FROM (
    SELECT i,
           material.one_of(i, 1, '{Anna,Bruno,Clara,David,Emma,Felix,Greta,Hugo,Ida,Jonas,Klara,Liam,Mia,Noah,Olga,Paul,Ruth,Samuel,Tilda,Viktor}') AS first_name,
           material.one_of(i, 2, '{Andersen,Bauer,Costa,Dubois,Eriksen,Fischer,Garcia,Hansen,Ivanov,Jansen,Keller,Lindqvist,Moreau,Novak,Olsen,Peeters,Rossi,Schmidt,Toivonen,Weber}') AS last_name
    FROM generate_series(1, :customers) i
) person
JOIN material.prose ON prose.id = 1 + material.dice(i, 19, :paragraphs)
ORDER BY i;

CREATE TABLE products (
    id bigint NOT NULL,
    sku text NOT NULL,
    title text NOT NULL,
    description text NOT NULL,
    price numeric(10, 2) NOT NULL,
    weight_kg numeric(8, 3),
    stock integer NOT NULL,
    rating double precision,
    tags text[] NOT NULL,
    changed_at timestamptz NOT NULL
);

INSERT INTO products
SELECT i,
       upper(left(md5(i::text), 3)) || '-' || lpad(i::text, 8, '0'),
       initcap(left(a.text, 30)),
       a.text || E'\n\n' || b.text,
       (99 + material.dice(i, 1, 50000)) / 100.0,
       material.dice(i, 2, 30000) / 1000.0,
       material.dice(i, 3, 500),
       1 + material.dice(i, 4, 4000000) / 1e6,
       ARRAY[material.one_of(i, 5, '{new,sale,classic}'), material.one_of(i, 6, '{kitchen,garden,office,sport,travel}')],
       material.moment(i, 7, 1500 / :scale)
FROM generate_series(1, :products) i
JOIN material.prose a ON a.id = 1 + material.dice(i, 8, :paragraphs)
JOIN material.prose b ON b.id = 1 + material.dice(i, 9, :paragraphs)
ORDER BY i;

CREATE TABLE orders (
    id bigint NOT NULL,
    customer bigint NOT NULL,
    state text NOT NULL,
    placed_at timestamptz NOT NULL,
    sent_at timestamptz,
    total numeric(12, 2) NOT NULL,
    tax numeric(12, 2) NOT NULL,
    currency char(3) NOT NULL,
    payment text NOT NULL,
    tracking text,
    ip inet,
    note text
);

INSERT INTO orders
SELECT i,
       1 + material.dice(i, 1, :customers),
       material.one_of(i, 2, '{delivered,delivered,delivered,delivered,sent,paid,placed,cancelled,returned}'),
       material.moment(i, 3, 58 / :scale),
       CASE WHEN i % 7 > 0 THEN material.moment(i, 3, 58 / :scale) + material.dice(i, 4, 400000) * interval '1 second' END,
       material.dice(i, 5, 90000) / 100.0,
       round(material.dice(i, 5, 90000) * 0.0019, 2),
       material.one_of(i, 6, '{EUR,EUR,EUR,NOK,SEK,CHF}'),
       material.one_of(i, 7, '{card,card,invoice,transfer,wallet}'),
       CASE WHEN i % 7 > 0 THEN 'JJD' || 100000000 + material.dice(i, 8, 899999999) || material.dice(i, 9, 999999) END,
       '10.0.0.0'::inet + material.dice(i, 10, 16000000),
       CASE WHEN i % 6 = 0 THEN left(prose.text, 20 + material.dice(i, 11, 120)) END
FROM generate_series(1, :orders) i
JOIN material.prose ON prose.id = 1 + material.dice(i, 12, :paragraphs)
ORDER BY i;

CREATE TABLE items (
    id bigint NOT NULL,
    "order" bigint NOT NULL,
    product bigint NOT NULL,
    quantity smallint NOT NULL,
    price numeric(10, 2) NOT NULL,
    discount numeric(4, 3) NOT NULL,
    gift boolean NOT NULL,
    packed_at timestamptz
);

INSERT INTO items
SELECT i,
       1 + (i - 1) / 3,
       1 + material.dice(i, 1, :products),
       1 + material.dice(i, 2, 5),
       (99 + material.dice(i, 3, 50000)) / 100.0,
       material.dice(i, 4, 6) * 0.05,
       material.dice(i, 5, 20) = 0,
       CASE WHEN i % 9 > 0 THEN material.moment(i, 6, 19 / :scale) END
FROM generate_series(1, :items) i;

CREATE TABLE reviews (
    id bigint NOT NULL,
    product bigint NOT NULL,
    customer bigint NOT NULL,
    stars smallint NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    helpful integer NOT NULL,
    written_at timestamptz NOT NULL
);

INSERT INTO reviews
SELECT i,
       1 + material.dice(i, 1, :products),
       1 + material.dice(i, 2, :customers),
       5 - material.dice(i, 3, 20) / 5,
       left(prose.text, 15 + material.dice(i, 4, 30)),
       right(prose.text, 80 + material.dice(i, 5, 500)),
       material.dice(i, 6, 60),
       material.moment(i, 7, 150 / :scale)
FROM generate_series(1, :reviews) i
JOIN material.prose ON prose.id = 1 + material.dice(i, 8, :paragraphs)
ORDER BY i;

ALTER TABLE customers ADD PRIMARY KEY (id);
ALTER TABLE products ADD PRIMARY KEY (id), ADD UNIQUE (sku);
ALTER TABLE orders ADD PRIMARY KEY (id), ADD FOREIGN KEY (customer) REFERENCES customers;
ALTER TABLE items ADD PRIMARY KEY (id), ADD FOREIGN KEY ("order") REFERENCES orders, ADD FOREIGN KEY (product) REFERENCES products;
ALTER TABLE reviews ADD PRIMARY KEY (id), ADD FOREIGN KEY (product) REFERENCES products, ADD FOREIGN KEY (customer) REFERENCES customers;
CREATE INDEX ON customers (email);
CREATE INDEX ON orders (customer, placed_at);
CREATE INDEX ON items ("order");
CREATE INDEX ON reviews (product);

DROP SCHEMA material CASCADE;
