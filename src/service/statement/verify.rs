//! Whether a past result is what its query gives on the very release that it read.
//!
//! Rows are compared by digests, so that memory is that of the digests. Every type is compared exactly but floats, of
//! which the order of adding decides the last digits: nine digits of them count.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::row::{RowConverter, SortField};
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use std::sync::Arc;

use super::full_name;
use crate::error::{Error, Kind, Result};
use crate::model::{Release, ReleaseObject, Statement, StatementRun};
use crate::query::KeptQuery;
use crate::service::{Actor, App, shorten};

/// What a comparison found.
pub(crate) struct Verified {
    pub(crate) run: StatementRun,
    /// Name of its batch.
    pub(crate) batch: Option<String>,
    pub(crate) stored: u64,
    pub(crate) recomputed: u64,
    /// Rows of the stored result that are not in the new one.
    pub(crate) missing: u64,
    /// Rows of the new result that are not in the stored one.
    pub(crate) extra: u64,
    /// Rows that both have, by their unique fields, with other values.
    pub(crate) changed: u64,
}

impl Verified {
    pub(crate) fn differences(&self) -> u64 {
        self.missing + self.extra + self.changed
    }
}

type Key = [u8; 16];

/// Rows of one side by key, each with how often it is there.
#[derive(Default)]
struct Rows {
    count: u64,
    by_key: HashMap<Key, HashMap<Key, i64>>,
}

impl App {
    /// Computes a past result again, on the release that it read, and compares. `batch` is a batch, as `2026-10-31`, or
    /// `run 12`; by default the newest result.
    pub(in crate::service) async fn verify_statement(
        &self,
        actor: &Actor,
        name: &str,
        batch: Option<&str>,
    ) -> Result<Verified> {
        let arguments = serde_json::json!({ "name": shorten(name), "batch": batch.map(shorten) }).to_string();
        self.audited(actor, "verify_statement", &arguments, async {
            let statement = self.statement(name).await?;
            let (run, batch) = self.run_to_verify(&statement, batch).await?;
            let result = run.result.clone().ok_or_else(|| Error::internal("a run without a result"))?;
            for release in [Some(run.read_release), run.result_release].into_iter().flatten() {
                if self.state.removed_at(release).await?.is_some() {
                    let what = format!("release {release} of that result is no longer kept");
                    return Err(Error::new(Kind::Invalid, what).with_hint(
                        "results are kept for good unless `keep_days` of the statement says otherwise",
                    ));
                }
            }
            // Everything that was read, as it was read.
            let release = Arc::new(Release {
                id: run.read_release,
                published_at: run.read_at,
                cause: "verify_statement".into(),
                objects: self.as_read(&run).await?,
            });
            let query =
                KeptQuery { sql: run.query.clone(), release, zone: run.time_zone.clone(), at: run.read_at };
            let kept = self.engine()?.kept(&query).await?;
            let stored = self.stored(&result, &run).await?;
            let key = key_places(&result);
            let mut recomputed = Rows::default();
            let mut rows = kept.rows().await?;
            while let Some(batch) = rows.next().await {
                recomputed.add(&batch?, &key)?;
            }
            let mut left = Rows::default();
            for batch in stored {
                left.add(&batch, &key)?;
            }
            let (missing, extra, changed) = differences(&left, &recomputed);
            let (stored, recomputed) = (left.count, recomputed.count);
            Ok(Verified { run, batch, stored, recomputed, missing, extra, changed })
        })
        .await
    }

    /// What a run read, with the columns of then: those of the release it read, and of the results that were published
    /// with its own.
    async fn as_read(&self, run: &StatementRun) -> Result<Vec<ReleaseObject>> {
        let mut known = Vec::new();
        for release in [Some(run.read_release), run.result_release].into_iter().flatten() {
            known.extend(
                self.state.release(release).await?.map(|release| release.objects).unwrap_or_default(),
            );
        }
        let find = |read: &ReleaseObject| {
            let is_it = |o: &&ReleaseObject| o.object_id == read.object_id && o.version == read.version;
            known.iter().find(is_it).cloned().ok_or_else(|| {
                let what = format!("{} is not in the release as it was read", full_name(read));
                Error::new(Kind::Invalid, what)
                    .with_hint("the result was never published; verify another one")
            })
        };
        run.reads.iter().map(find).collect()
    }

    /// The stored rows of a result.
    async fn stored(&self, result: &ReleaseObject, run: &StatementRun) -> Result<Vec<RecordBatch>> {
        let columns: Vec<_> = result.fields.iter().map(|f| crate::model::quote_ident(&f.name)).collect();
        let name = crate::model::quote_ident(&result.name);
        let sql = format!("SELECT {} FROM {}.{name}", columns.join(", "), Statement::SCHEMA);
        let release = Arc::new(Release {
            id: run.result_release.unwrap_or(run.read_release),
            published_at: run.read_at,
            cause: "verify_statement".into(),
            objects: vec![result.clone()],
        });
        let query = KeptQuery { sql, release, zone: run.time_zone.clone(), at: run.read_at };
        self.engine()?.kept(&query).await?.rows().await?.try_collect().await
    }

