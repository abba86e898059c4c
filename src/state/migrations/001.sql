CREATE TABLE sequences (name TEXT PRIMARY KEY, value BIGINT NOT NULL);

INSERT INTO sequences (name, value) VALUES ('connection', 0), ('sync', 0), ('run', 0), ('release', 0), ('audit', 0);

CREATE TABLE connections (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    connector TEXT NOT NULL,
    settings TEXT NOT NULL,
    status TEXT NOT NULL,
    identity TEXT,
    created_at BIGINT NOT NULL
);

CREATE TABLE secrets (
    connection_id BIGINT NOT NULL REFERENCES connections (id),
    field TEXT NOT NULL,
    version BIGINT NOT NULL,
    sealed TEXT NOT NULL,
    PRIMARY KEY (connection_id, field)
);

CREATE TABLE objects (
    id TEXT PRIMARY KEY,
    connection_id BIGINT NOT NULL REFERENCES connections (id),
    name TEXT NOT NULL,
    api TEXT NOT NULL,
    label TEXT NOT NULL,
    fields TEXT NOT NULL,
    import TEXT NOT NULL,
    schema_version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (connection_id, name),
    UNIQUE (connection_id, api)
);

CREATE TABLE syncs (
    id BIGINT PRIMARY KEY,
    mode TEXT NOT NULL,
    actor TEXT NOT NULL,
    started_at BIGINT NOT NULL
);

CREATE TABLE runs (
    id BIGINT PRIMARY KEY,
    sync_id BIGINT NOT NULL REFERENCES syncs (id),
    object_id TEXT NOT NULL,
    object TEXT NOT NULL,
    mode TEXT NOT NULL,
    status TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    counts TEXT NOT NULL,
    version BIGINT,
    release_id BIGINT,
    cause TEXT,
    remedy TEXT
);

CREATE INDEX runs_status ON runs (status);

CREATE TABLE leases (
    object_id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    fence BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE releases (
    id BIGINT PRIMARY KEY,
    published_at BIGINT NOT NULL,
    cause TEXT NOT NULL
);

CREATE INDEX releases_published_at ON releases (published_at);

CREATE TABLE release_objects (
    object_id TEXT NOT NULL,
    from_release BIGINT NOT NULL,
    to_release BIGINT,
    connection TEXT NOT NULL,
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (object_id, from_release)
);

CREATE INDEX release_objects_to ON release_objects (to_release);

CREATE TABLE logins (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    verifier TEXT NOT NULL,
    enabled BIGINT NOT NULL
);

CREATE TABLE grants (
    login TEXT NOT NULL REFERENCES logins (name),
    connection TEXT NOT NULL,
    object TEXT NOT NULL,
    PRIMARY KEY (login, connection, object)
);

CREATE TABLE audits (
    id BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    verb TEXT NOT NULL,
    arguments TEXT NOT NULL,
    outcome TEXT NOT NULL
);
