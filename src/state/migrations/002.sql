ALTER TABLE releases ADD COLUMN removed_at BIGINT;

CREATE TABLE periods (
    name TEXT PRIMARY KEY,
    release_id BIGINT NOT NULL REFERENCES releases (id),
    frozen_at BIGINT NOT NULL,
    frozen_by TEXT NOT NULL,
    reason TEXT
);

CREATE TABLE readers (
    node TEXT NOT NULL,
    release_id BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (node, release_id)
);

CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
