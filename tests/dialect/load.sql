-- Rows that are a function of their number alone, so that two servers that read them give the same answers.
CREATE SCHEMA crm;
SET search_path = crm;

CREATE TABLE owner (
  id    text PRIMARY KEY,
  name  text,
  email text
);
INSERT INTO owner
SELECT 'own-' || lpad(n::text, 4, '0'),
       CASE n % 5 WHEN 0 THEN 'Zoë O''Brien ' WHEN 1 THEN '名前 ' ELSE 'Owner ' END || n,
       CASE WHEN n % 10 = 0 THEN NULL ELSE 'owner' || n || '@example.com' END
FROM generate_series(1, 100) AS n;

CREATE TABLE opportunity (
  id          text PRIMARY KEY,
  name        text,
  amount      numeric(18,2),
  probability double precision,
  is_won      boolean,
  close_date  date,
  created_at  timestamptz,
  owner_id    text,
  stage       text,
  quantity    integer,
  revision    bigint
);
INSERT INTO opportunity
SELECT 'opp-' || lpad(n::text, 7, '0'),
       CASE WHEN n % 1000 = 7 THEN 'Déal "quoted", 日本 ' || n ELSE 'Deal ' || n END,
       CASE WHEN n % 10 = 0 THEN NULL ELSE ((n::bigint * 7919) % 10000000)::numeric / 100 END,
       CASE WHEN n % 11 = 0 THEN NULL ELSE (n % 101)::double precision / 100 END,
       CASE WHEN n % 13 = 0 THEN NULL ELSE n % 3 = 0 END,
       CASE WHEN n % 17 = 0 THEN NULL ELSE date '2020-01-01' + (n % 2000) END,
       timestamptz '2020-01-01 00:00:00+00' + n * interval '61 seconds' + (n % 1000) * interval '1 microsecond',
       CASE WHEN n % 19 = 0 THEN NULL ELSE 'own-' || lpad((n % 100 + 1)::text, 4, '0') END,
       (ARRAY['Prospecting','Qualification','Proposal','Negotiation','Closed Won','Closed Lost'])[n % 6 + 1],
       CASE WHEN n % 23 = 0 THEN NULL ELSE n % 1000 END,
       n::bigint * 4294967296 + n
FROM generate_series(1, 100000) AS n;

COMMENT ON TABLE opportunity IS 'Opportunity';
COMMENT ON COLUMN opportunity.amount IS 'Amount';
COMMENT ON COLUMN opportunity.close_date IS 'Close Date';
ANALYZE;

-- Who asks: somebody who may read and nothing else.
GRANT USAGE ON SCHEMA crm TO dialect_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA crm TO dialect_reader;
