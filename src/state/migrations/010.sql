INSERT INTO sequences (name, value) VALUES ('statement_run', 0), ('batch', 0);

CREATE TABLE statements (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    query TEXT NOT NULL,
    unique_fields TEXT NOT NULL,
    description TEXT,
    required BIGINT NOT NULL,
    time_zone TEXT NOT NULL,
    keep_days BIGINT,
    fields TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);

CREATE TABLE statement_runs (
    id BIGINT PRIMARY KEY,
    statement_id TEXT NOT NULL,
    statement TEXT NOT NULL,
    batch_id BIGINT,
    actor TEXT NOT NULL,
    query TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    status TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    read_release BIGINT NOT NULL,
    read_at BIGINT NOT NULL,
    reads TEXT NOT NULL,
    result TEXT,
    result_release BIGINT,
    cause TEXT,
    remedy TEXT,
    owner TEXT NOT NULL
);

CREATE INDEX statement_runs_statement ON statement_runs (statement_id, id);

CREATE INDEX statement_runs_read ON statement_runs (read_release);

CREATE INDEX statement_runs_result ON statement_runs (result_release);

CREATE TABLE batches (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    night TEXT UNIQUE,
    started_by TEXT NOT NULL,
    actor TEXT NOT NULL,
    due_at BIGINT,
    status TEXT NOT NULL,
    queued_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    release_id BIGINT,
    result_release BIGINT,
    cancelled_by TEXT,
    cause TEXT
);

CREATE TABLE batch_steps (
    batch_id BIGINT NOT NULL REFERENCES batches (id),
    position BIGINT NOT NULL,
    kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    name TEXT NOT NULL,
    required BIGINT NOT NULL,
    status TEXT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    run_id BIGINT,
    cause TEXT,
    PRIMARY KEY (batch_id, position)
);

CREATE TABLE batch_messages (
    batch_id BIGINT NOT NULL REFERENCES batches (id),
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    sent_at BIGINT,
    error TEXT,
    PRIMARY KEY (batch_id, event)
);
