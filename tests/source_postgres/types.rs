//! Every type on its way from PostgreSQL to Arrow.

use super::*;
use crate::support::postgres::database;

/// Type, SQL value, type kept, value kept.
const VALUES: &[(&str, &str, &str, &str)] = &[
    ("boolean", "true", "boolean", "true"),
    ("boolean", "false", "boolean", "false"),
    ("smallint", "-32768", "smallint", "-32768"),
    ("integer", "2147483647", "integer", "2147483647"),
    ("integer", "-2147483648", "integer", "-2147483648"),
    ("bigint", "9223372036854775807", "bigint", "9223372036854775807"),
    ("bigint", "-9223372036854775808", "bigint", "-9223372036854775808"),
    ("oid", "4294967295", "bigint", "4294967295"),
    ("real", "'-1.5'", "real", "-1.5"),
    ("double precision", "'NaN'", "double precision", "NaN"),
    ("double precision", "1e308", "double precision", "1e308"),
    ("double precision", "'-Infinity'", "double precision", "-inf"),
    ("numeric(18,2)", "77600.55", "numeric(18,2)", "77600.55"),
    ("numeric(18,2)", "-0.01", "numeric(18,2)", "-0.01"),
    ("numeric(18,2)", "9999999999999999.99", "numeric(18,2)", "9999999999999999.99"),
    (
        "numeric(38,0)",
        "99999999999999999999999999999999999999",
        "numeric(38,0)",
        "99999999999999999999999999999999999999",
    ),
    (
        "numeric(38,2)",
        "-999999999999999999999999999999999999.99",
        "numeric(38,2)",
        "-999999999999999999999999999999999999.99",
    ),
    (
        "numeric(38,38)",
        "0.00000000000000000000000000000000000001",
        "numeric(38,38)",
        "0.00000000000000000000000000000000000001",
    ),
    ("numeric(5,-2)", "12345", "numeric(7,0)", "12300"),
    ("numeric(2,5)", "0.00099", "numeric(5,5)", "0.00099"),
    (
        "numeric(39,1)",
        "12345678901234567890123456789012345678.5",
        "text",
        "12345678901234567890123456789012345678.5",
    ),
    ("numeric", "1234.5678", "numeric(38,4)", "1234.5678"),
    ("numeric", "1e30", "numeric(38,2)", "1000000000000000000000000000000.00"),
    ("numeric", "1e40", "text", "10000000000000000000000000000000000000000"),
    ("money", "12.34", "numeric(20,2)", "12.34"),
    ("text", "'grün 🌊'", "text", "grün 🌊"),
    ("text", "''", "text", ""),
    ("varchar(5)", "'abc'", "text", "abc"),
    ("char(5)", "'c'", "text", "c"),
    ("char(3)", "''", "text", ""),
    ("name", "'n'", "text", "n"),
    ("\"char\"", "'x'", "text", "x"),
    ("bytea", "'\\x00ff10'", "bytea", "00ff10"),
    ("date", "'2024-02-29'", "date", "2024-02-29"),
    ("date", "'0044-03-15 BC'", "date", "-0043-03-15"),
    ("time", "'24:00:00'", "text", "24:00:00"),
    ("time", "'12:34:56.789'", "text", "12:34:56.789"),
    ("timetz", "'12:00:00+02'", "text", "12:00:00+02"),
    (
        "timestamp",
        "'2026-03-29 02:30:00.123456'",
        "timestamp without time zone",
        "2026-03-29T02:30:00.123456",
    ),
    (
        "timestamp",
        "'1969-12-31 23:59:59.999999'",
        "timestamp without time zone",
        "1969-12-31T23:59:59.999999",
    ),
    ("timestamptz", "'2026-01-01 00:00:00+05:30'", "timestamp with time zone", "2025-12-31T18:30:00Z"),
    ("interval", "'1 year 2 mons 3 days 04:05:06.7'", "text", "P1Y2M3DT4H5M6.7S"),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "text", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("json", "'{\"a\" :  1}'", "text", "{\"a\" :  1}"),
    ("jsonb", "'{\"a\" :  [1,null]}'", "text", "{\"a\": [1, null]}"),
    ("xml", "'<a/>'", "text", "<a/>"),
    ("inet", "'10.1.2.3/8'", "text", "10.1.2.3/8"),
    ("cidr", "'2001:db8::/32'", "text", "2001:db8::/32"),
    ("macaddr", "'08:00:2b:01:02:03'", "text", "08:00:2b:01:02:03"),
    ("bit(3)", "B'101'", "text", "101"),
    ("varbit", "B'1'", "text", "1"),
    ("point", "'(1,2)'", "text", "(1,2)"),
    ("tsvector", "'a b'", "text", "'a' 'b'"),
    ("int4range", "'[1,5)'", "text", "[1,5)"),
    ("int4multirange", "'{[1,5),[7,9)}'", "text", "{[1,5),[7,9)}"),
    ("pg_lsn", "'16/B374D848'", "text", "16/B374D848"),
    ("regclass", "'pg_class'", "text", "pg_class"),
    ("mood", "'happy'", "text", "happy"),
    ("price", "1.25", "numeric(10,2)", "1.25"),
    ("fine_price", "1.25", "numeric(10,2)", "1.25"),
    ("pair", "ROW(1, 'x')", "text", "{\"a\": 1, \"b\": \"x\"}"),
    ("integer[]", "'{1,NULL,3}'", "integer[]", "[1, ∅, 3]"),
    ("integer[]", "'{}'", "integer[]", "[]"),
    ("text[]", "'{a,\"b,c\",NULL,\"\"}'", "text[]", "[a, b,c, ∅, ]"),
    ("numeric(10,2)[]", "'{1.5,-2}'", "numeric(10,2)[]", "[1.50, -2.00]"),
    ("numeric[]", "'{1.5,2.125}'", "numeric(38,3)[]", "[1.500, 2.125]"),
    ("money[]", "'{1.5}'", "numeric(20,2)[]", "[1.50]"),
    ("mood[]", "'{sad,happy}'", "text[]", "[sad, happy]"),
    ("price[]", "'{1.25,NULL}'", "numeric(10,2)[]", "[1.25, ∅]"),
    ("prices", "'{1.25,2}'", "numeric(10,2)[]", "[1.25, 2.00]"),
    ("interval[]", "'{1 day}'", "text[]", "[P1D]"),
    (
        "uuid[]",
        "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'",
        "text[]",
        "[a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11]",
    ),
    ("jsonb[]", "ARRAY['{\"a\":1}'::jsonb]", "text[]", "[{\"a\": 1}]"),
    ("timestamptz[]", "'{2026-01-01 00:00:00+00}'", "timestamp with time zone[]", "[2026-01-01T00:00:00Z]"),
    ("date[]", "'[0:1]={2026-01-01,2026-01-02}'", "date[]", "[2026-01-01, 2026-01-02]"),
    ("boolean[]", "'{t,f}'", "boolean[]", "[true, false]"),
    ("bytea[]", "ARRAY['\\x01'::bytea]", "bytea[]", "[01]"),
    ("pair[]", "ARRAY[ROW(1,'x')::pair]", "text", "[{\"a\": 1, \"b\": \"x\"}]"),
    ("int2vector", "'1 2'", "smallint[]", "[1, 2]"),
];

