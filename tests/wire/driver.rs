//! A real driver, which asks for everything in binary.

use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use futures::TryStreamExt;
use tokio_postgres::types::{ToSql, Type};

use crate::support::wire::*;

#[tokio::test]
async fn parameters_of_every_type_come_back() {
    let wire = start(|_| {}).await;
    let client = wire.connect().await;
    let day = NaiveDate::from_ymd_opt(2020, 1, 5).unwrap();
    let clock = NaiveTime::from_hms_micro_opt(10, 0, 0, 500_000).unwrap();
    let local = NaiveDateTime::new(day, clock);
    let utc: DateTime<Utc> = local.and_utc();
    async fn round<T>(client: &tokio_postgres::Client, pg_type: Type, value: T)
    where
        T: ToSql + Sync + for<'a> tokio_postgres::types::FromSql<'a> + PartialEq + std::fmt::Debug,
    {
        let statement = client.prepare_typed("select $1 as x", std::slice::from_ref(&pg_type)).await.unwrap();
        assert_eq!(statement.columns()[0].type_(), &pg_type);
        let row = client.query_one(&statement, &[&value]).await.unwrap();
        assert_eq!(row.get::<_, T>(0), value, "{pg_type}");
        let none: Option<T> = None;
        let row = client.query_one(&statement, &[&none]).await.unwrap();
        assert!(row.get::<_, Option<T>>(0).is_none(), "{pg_type}");
    }
    round(&client, Type::BOOL, true).await;
    round(&client, Type::INT2, -5_i16).await;
    round(&client, Type::INT4, i32::MIN).await;
    round(&client, Type::INT8, i64::MAX).await;
    round(&client, Type::FLOAT4, 1.5_f32).await;
    round(&client, Type::FLOAT8, f64::NEG_INFINITY).await;
    round(&client, Type::TEXT, "grüße 'quoted'".to_owned()).await;
    round(&client, Type::BYTEA, vec![0_u8, 255, 7]).await;
    round(&client, Type::DATE, day).await;
    round(&client, Type::TIME, clock).await;
    round(&client, Type::TIMESTAMP, local).await;
    round(&client, Type::TIMESTAMPTZ, utc).await;
    round(&client, Type::INT4_ARRAY, vec![Some(1_i32), None, Some(3)]).await;
    round(&client, Type::TEXT_ARRAY, vec!["a b".to_owned(), String::new()]).await;
}

#[tokio::test]
async fn a_hundred_thousand_rows_are_streamed() {
    let wire = start(|_| {}).await;
    let client = wire.connect().await;
    let begin = Instant::now();
    let no_parameters: [&i32; 0] = [];
    let rows = client.query_raw("select id, name from number order by id", no_parameters).await.unwrap();
    let mut rows = std::pin::pin!(rows);
    let mut expected = 0_i64;
    while let Some(row) = rows.try_next().await.unwrap() {
        assert_eq!(row.get::<_, i64>(0), expected);
        if expected % 1000 == 0 {
            assert_eq!(row.get::<_, &str>(1), format!("row {expected}"));
        }
        expected += 1;
    }
    assert_eq!(expected, ROWS);
    println!("{ROWS} rows in {:?}", begin.elapsed());
}

#[tokio::test]
async fn an_error_leaves_the_session_usable() {
    let wire = start(|_| {}).await;
    let client = wire.connect().await;
    let error = client.query("select nope from number", &[]).await.unwrap_err();
    assert!(error.as_db_error().is_some());
    let error = client.query("select 1 / (id - id) from number", &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "22012");
    assert_eq!(client.query_one("select 1", &[]).await.unwrap().len(), 1);
    let rows = client.simple_query("select id from number where id < 2").await.unwrap();
    assert_eq!(rows.len(), 4, "description, two rows, completion");
}

#[tokio::test]
async fn a_driver_cancels() {
    let wire = start(|_| {}).await;
    let client = wire.connect().await;
    let cancel = client.cancel_token();
    let endless = client.query("select sum(a.id * b.id) from number a cross join number b", &[]);
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
        Instant::now()
    };
    let (result, begin) = tokio::join!(endless, cancel);
    assert_eq!(result.unwrap_err().code().unwrap().code(), "57014");
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn pipelined_statements_are_answered_in_order() {
    let wire = start(|_| {}).await;
    let client = wire.connect().await;
    let statement = client.prepare("select id from number where id = $1").await.unwrap();
    let queries = (0..50_i64).map(|id| {
        let (client, statement) = (&client, &statement);
        async move { client.query_one(statement, &[&id]).await.unwrap().get::<_, i64>(0) }
    });
    assert_eq!(futures::future::join_all(queries).await, (0..50).collect::<Vec<_>>());
}
