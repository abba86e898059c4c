-- A small CRM to read from, for trying out.
CREATE TABLE opportunity (
  id          integer PRIMARY KEY,
  name        text NOT NULL,
  stage       text NOT NULL,
  amount      numeric(18,2),
  close_date  date,
  updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON opportunity (updated_at);
INSERT INTO opportunity (id, name, stage, amount, close_date)
SELECT i, 'Deal ' || i, (ARRAY['Proposal','Negotiation','Closed Won','Closed Lost'])[1 + i % 4],
       CASE WHEN i = 7 THEN 77600.55 ELSE i * 12.5 END, date '2026-01-01' + i % 365
FROM generate_series(1, 1000) i;
ANALYZE opportunity;