const TYPES: &str = "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN price AS numeric(10,2); \
    CREATE DOMAIN fine_price AS price CHECK (value > 0); CREATE DOMAIN prices AS price[]; \
    CREATE TYPE pair AS (a int, b text);";

#[tokio::test]
async fn every_type_arrives_as_it_was() {
    let database = database().await;
    let columns: Vec<_> =
        VALUES.iter().enumerate().map(|(index, (sql_type, ..))| format!("c{index} {sql_type}")).collect();
    let values: Vec<_> =
        VALUES.iter().map(|(sql_type, value, ..)| format!("({value})::{sql_type}")).collect();
    let nulls = vec!["NULL"; VALUES.len()];
    database
        .execute(&format!(
            "{TYPES} CREATE TABLE t ({}); INSERT INTO t VALUES ({}), ({})",
            columns.join(", "),
            values.join(", "),
            nulls.join(", ")
        ))
        .await;
    let source = source(&database);
    let read = everything(&*source, "public.t").await;
    for (field, (sql_type, _, kept, _)) in read.fields.iter().zip(VALUES) {
        assert_eq!(field.data_type.to_string(), *kept, "{sql_type}");
    }
    let pages = pages(&*source, read.clone()).await.unwrap();
    assert_eq!(misfits(&pages), []);
    let rows: Vec<_> = pages.iter().flat_map(|page| print(&page.rows)).collect();
    assert_eq!(rows.len(), 2);
    for (index, (sql_type, value, _, expected)) in VALUES.iter().enumerate() {
        assert_eq!(rows[0][index], *expected, "{value}::{sql_type}");
        assert_eq!(rows[1][index], "∅", "NULL::{sql_type}");
    }

    // Every one of them can be kept as text as well.
    let mut as_text = read;
    for field in &mut as_text.fields {
        field.data_type = text_type();
    }
    assert_eq!(super::rows(&*source, as_text).await.len(), 2);
}

