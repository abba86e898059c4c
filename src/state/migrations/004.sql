INSERT INTO sequences (name, value) VALUES ('erasure', 0);

CREATE TABLE erasures (
    id BIGINT PRIMARY KEY,
    connection_id BIGINT NOT NULL,
    api TEXT NOT NULL,
    object TEXT NOT NULL,
    fields TEXT NOT NULL,
    digest TEXT NOT NULL,
    secret TEXT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    pending TEXT,
    stored_rows BIGINT,
    files BIGINT,
    releases BIGINT
);

CREATE INDEX erasures_api ON erasures (connection_id, api);
