CREATE INDEX runs_sync ON runs (sync_id);

CREATE TABLE field_grants (
    login TEXT NOT NULL REFERENCES logins (name),
    connection TEXT NOT NULL,
    object TEXT NOT NULL,
    field TEXT NOT NULL,
    PRIMARY KEY (login, connection, object, field)
);

CREATE TABLE masks (
    object_id TEXT NOT NULL,
    field TEXT NOT NULL,
    kind TEXT NOT NULL,
    PRIMARY KEY (object_id, field)
);
