//! Tables of immutable versions, through their public surface.

mod again;
mod compact;
mod crash;
mod damage;
mod merge;
mod races;
mod read;
mod replace;
mod schema;
mod wide;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Int64Type, Schema};
use arrow::util::display::array_value_to_string;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use tributary::model::{FieldType, ObjectField, now_micros};
use tributary::snapshot::{Commit, Counts, Keep, Snapshot, Table, Warehouse, WriteSpec};

/// A warehouse in a folder that goes away with it.
struct Store {
    warehouse: Arc<Warehouse>,
    folder: tempfile::TempDir,
}

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = Warehouse::open(folder.path().to_str().unwrap(), "acme").unwrap();
        Store { warehouse, folder }
    }

    /// Another process, so to speak: nothing in memory is shared.
    fn reopened(&self) -> Arc<Warehouse> {
        Warehouse::open(self.folder.path().to_str().unwrap(), "acme").unwrap()
    }

    fn table(&self) -> Table {
        self.warehouse.table("1", "deal")
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("acme/1/deal")
    }

    /// Names of the table's files in `kind`.
    fn files(&self, kind: &str) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.path().join(kind)) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    async fn sql(&self, snapshot: &Arc<Snapshot>, sql: &str) -> Vec<Vec<String>> {
        sql_in(&self.warehouse, snapshot, sql).await
    }
}

async fn sql_in(warehouse: &Warehouse, snapshot: &Arc<Snapshot>, sql: &str) -> Vec<Vec<String>> {
    let context = context_of(warehouse, snapshot, 3);
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    batches.iter().flat_map(texts).collect()
}

/// Plans as the engine does, with the version as table `t`.
fn context_of(warehouse: &Warehouse, snapshot: &Arc<Snapshot>, partitions: usize) -> SessionContext {
    let state = SessionStateBuilder::new_with_default_features()
        .with_config(SessionConfig::new().with_target_partitions(partitions));
    let rules = warehouse.rules().into_iter();
    let state = rules.fold(state, SessionStateBuilder::with_physical_optimizer_rule);
    let context = SessionContext::new_with_state(state.build());
    warehouse.register(&context.runtime_env());
    context.register_table("t", snapshot.clone().provider(&fields(snapshot.columns()))).unwrap();
    context
}

fn texts(batch: &RecordBatch) -> Vec<Vec<String>> {
    let text = |row, column: &ArrayRef| match column.is_null(row) {
        true => "NULL".to_string(),
        false => array_value_to_string(column, row).unwrap(),
    };
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|c| text(row, c)).collect()).collect()
}

fn fields(columns: &[(String, FieldType)]) -> Vec<ObjectField> {
    let field = |(name, data_type): &(String, FieldType)| ObjectField {
        api: name.clone(),
        name: name.clone(),
        column: name.clone(),
        label: name.clone(),
        data_type: data_type.clone(),
        native_type: String::new(),
        note: None,
        selected: true,
        key_position: None,
        is_name: false,
        volatile: false,
    };
    columns.iter().map(field).collect()
}

fn spec(columns: &[(&str, FieldType)], key: &[&str]) -> WriteSpec {
    WriteSpec {
        columns: columns.iter().map(|(name, t)| (name.to_string(), t.clone())).collect(),
        key: key.iter().map(|k| k.to_string()).collect(),
    }
}

fn commit(run_id: i64) -> Commit {
    Commit { run_id, fence: run_id, watermark: Some(serde_json::json!({ "at": run_id })) }
}

/// The simplest table: a key and a value.
fn deal() -> WriteSpec {
    spec(&[("id", FieldType::Text), ("amount", FieldType::Int64)], &["id"])
}

fn deals(rows: &[(Option<&str>, i64)]) -> RecordBatch {
    let ids: StringArray = rows.iter().map(|(id, _)| *id).collect();
    let amounts: Int64Array = rows.iter().map(|(_, amount)| Some(*amount)).collect();
    RecordBatch::try_new(deal().schema(), vec![Arc::new(ids), Arc::new(amounts)]).unwrap()
}

fn numbered(rows: impl IntoIterator<Item = (i64, i64)>) -> RecordBatch {
    let rows: Vec<_> = rows.into_iter().map(|(id, amount)| (format!("{id:09}"), amount)).collect();
    deals(&rows.iter().map(|(id, amount)| (Some(id.as_str()), *amount)).collect::<Vec<_>>())
}

fn numbered_keys(keys: &[i64]) -> RecordBatch {
    let ids: StringArray = keys.iter().map(|id| Some(format!("{id:09}"))).collect();
    let schema =
        Schema::new(vec![arrow::datatypes::Field::new("id", arrow::datatypes::DataType::Utf8, true)]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids)]).unwrap()
}

/// Replaces everything by `rows`, all in one lane.
async fn replace(table: &Table, run: i64, rows: &[RecordBatch]) -> (Arc<Snapshot>, Counts) {
    let mut writer = table.replace(&deal()).await.unwrap();
    for batch in rows {
        writer.write(0, batch.clone()).await.unwrap();
    }
    let prepared = writer.prepare().await.unwrap();
    let counts = prepared.counts().clone();
    (prepared.commit(commit(run)).await.unwrap(), counts)
}

async fn upsert(table: &Table, run: i64, rows: RecordBatch, deleted: &[i64]) -> (Arc<Snapshot>, Counts) {
    let mut writer = table.upsert(&deal()).await.unwrap();
    writer.write(0, rows).await.unwrap();
    if !deleted.is_empty() {
        writer.delete(numbered_keys(deleted)).await.unwrap();
    }
    let prepared = writer.prepare().await.unwrap();
    let counts = prepared.counts().clone();
    (prepared.commit(commit(run)).await.unwrap(), counts)
}

/// The table as a map, read through SQL, after checking the counts that need no scan.
async fn content(store: &Store, snapshot: &Arc<Snapshot>) -> BTreeMap<String, i64> {
    let rows = store.sql(snapshot, "SELECT id, amount FROM t").await;
    assert_eq!(rows.len() as u64, snapshot.rows());
    let count = store.sql(snapshot, "SELECT count(*), count(DISTINCT id) FROM t").await;
    assert_eq!(count, [[rows.len().to_string(), rows.len().to_string()]]);
    rows.into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect()
}

fn model(rows: impl IntoIterator<Item = (i64, i64)>) -> BTreeMap<String, i64> {
    rows.into_iter().map(|(id, amount)| (format!("{id:09}"), amount)).collect()
}

fn int(rows: &[Vec<String>]) -> i64 {
    rows[0][0].parse().unwrap()
}

fn shuffled(count: i64, seed: u64) -> Vec<i64> {
    let mut ids: Vec<_> = (0..count).collect();
    ids.shuffle(&mut StdRng::seed_from_u64(seed));
    ids
}

fn first_ints(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

fn random(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn pick(random: &mut StdRng, below: i64) -> i64 {
    random.random_range(0..below)
}
