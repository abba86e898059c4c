INSERT INTO sequences (name, value) VALUES ('override', 0);

ALTER TABLE release_objects ADD COLUMN overrides BIGINT;

CREATE TABLE overrides (
    id BIGINT PRIMARY KEY,
    object_id TEXT NOT NULL,
    object TEXT NOT NULL,
    record TEXT NOT NULL,
    column_name TEXT NOT NULL,
    field TEXT NOT NULL,
    content TEXT,
    old_content TEXT,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    expires_at BIGINT,
    from_release BIGINT NOT NULL,
    to_release BIGINT,
    ended TEXT,
    ended_at BIGINT,
    ended_by TEXT,
    end_reason TEXT,
    mirrored BIGINT NOT NULL
);

CREATE INDEX overrides_record ON overrides (object_id, record);

CREATE INDEX overrides_open ON overrides (expires_at) WHERE to_release IS NULL;

CREATE INDEX overrides_unmirrored ON overrides (object_id) WHERE mirrored = 0;