    async fn run_to_verify(
        &self,
        statement: &Statement,
        batch: Option<&str>,
    ) -> Result<(StatementRun, Option<String>)> {
        let mut runs = self.state.runs_of_statement(&statement.id).await?;
        runs.retain(|run| run.result.is_some());
        let asked = batch.map(|text| text.trim().trim_start_matches("batch ").trim().to_string());
        let run = match asked.as_deref() {
            None => runs.pop(),
            Some(text) => match text.strip_prefix("run ").map(|id| id.trim().parse::<i64>()) {
                Some(Ok(id)) => runs.into_iter().find(|run| run.id == id),
                Some(Err(_)) => None,
                None => {
                    let batch = self.state.batch_named(text).await?.ok_or_else(|| {
                        Error::new(Kind::NotFound, format!("there is no batch `{}`", shorten(text)))
                            .with_hint("SELECT name FROM tributary.batch lists them; 'run 12' names a single computation")
                    })?;
                    runs.into_iter().rfind(|run| run.batch == Some(batch.id))
                }
            },
        };
        let Some(run) = run else {
            let of = batch.map(|text| format!(" of `{}`", shorten(text))).unwrap_or_default();
            let what = format!("{} has no result{of}", statement.full_name());
            return Err(Error::new(Kind::NotFound, what).with_hint(
                "SELECT id, batch, status, cause FROM tributary.statement_run lists what was computed",
            ));
        };
        let name = match run.batch {
            Some(id) => self.state.batch(id).await?.map(|batch| batch.name),
            None => None,
        };
        Ok((run, name))
    }
}

fn key_places(result: &ReleaseObject) -> Vec<usize> {
    let is_key = |(place, field): (usize, &crate::model::ObjectField)| field.key_position.map(|_| place);
    result.fields.iter().enumerate().filter_map(is_key).collect()
}

impl Rows {
    fn add(&mut self, batch: &RecordBatch, key: &[usize]) -> Result<()> {
        let failed = |error| Error::internal("rows cannot be compared").with_source(error);
        let arrays: Vec<ArrayRef> = batch.columns().iter().map(comparable).collect();
        let digests = |places: &[usize]| -> Result<Vec<Key>> {
            let chosen: Vec<_> = places.iter().map(|place| arrays[*place].clone()).collect();
            let fields = chosen.iter().map(|array| SortField::new(array.data_type().clone())).collect();
            let converter = RowConverter::new(fields).map_err(failed)?;
            let rows = converter.convert_columns(&chosen).map_err(failed)?;
            Ok(rows.iter().map(|row| digest(row.as_ref())).collect())
        };
        let all: Vec<usize> = (0..arrays.len()).collect();
        let whole = digests(&all)?;
        let keys = if key.is_empty() { whole.clone() } else { digests(key)? };
        for (key, row) in keys.into_iter().zip(whole) {
            *self.by_key.entry(key).or_default().entry(row).or_default() += 1;
        }
        self.count += batch.num_rows() as u64;
        Ok(())
    }
}

fn digest(bytes: &[u8]) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(&Sha256::digest(bytes)[..16]);
    key
}

/// Floats as text of nine digits; every zero is one.
fn comparable(array: &ArrayRef) -> ArrayRef {
    let text = |value: f64| if value == 0.0 { "0".to_string() } else { format!("{value:.8e}") };
    match array.data_type() {
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().iter().map(|value| value.map(text));
            Arc::new(values.collect::<StringArray>())
        }
        DataType::Float32 => {
            // It has no nine digits.
            let text = |value: f32| if value == 0.0 { "0".to_string() } else { format!("{value:.4e}") };
            let values = array.as_primitive::<Float32Type>().iter().map(|value| value.map(text));
            Arc::new(values.collect::<StringArray>())
        }
        _ => array.clone(),
    }
}

/// Rows missing, extra and changed of `new` against `old`.
fn differences(old: &Rows, new: &Rows) -> (u64, u64, u64) {
    let none = HashMap::new();
    let (mut missing, mut extra, mut changed) = (0, 0, 0);
    let keys = old.by_key.keys().chain(new.by_key.keys().filter(|key| !old.by_key.contains_key(*key)));
    for key in keys {
        let (left, right) = (old.by_key.get(key).unwrap_or(&none), new.by_key.get(key).unwrap_or(&none));
        let beyond = |a: &HashMap<Key, i64>, b: &HashMap<Key, i64>| -> u64 {
            a.iter().map(|(row, n)| (n - b.get(row).copied().unwrap_or(0)).max(0).unsigned_abs()).sum()
        };
        let (gone, came) = (beyond(left, right), beyond(right, left));
        let same_key = gone.min(came);
        changed += same_key;
        missing += gone - same_key;
        extra += came - same_key;
    }
    (missing, extra, changed)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array};

    use super::*;

    fn rows(ids: &[i64], values: &[f64]) -> Rows {
        let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
        let values: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
        let batch = RecordBatch::try_from_iter([("id", ids), ("value", values)]).unwrap();
        let mut rows = Rows::default();
        rows.add(&batch, &[0]).unwrap();
        rows
    }

    #[test]
    fn differences_are_told_apart_by_key() {
        let old = rows(&[1, 2, 3, 3], &[0.1 + 0.2, 2.0, 3.0, 3.0]);
        assert_eq!(differences(&old, &rows(&[3, 2, 1, 3], &[3.0, 2.0, 0.3, 3.0])), (0, 0, 0));
        assert_eq!(differences(&old, &rows(&[1, 2, 3, 4], &[0.3, 2.01, 3.0, 4.0])), (1, 1, 1));
        assert_eq!(differences(&old, &rows(&[], &[])), (4, 0, 0));
    }
}
