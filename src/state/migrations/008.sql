CREATE TABLE removals (
    run_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    object_id TEXT NOT NULL,
    record_key TEXT NOT NULL,
    reason TEXT NOT NULL,
    merged_into TEXT,
    PRIMARY KEY (run_id, seq)
);

CREATE INDEX removals_object ON removals (object_id, run_id);

CREATE TABLE quarantine (
    run_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    object_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE INDEX quarantine_object ON quarantine (object_id, run_id);

ALTER TABLE connections ADD COLUMN login TEXT;

ALTER TABLE connections ADD COLUMN seen TEXT;

ALTER TABLE connections ADD COLUMN review TEXT;

CREATE TABLE visibility (
    connection_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    kind TEXT NOT NULL,
    object TEXT NOT NULL,
    name TEXT,
    change TEXT NOT NULL,
    PRIMARY KEY (connection_id, seq)
);
