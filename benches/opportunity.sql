-- A table shaped like a CRM's opportunities: 15 columns, the same rows at every run. psql -v rows=2000000
-- h(i,k): 0 .. 2^31-1, a fixed mixing of the row number with the column's.
CREATE FUNCTION h(i bigint, k int) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT hashint8extended(i, k::bigint) & 2147483647 $$;

CREATE UNLOGGED TABLE opportunity (
  id           text NOT NULL,               -- 18 characters, rising
  name         text NOT NULL,
  account_name text NOT NULL,
  owner_id     int NOT NULL,
  stage        text NOT NULL,               -- 7 values
  lead_source  text,                        -- 10 values, 15 % NULL
  amount       numeric(18,2),               -- 5 % NULL, a few large
  probability  double precision NOT NULL,
  is_closed    boolean NOT NULL,
  close_date   date NOT NULL,               -- four years
  created_at   timestamptz NOT NULL,        -- rising
  updated_at   timestamptz NOT NULL,
  quantity     int,                         -- 10 % NULL
  seq_no       bigint NOT NULL,
  description  text                         -- up to 80 characters, 30 % NULL
);

WITH words AS (
  SELECT ARRAY['Renewal','Expansion','New logo','Pilot','Upsell','Services'] AS kind,
         ARRAY['Acme','Globex','Initech','Umbrella','Stark','Wayne','Hooli','Vandelay','Wonka','Tyrell',
               'Cyberdyne','Soylent'] AS company,
         ARRAY['GmbH','Inc','Ltd','SA','BV','AG'] AS form,
         ARRAY['Prospecting','Qualification','Needs Analysis','Proposal','Negotiation','Closed Won','Closed Won',
               'Closed Lost'] AS stage,
         ARRAY['Web','Phone','Partner','Referral','Event','Ads','Email','Outbound','Inbound','Other'] AS lead
)
INSERT INTO opportunity
SELECT '006' || upper(lpad(to_hex(i * 37), 12, '0')) || 'AAA',
  kind[1 + h(i,1) % 6] || ' - ' || company[1 + h(i,2) % 12] || ' ' || h(i,3) % 50000,
  company[1 + h(i,2) % 12] || ' ' || h(i,3) % 50000 || ' ' || form[1 + h(i,4) % 6],
  1 + h(i,5) % 2000,
  stage[1 + h(i,6) % 8],
  CASE WHEN h(i,7) % 100 >= 15 THEN lead[1 + h(i,8) % 10] END,
  CASE WHEN h(i,9) % 100 >= 5
    THEN ((h(i,10) % 10000000 + h(i,11) % 1000000 * CASE WHEN h(i,12) % 20 = 0 THEN 40 ELSE 1 END) / 100.0)::numeric(18,2)
  END,
  (h(i,13) % 1001) / 1000.0,
  h(i,6) % 8 >= 5,
  date '2022-01-01' + (h(i,14) % 1461)::int,
  timestamptz '2021-06-01 00:00:00+00' + (i * 60 + h(i,15) % 60) * interval '1 second' * (40.0 / 60) * (2000000.0 / :rows),
  timestamptz '2025-01-01 00:00:00+00' + (h(i,16) % 31000000) * interval '1 second'
    + (h(i,17) % 1000000) * interval '1 microsecond',
  CASE WHEN h(i,18) % 10 > 0 THEN (1 + h(i,19) % 500)::int END,
  i,
  CASE WHEN h(i,20) % 10 >= 3
    THEN left(md5(i::text) || ' ' || md5((i + 7)::text) || ' follow up with buyer about terms', (h(i,21) % 81)::int)
  END
FROM generate_series(1::bigint, :rows) i, words;

ALTER TABLE opportunity ADD PRIMARY KEY (id);
CREATE INDEX ON opportunity (updated_at);
VACUUM (FREEZE, ANALYZE) opportunity;
