ALTER TABLE logins ADD COLUMN browser_verifier TEXT;

CREATE TABLE browser_sessions (
    id_hash TEXT PRIMARY KEY,
    login TEXT NOT NULL,
    began_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    address TEXT NOT NULL
);

CREATE INDEX browser_sessions_login ON browser_sessions (login);

CREATE TABLE setup_links (
    id_hash TEXT PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

ALTER TABLE connections ADD COLUMN connected_at BIGINT;

CREATE TABLE dropped_objects (
    id TEXT PRIMARY KEY,
    connection_id BIGINT NOT NULL,
    definition TEXT NOT NULL,
    dropped_at BIGINT NOT NULL,
    dropped_by TEXT NOT NULL
);
