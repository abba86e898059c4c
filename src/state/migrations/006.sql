INSERT INTO sequences (name, value) VALUES ('catalog', 0), ('number', 0);

CREATE TABLE numbers (subject TEXT PRIMARY KEY, number BIGINT NOT NULL UNIQUE);
