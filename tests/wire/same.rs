//! Values, as a real PostgreSQL sends them.

use tokio::io::BufReader;
use tokio::net::TcpStream;

use crate::support::postgres;
use crate::support::wire::*;

/// Expressions that both servers understand, type by type.
const EXPRESSIONS: &[&str] = &[
    "true",
    "1",
    "32767::smallint",
    "9223372036854775807",
    "null::int",
    "1.50",
    "0.00::numeric(10,2)",
    "-0.05::numeric(10,2)",
    "77600.55::numeric(18,2)",
    "12345678901234567890.123456789::numeric(38,9)",
    "1e15::float8",
    "1e-5::float8",
    "123456.789::float8",
    "'NaN'::float8",
    "'-Infinity'::float8",
    "0.1::real",
    "1e6::real",
    "'text'::text",
    "'it''s ü'::text",
    "''::text",
    "date '2020-01-05'",
    "date '10000-01-01'",
    "timestamp '2020-01-05 10:00:00'",
    "timestamp '2020-01-05 10:00:00.5'",
    "timestamp '1969-12-31 23:59:59.999999'",
    "timestamptz '2020-01-05 10:00:00+00'",
    "timestamptz '2020-07-05 10:00:00.000001+02'",
    "interval '3 days'",
    "interval '-1 day'",
    "array[1,2,3]",
    "array['a b', 'q\"\\', '', 'null']",
    "array[1.50, 2.25]",
    "array[true, false]",
];

async fn log_in(port: u16, user: &str, database: &str, password: &str) -> Raw {
    let mut raw = Raw { stream: BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap()) };
    let replies = raw.log_in_to(user, database, password, b"").await;
    assert_eq!(replies.last().unwrap().kind, b'Z', "{replies:?}");
    raw
}

/// Type, size and modifier of the only column, and its value.
async fn answer(raw: &mut Raw, expression: &str, format: u8) -> String {
    let parse = message(b'P', format!("\0select {expression} as x\0\0\0").as_bytes());
    let bind = message(b'B', &[0, 0, 0, 0, 0, 0, 0, 1, 0, format]);
    let messages = [parse, bind, message(b'D', b"P\0"), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")];
    raw.send(&messages.concat()).await;
    let replies = raw.replies().await;
    if let Some(error) = replies.iter().find(|reply| reply.kind == b'E') {
        return format!("{:?}", error.fields());
    }
    let column = replies.iter().find(|reply| reply.kind == b'T').unwrap();
    let oid = u32::from_be_bytes(column.body[10..14].try_into().unwrap());
    let value = &replies.iter().find(|reply| reply.kind == b'D').unwrap().body[2..];
    let value = match format {
        0 => String::from_utf8_lossy(value).into_owned(),
        _ => value.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    format!("type {oid} size {:?} value {value}", &column.body[14..16])
}

#[tokio::test]
async fn values_are_sent_as_postgresql_sends_them() {
    let wire = start(|_| {}).await;
    let database = postgres::database().await;
    let mut theirs = log_in(database.port, postgres::USER, &database.name, postgres::PASSWORD).await;
    let mut ours = log_in(wire.port, USER, DATABASE, PASSWORD).await;
    let mut differences = Vec::new();
    for zone in ["UTC", "Europe/Berlin", "Asia/Kolkata"] {
        theirs.query(&format!("set timezone to '{zone}'")).await;
        let accepted = ours.query(&format!("set timezone to '{zone}'")).await;
        if accepted.iter().any(|reply| reply.kind == b'E') {
            assert_ne!(zone, "UTC");
            continue;
        }
        for expression in EXPRESSIONS.iter().filter(|e| zone == "UTC" || e.contains("timestamptz")) {
            for format in [0, 1] {
                let expected = answer(&mut theirs, expression, format).await;
                let got = answer(&mut ours, expression, format).await;
                if expected != got {
                    differences.push(format!("{zone} {expression}\n  expected {expected}\n  got      {got}"));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
