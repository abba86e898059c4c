//! sqlx, doing what its user does first: a pool, typed parameters and rows, a stream, a transaction, a listener.

use futures::TryStreamExt;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions, Row};

use super::BOTH;
use crate::support::postgres;
use crate::support::server::{ADMIN, ADMIN_PASSWORD, COMPANY};

fn options(port: u16, user: &str, password: &str, database: &str) -> PgConnectOptions {
    PgConnectOptions::new().host("127.0.0.1").port(port).username(user).password(password).database(database)
}

async fn passes(options: PgConnectOptions) {
    let pool = PgPoolOptions::new().max_connections(4).connect_with(options.clone()).await.unwrap();
    let row = sqlx::query(
        "SELECT a_text, a_boolean, a_smallint, an_integer, a_bigint, a_double, a_bytea, texts, integers
         FROM every_type WHERE id = $1",
    )
    .bind(1_i32)
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(row.get::<String, _>("a_text"), "Zoë said \"hi\", \\ and 🙂\nbye");
    assert!(row.get::<bool, _>("a_boolean"));
    assert_eq!((row.get::<i16, _>(2), row.get::<i32, _>(3), row.get::<i64, _>(4)), (-2, 3, 4_000_000_000));
    assert_eq!(row.get::<Option<f64>, _>("a_double"), Some(2.25));
    assert_eq!(row.get::<Vec<u8>, _>("a_bytea"), [0, 255, 16]);
    let texts: Vec<Option<String>> = row.get("texts");
    assert_eq!(texts[1], None);
    assert_eq!(row.get::<Vec<Option<i32>>, _>("integers"), [Some(1), None, Some(-3)]);
    let nothing: Option<String> =
        sqlx::query_scalar("SELECT a_text FROM every_type WHERE id = 3").fetch_one(&pool).await.unwrap();
    assert_eq!(nothing, None);

    // Every connection of the pool keeps its statements.
    let asked = (1..=40_i32).map(|id| {
        let pool = pool.clone();
        async move {
            let name: (i32, String) = sqlx::query_as("SELECT id, name FROM many WHERE id = $1")
                .bind(id)
                .fetch_one(&pool)
                .await
                .unwrap();
            assert_eq!(name, (id, format!("row {id}")));
        }
    });
    futures::future::join_all(asked).await;
    let some: Vec<i32> =
        sqlx::query_scalar("SELECT id FROM many WHERE id = ANY($1) AND name LIKE $2 ORDER BY id")
            .bind(vec![3_i32, 5, 70])
            .bind("row 7%")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(some, [70]);

    let mut streamed = sqlx::query("SELECT id, name FROM many ORDER BY id").fetch(&pool);
    let mut next = 1;
    while let Some(row) = streamed.try_next().await.unwrap() {
        assert_eq!(row.get::<i32, _>(0), next);
        next += 1;
    }
    assert_eq!(next, 100_001);
    drop(streamed);

    let mut transaction = pool.begin().await.unwrap();
    let failed = sqlx::query("SELECT nothing FROM many").execute(&mut *transaction).await.unwrap_err();
    assert_eq!(failed.as_database_error().unwrap().code().unwrap(), "42703");
    let failed = sqlx::query("SELECT 1").execute(&mut *transaction).await.unwrap_err();
    assert_eq!(failed.as_database_error().unwrap().code().unwrap(), "25P02");
    transaction.rollback().await.unwrap();

    let mut listener = PgListener::connect_with(&pool).await.unwrap();
    listener.listen("news").await.unwrap();
    sqlx::query("NOTIFY news, 'hello'").execute(&pool).await.unwrap();
    let told = listener.recv().await.unwrap();
    assert_eq!((told.channel(), told.payload()), ("news", "hello"));
    let mut alone = options.connect().await.unwrap();
    sqlx::query("SET application_name = 'alone'").execute(&mut alone).await.unwrap();
    let name: String =
        sqlx::query_scalar("SELECT current_setting('application_name')").fetch_one(&mut alone).await.unwrap();
    assert_eq!(name, "alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_on_postgresql_and_on_tributary() {
    let both = tokio::task::spawn_blocking(|| &*BOTH).await.unwrap();
    passes(options(both.source.port, postgres::USER, postgres::PASSWORD, &both.source.name)).await;
    passes(options(both.server.port, ADMIN, ADMIN_PASSWORD, COMPANY)).await;
}
