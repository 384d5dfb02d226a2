-- What the sets are made of, in a schema that is dropped when they are: dice that fall the same in every run, and prose.
-- Words come as often as in a language (few of them very often), so that the prose compresses like one.

CREATE SCHEMA material;

-- A number from 0 below `sides`, for the row `i`.
CREATE FUNCTION material.dice(i bigint, salt int, sides int) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ((hashint8extended(i, salt) & 9223372036854775807) % sides)::int
$$;

CREATE FUNCTION material.one_of(i bigint, salt int, words text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT words[1 + ((hashint8extended(i, salt) & 9223372036854775807) % cardinality(words))::int]
$$;

-- From 2020 on, one row every `apart` seconds, each a little late.
CREATE FUNCTION material.moment(i bigint, salt int, apart float8) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_timestamp(1577836800 + i * apart + material.dice(i, salt, 3600000) / 1000.0)
$$;

SELECT greatest(2000, 100000 * :scale)::int AS paragraphs \gset

CREATE TABLE material.words AS
SELECT id::int, word
FROM string_to_array(
    'the of and to a in is it that was for on with as he she they at be this from have or by one had not but what all were '
    'when we there can an your which their said if do will each about how up out them then many some so these would other '
    'into has more her two like him see time could no make than first been its who now people my made over did down only '
    'way find use may water long little very after words called just where most know get through back much before go good '
    'new write our used me man too any day same right look think also around another came come work three word must because '
    'does part even place well such here take why things help put years different away again off went old number great tell '
    'men say small every found still between name should home big give air line set own under read last never us left end '
    'along while might next sound below saw something thought both few those always looked show large often together asked '
    'house world going want school important until form food keep children feet land side without boy once animals life '
    'enough took sometimes four head above kind began almost live page got earth need far hand high year mother light parts '
    'country father let night following picture being study second eyes soon times story boys since white days ever paper '
    'hard near sentence better best across during today others however sure means knew try told young miles sun ways thing '
    'whole hear example heard several change answer room sea against top turned learn point city play toward five using '
    'himself usually money seen car morning given trip order delivery parcel arrived broken colour quality price leather '
    'cotton warranty refund customer invoice battery charger comfortable excellent disappointed recommend returned fits '
    'perfectly shipping quickly packaging damaged replacement material stitching durable lightweight waterproof sturdy '
    'instructions assembly missing screws handle surface kitchen garden bicycle helmet jacket umbrella notebook keyboard '
    'screen speaker cable adapter reliable afternoon summer winter holiday present grandmother neighbour apartment balcony '
    'window ceiling corridor bridge harbour railway station platform journey luggage mountain valley river forest meadow',
    ' ') list, unnest(list) WITH ORDINALITY AS listed (word, id);

ALTER TABLE material.words ADD PRIMARY KEY (id);

ANALYZE material.words;

SELECT count(*) AS words FROM material.words \gset

CREATE TABLE material.prose (id int PRIMARY KEY, text text NOT NULL);

INSERT INTO material.prose
SELECT p, string_agg(
    CASE WHEN k % 13 = 0 THEN initcap(word) WHEN k % 13 = 12 THEN word || '.' WHEN k % 7 = 5 THEN word || ',' ELSE word END,
    ' ' ORDER BY k)
FROM generate_series(1, :paragraphs) p,
     generate_series(0, 64 + p % 14) k,
     material.words
WHERE words.id = 1 + floor(:words * power(material.dice(p * 1000::bigint + k, 1, 1000000) / 1e6::float8, 1.7))::int
GROUP BY p
ORDER BY p;

ANALYZE material.prose;
