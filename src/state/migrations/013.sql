INSERT INTO sequences (name, value) VALUES ('notice', 0);

CREATE TABLE notices (
    id BIGINT PRIMARY KEY,
    node TEXT NOT NULL,
    at BIGINT NOT NULL,
    channel TEXT NOT NULL,
    payload TEXT NOT NULL,
    readers TEXT
);
