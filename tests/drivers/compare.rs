//! tokio-postgres: parameters, portals, errors, and the very bytes of results compared with PostgreSQL's.

use std::error::Error;

use bytes::BytesMut;
use futures::TryStreamExt;
use postgres_types::{FromSql, IsNull, ToSql, Type};
use tokio_postgres::{Client, Row, SimpleQueryMessage};

use super::BOTH;

/// Columns whose type tributary keeps; `uuid` and `json` become text.
const COLUMNS: &str = "id, a_boolean, a_smallint, an_integer, a_bigint, a_real, a_double, a_numeric, a_wide, a_text, \
                       a_bytea, a_date, a_timestamp, a_timestamptz, texts, integers";

/// A value as it is on the wire.
#[derive(Debug, Clone, PartialEq)]
struct Raw(Option<Vec<u8>>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(Some(raw.to_vec())))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Some(bytes) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    postgres_types::to_sql_checked!();
}

async fn clients() -> [Client; 2] {
    let both = tokio::task::spawn_blocking(|| &*BOTH).await.unwrap();
    let clients = [both.source.connect().await, both.server.connect().await];
    for client in &clients {
        client.batch_execute("SET TIME ZONE 'UTC'").await.unwrap();
    }
    clients
}

/// Names, types and bytes of a binary result.
fn bytes_of(rows: &[Row]) -> Vec<Vec<(String, Type, Raw)>> {
    rows.iter()
        .map(|row| {
            let columns = row.columns().iter().enumerate();
            columns.map(|(i, c)| (c.name().to_string(), c.type_().clone(), row.get(i))).collect()
        })
        .collect()
}

#[tokio::test]
async fn binary_results_have_the_bytes_of_postgresql() {
    let [source, server] = clients().await;
    for sql in [
        &format!("SELECT {COLUMNS} FROM every_type ORDER BY id"),
        "SELECT id, name, amount, changed FROM many WHERE id <= 1000 ORDER BY id",
        "SELECT count(*), min(changed), max(amount), sum(amount), sum(id) FROM many",
        "SELECT 1, 1.10, 'text', true, NULL::integer, date '2024-02-29', 77600.55::numeric(18,2)",
    ] {
        let expected = bytes_of(&source.query(sql, &[]).await.unwrap());
        let found = bytes_of(&server.query(sql, &[]).await.unwrap());
        for (found, expected) in found.iter().zip(&expected) {
            for (found, expected) in found.iter().zip(expected) {
                assert_eq!(found, expected, "{sql}");
            }
        }
        assert_eq!(found.len(), expected.len(), "{sql}");
    }
}

#[tokio::test]
async fn arrays_and_conditions_are_parameters() {
    let [source, server] = clients().await;
    let (ids, texts) = (vec![3_i64, 5, 70_000], vec!["row 7".to_string(), "none".into()]);
    let integers = vec![Some(3_i32), None];
    let statements: [(&str, &[&(dyn ToSql + Sync)]); 6] = [
        ("SELECT id FROM many WHERE id::bigint = ANY($1) ORDER BY id", &[&ids]),
        ("SELECT id FROM many WHERE name = ANY($1) ORDER BY id", &[&texts]),
        ("SELECT id FROM every_type WHERE an_integer = ANY($1)", &[&integers]),
        ("SELECT id FROM every_type WHERE an_integer <> ALL($1) ORDER BY id", &[&integers]),
        ("SELECT id FROM every_type WHERE $1 AND a_boolean ORDER BY id", &[&true]),
        (
            "SELECT coalesce($1, an_integer), CASE WHEN $2 THEN 1 END FROM every_type ORDER BY id",
            &[&None::<i32>, &true],
        ),
    ];
    for (sql, parameters) in statements {
        let [expected, found] = [
            source.query(sql, parameters).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")),
            server.query(sql, parameters).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")),
        ];
        assert_eq!(bytes_of(&found), bytes_of(&expected), "{sql}");
    }
}

#[tokio::test]
async fn text_results_have_the_characters_of_postgresql() {
    let [source, server] = clients().await;
    let sql = format!("SELECT {COLUMNS}, a_varchar, a_uuid, a_json FROM every_type ORDER BY id");
    let [expected, found] =
        [source.simple_query(&sql).await.unwrap(), server.simple_query(&sql).await.unwrap()];
    let rows = |messages: &[SimpleQueryMessage]| -> Vec<Vec<Option<String>>> {
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        rows.map(|row| (0..row.len()).map(|i| row.get(i).map(String::from)).collect()).collect()
    };
    assert_eq!(rows(&found), rows(&expected));
    assert_eq!(rows(&found).len(), 3);
}

#[tokio::test]
async fn parameters_of_every_type_find_their_rows() {
    let [source, server] = clients().await;
    let values = source.query(&format!("SELECT {COLUMNS} FROM every_type ORDER BY id"), &[]).await.unwrap();
    for (at, column) in COLUMNS.split(", ").enumerate() {
        let sql = format!("SELECT id FROM every_type WHERE {column} = $1");
        let [expected, found] = [source.prepare(&sql).await.unwrap(), server.prepare(&sql).await.unwrap()];
        assert_eq!(found.params(), expected.params(), "{sql}");
        for (row, id) in values.iter().zip(1..) {
            let parameter: Raw = row.get(at);
            let ids: Vec<i32> =
                server.query(&found, &[&parameter]).await.unwrap().iter().map(|row| row.get(0)).collect();
            let is_null = parameter.0.is_none();
            assert_eq!(ids, if is_null { vec![] } else { vec![id] }, "{sql} with {parameter:?}");
        }
    }
}

#[tokio::test]
async fn many_rows_stream_and_a_portal_stops_where_asked() {
    let [_, mut server] = clients().await;
    let sql = "SELECT id, name FROM many ORDER BY id";
    let parameters: [&(dyn ToSql + Sync); 0] = [];
    let mut rows = std::pin::pin!(server.query_raw(sql, parameters).await.unwrap());
    let mut count = 0;
    while let Some(row) = rows.try_next().await.unwrap() {
        count += 1;
        assert_eq!((row.get::<_, i32>(0), row.get::<_, String>(1)), (count, format!("row {count}")));
    }
    assert_eq!(count, 100_000);

    let transaction = server.transaction().await.unwrap();
    let portal = transaction.bind(sql, &[]).await.unwrap();
    for page in 0..5 {
        let rows = transaction.query_portal(&portal, 777).await.unwrap();
        assert_eq!(rows.len(), 777);
        assert_eq!(rows[0].get::<_, i32>(0), page * 777 + 1);
    }
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn after_an_error_the_next_query_answers() {
    let clients = clients().await;
    for (sql, state) in [
        ("SELECT no_such_column FROM many", "42703"),
        ("SELECT * FROM no_such_table", "42P01"),
        ("SELEC 1", "42601"),
        ("SELECT 1 / (id - 1) FROM many WHERE id = 1", "22012"),
    ] {
        for client in &clients {
            let error = client.query(sql, &[]).await.unwrap_err();
            assert_eq!(error.code().map(|code| code.code()), Some(state), "{sql}: {error}");
            assert_eq!(client.query_one("SELECT $1::integer + 1", &[&1]).await.unwrap().get::<_, i32>(0), 2);
        }
    }
}