#[tokio::test]
async fn values_without_a_place_become_null_and_are_counted() {
    let database = database().await;
    database
        .execute(
            "CREATE TABLE t (id int, n numeric(10,2), free numeric, d date, ts timestamp, tz timestamptz, l int[]); \
             INSERT INTO t VALUES (1, 'NaN', 1.5, 'infinity', 'infinity', '-infinity', '{{1,2},{3,4}}'), \
             (2, 'NaN', 2.25, '-infinity', '-infinity', '294276-12-31 23:59:59+00', '{1}'), \
             (3, 1, 3, '2020-01-01', '2020-01-01', '2020-01-01 00:00:00+00', NULL)",
        )
        .await;
    let source = source(&database);
    let read = everything(&*source, "t").await;
    database.execute("INSERT INTO t VALUES (4, 0, 1.23456789, NULL, NULL, NULL, NULL)").await;
    let pages = pages(&*source, read).await.unwrap();
    let found: Vec<_> =
        misfits(&pages).into_iter().map(|misfit| (misfit.field, misfit.count, misfit.sample)).collect();
    let expected = [
        ("n", 2, "NaN"),
        ("free", 1, "1.23456789"),
        ("d", 2, "infinity"),
        ("ts", 2, "infinity"),
        ("tz", 2, "-infinity"),
        ("l", 1, "an array of more than one dimension"),
    ];
    let expected = expected.map(|(field, count, sample)| (field.to_string(), count, sample.to_string()));
    assert_eq!(found, expected);
    let rows: Vec<_> = pages.iter().flat_map(|page| print(&page.rows)).collect();
    assert_eq!(rows[0], ["1", "∅", "1.50", "∅", "∅", "∅", "∅"]);
    assert_eq!(rows[2][1..4], ["1.00", "3.00", "2020-01-01"]);
    assert_eq!(rows[3], ["4", "0.00", "∅", "∅", "∅", "∅", "∅"]);
}

#[tokio::test]
async fn a_type_that_was_widened_is_read_and_one_that_changed_is_refused() {
    let database = database().await;
    database.execute("CREATE TABLE t (a bigint, b text, c date, d numeric); INSERT INTO t VALUES (5, 'x', '2020-01-01', 7), (3000000000, NULL, NULL, 7.5)").await;
    let source = source(&database);
    let pages = pages(
        &*source,
        full(
            "t",
            &[
                ("a", "integer"),
                ("c", "timestamp with time zone"),
                ("d", "bigint"),
                ("a", "numeric(10,1)"),
                ("a", "double precision"),
            ],
        ),
    );
    let pages = pages.await.unwrap();
    let rows: Vec<_> = pages.iter().flat_map(|page| print(&page.rows)).collect();
    assert_eq!(rows[0], ["5", "2020-01-01T00:00:00Z", "7", "5.0", "5.0"]);
    assert_eq!(rows[1], ["∅", "∅", "∅", "∅", "3000000000.0"]);
    let samples: Vec<_> = misfits(&pages).into_iter().map(|misfit| misfit.sample).collect();
    assert_eq!(samples, ["3000000000", "7.5", "3000000000"]);

    let error = failure(&*source, full("t", &[("b", "integer")])).await;
    assert_eq!(error.sqlstate(), "42804");
    assert_eq!(
        error.what(),
        "field `b` of `public.t` is `text` at the source and cannot be read as `integer`"
    );
}

#[tokio::test]
async fn texts_of_a_database_without_encoding_are_checked() {
    let database = database().await;
    let name = format!("{}_ascii", database.name);
    database
        .execute(&format!("CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"))
        .await;
    let ascii = Database { name, port: database.port };
    ascii
        .execute("CREATE TABLE t (id int, x text); INSERT INTO t VALUES (1, 'fine'), (2, convert_from('\\xe9', 'SQL_ASCII'))")
        .await;
    let source = source(&ascii);
    let pages = pages(&*source, everything(&*source, "t").await).await.unwrap();
    let rows: Vec<_> = pages.iter().flat_map(|page| print(&page.rows)).collect();
    assert_eq!(rows, [["1", "fine"], ["2", "∅"]]);
    assert_eq!(misfits(&pages)[0].sample, "\u{fffd}");
}
