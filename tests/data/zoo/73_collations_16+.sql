-- Rules of one's own.
CREATE COLLATION zoo_text.with_rules (PROVIDER = icu, LOCALE = 'und', RULES = '&V << w <<< W');
CREATE TABLE zoo_text.ruled (t text COLLATE zoo_text.with_rules PRIMARY KEY);
INSERT INTO zoo_text.ruled VALUES ('v'), ('w'), ('W');
