//! Definitions that change from version to version.

use super::*;
use arrow::array::Float64Array;

fn wide() -> WriteSpec {
    spec(&[("id", FieldType::Text), ("amount", FieldType::Int64), ("stage", FieldType::Text)], &["id"])
}

fn staged(rows: &[(&str, i64, Option<&str>)]) -> RecordBatch {
    let ids = StringArray::from_iter_values(rows.iter().map(|r| r.0));
    let amounts = Int64Array::from_iter_values(rows.iter().map(|r| r.1));
    let stages: StringArray = rows.iter().map(|r| r.2).collect();
    RecordBatch::try_new(wide().schema(), vec![Arc::new(ids), Arc::new(amounts), Arc::new(stages)]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_may_add_columns_and_leave_some_out() {
    let store = Store::new();
    let table = store.table();
    let (old, _) = replace(&table, 1, &[deals(&[(Some("a"), 1), (Some("b"), 2)])]).await;
    let mut writer = table.upsert(&wide()).await.unwrap();
    writer.write(0, staged(&[("a", 1, None), ("b", 2, Some("won")), ("c", 3, Some("lost"))])).await.unwrap();
    let prepared = writer.prepare().await.unwrap();
    assert_eq!((prepared.counts().unchanged, prepared.counts().updated), (1, 1));
    let new = prepared.commit(commit(2)).await.unwrap();
    assert_eq!(new.columns(), wide().columns);
    let rows = store.sql(&new, "SELECT id, amount, stage FROM t ORDER BY id").await;
    assert_eq!(rows, [["a", "1", "NULL"], ["b", "2", "won"], ["c", "3", "lost"]]);
    assert_eq!(store.sql(&new, "SELECT id FROM t WHERE stage IS NULL").await, [["a"]]);
    assert_eq!(old.columns(), deal().columns);
    assert_eq!(store.sql(&old, "SELECT * FROM t WHERE id = 'b'").await, [["b", "2"]]);

    let (later, _) = upsert(&table, 3, deals(&[(Some("c"), 4)]), &[]).await;
    let rows = store.sql(&later, "SELECT * FROM t ORDER BY id").await;
    assert_eq!(rows, [["a", "1", "NULL"], ["b", "2", "won"], ["c", "4", "NULL"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_may_change_everything_and_old_versions_read_as_written() {
    let store = Store::new();
    let table = store.table();
    replace(&table, 1, &[deals(&[(Some("a"), 1)])]).await;
    let other = spec(&[("amount", FieldType::Float64), ("at", FieldType::Timestamp)], &["at"]);
    let mut writer = table.replace(&other).await.unwrap();
    let at = arrow::array::TimestampMicrosecondArray::from(vec![1_700_000_000_000_001, -1]);
    let amount = Float64Array::from(vec![1.5, f64::NAN]);
    let batch = RecordBatch::try_new(other.schema(), vec![Arc::new(amount), Arc::new(at)]).unwrap();
    writer.write(0, batch).await.unwrap();
    let new = writer.prepare().await.unwrap().commit(commit(2)).await.unwrap();
    let reopened = store.reopened();
    let table = reopened.table("1", "deal");
    let (old, read) = (table.at(0).await.unwrap(), table.at(1).await.unwrap());
    assert_eq!((old.columns(), old.key()), (&deal().columns[..], &deal().key[..]));
    assert_eq!((read.columns(), read.key()), (new.columns(), &other.key[..]));
    assert_eq!(sql_in(&reopened, &old, "SELECT * FROM t").await, [["a", "1"]]);
    let rows = sql_in(&reopened, &read, "SELECT at, amount FROM t WHERE amount > 1 ORDER BY at").await;
    assert_eq!(rows, [["1969-12-31T23:59:59.999999", "NaN"], ["2023-11-14T22:13:20.000001", "1.5"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_may_ask_for_other_columns_and_types() {
    let store = Store::new();
    let (snapshot, _) = replace(&store.table(), 1, &[deals(&[(Some("a"), 1), (Some("b"), 2)])]).await;
    let asked = fields(&[
        ("amount".into(), FieldType::Decimal(12, 2)),
        ("unknown".into(), FieldType::Date),
        ("id".into(), FieldType::Text),
    ]);
    let context = SessionContext::new();
    store.warehouse.register(&context.runtime_env());
    context.register_table("t", snapshot.provider(&asked)).unwrap();
    for (sql, expected) in [
        ("SELECT * FROM t WHERE amount = 2.00", vec![vec!["2.00", "NULL", "b"]]),
        (
            "SELECT id, max(amount) FROM t WHERE unknown IS NULL AND id < 'b' GROUP BY id",
            vec![vec!["a", "1.00"]],
        ),
        ("SELECT count(unknown), min(amount), max(id) FROM t", vec![vec!["0", "1.00", "b"]]),
    ] {
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        assert_eq!(batches.iter().flat_map(texts).collect::<Vec<_>>(), expected, "{sql}");
    }
}
