-- What the driver tests read: one column of every common type, and many rows.
CREATE TABLE every_type (
  id            integer PRIMARY KEY,
  a_boolean     boolean,
  a_smallint    smallint,
  an_integer    integer,
  a_bigint      bigint,
  a_real        real,
  a_double      double precision,
  a_numeric     numeric(18,2),
  a_wide        numeric(38,10),
  a_text        text,
  a_varchar     varchar(40),
  a_bytea       bytea,
  a_date        date,
  a_timestamp   timestamp,
  a_timestamptz timestamptz,
  a_uuid        uuid,
  a_json        json,
  texts         text[],
  integers      integer[]
);
INSERT INTO every_type VALUES
(1, true, -2, 3, 4000000000, 1.5, 2.25, 77600.55, 12345678901234567890.0123456789, E'Zoë said "hi", \\ and 🙂\nbye',
 'plain', '\x00ff10', '2024-02-29', '2024-02-29 13:14:15.678901', '2024-02-29 13:14:15.678901+00',
 '8c5b1b5e-3c5a-4b7e-9a53-0d5f5ad1a001', '{"a": [1, null]}', ARRAY['a', NULL, 'c d', 'NULL', '"'], '{1,NULL,-3}'),
(2, false, -32768, 2147483647, 9223372036854775807, 3.4028235e38, 1.7976931348623157e308, -9999999999999999.99,
 9999999999999999999999999999.9999999999, '', '', '', '0001-01-02', '9999-12-31 23:59:59.999998',
 '1969-12-31 23:59:59.999999+00', '00000000-0000-0000-0000-000000000000', '""', '{}', '{}'),
(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE many (
  id      integer PRIMARY KEY,
  name    text NOT NULL,
  amount  numeric(18,2) NOT NULL,
  changed timestamptz NOT NULL
);
INSERT INTO many
SELECT i, 'row ' || i, (i::bigint * 7919 % 1000003)::numeric / 100, timestamptz '2024-01-01 00:00:00+00' + i * interval '1 second'
FROM generate_series(1, 100000) i;
ANALYZE;
