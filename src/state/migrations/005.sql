ALTER TABLE connections ADD COLUMN account TEXT;

CREATE TABLE oauth_grants (
    connection_id BIGINT PRIMARY KEY REFERENCES connections (id),
    version BIGINT NOT NULL,
    sealed TEXT NOT NULL,
    lost BIGINT NOT NULL,
    dead TEXT
);

CREATE TABLE oauth_invitations (
    digest TEXT PRIMARY KEY,
    connection_id BIGINT NOT NULL REFERENCES connections (id),
    actor TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE oauth_logins (
    digest TEXT PRIMARY KEY,
    connection_id BIGINT NOT NULL REFERENCES connections (id),
    actor TEXT NOT NULL,
    browser TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    verifier TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
