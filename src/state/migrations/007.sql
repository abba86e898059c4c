INSERT INTO sequences (name, value) VALUES ('alert', 0);

ALTER TABLE connections ADD COLUMN check_at BIGINT;

ALTER TABLE connections ADD COLUMN late_after_hours BIGINT;

ALTER TABLE runs ADD COLUMN fault TEXT;

ALTER TABLE runs ADD COLUMN summary TEXT;

CREATE INDEX runs_object ON runs (object_id, id);

CREATE TABLE health (
    connection_id BIGINT NOT NULL REFERENCES connections (id),
    object_id TEXT NOT NULL,
    state TEXT NOT NULL,
    fault TEXT,
    summary TEXT,
    cause TEXT,
    remedy TEXT,
    turn TEXT NOT NULL,
    since BIGINT NOT NULL,
    checked_at BIGINT NOT NULL,
    PRIMARY KEY (connection_id, object_id)
);

CREATE TABLE alerts (
    id BIGINT PRIMARY KEY,
    cause TEXT NOT NULL,
    severity TEXT NOT NULL,
    connection TEXT,
    object TEXT,
    run_id BIGINT,
    summary TEXT NOT NULL,
    text TEXT NOT NULL,
    remedy TEXT,
    turn TEXT NOT NULL,
    raised_at BIGINT NOT NULL,
    cleared_at BIGINT,
    acknowledged_at BIGINT,
    acknowledged_by TEXT
);

CREATE UNIQUE INDEX alerts_open ON alerts (cause) WHERE cleared_at IS NULL;

CREATE INDEX alerts_cause ON alerts (cause);

CREATE TABLE messages (
    alert_id BIGINT NOT NULL REFERENCES alerts (id),
    channel TEXT NOT NULL,
    event TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    sent_at BIGINT,
    error TEXT,
    PRIMARY KEY (alert_id, channel, event)
);

CREATE INDEX messages_due ON messages (channel, due_at) WHERE sent_at IS NULL;
