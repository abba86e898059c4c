//! The keys of a version, or some columns, in no order.

use std::sync::Arc;

use arrow::array::RecordBatch;
use tokio::sync::mpsc;

use super::find::whole;
use super::parquet_read::Footers;
use super::spec::schema_of;
use super::table::Table;
use super::version::Snapshot;
use crate::error::Result;

/// Batches waiting for whoever takes them.
const WAITING: usize = 2;

impl Table {
    /// Every key of a version: batches whose columns are those of the key, in its order. It ends early when nobody
    /// takes them any more.
    pub fn keys(&self, snapshot: &Arc<Snapshot>) -> mpsc::Receiver<Result<RecordBatch>> {
        self.some_columns(snapshot, snapshot.key())
    }

    /// Those columns of every row of a version, in their order and in no order of rows.
    pub fn some_columns(
        &self,
        snapshot: &Arc<Snapshot>,
        columns: &[String],
    ) -> mpsc::Receiver<Result<RecordBatch>> {
        let (send, keys) = mpsc::channel(WAITING);
        let (snapshot, footers) = (snapshot.clone(), self.shared().footers.clone());
        let columns = columns.to_vec();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = read(&snapshot, &columns, &footers, &send) {
                // Nobody listens any more: the error interests nobody.
                send.blocking_send(Err(error)).ok();
            }
        });
        keys
    }
}

/// Blocks.
fn read(
    snapshot: &Snapshot,
    columns: &[String],
    footers: &Footers,
    keys: &mpsc::Sender<Result<RecordBatch>>,
) -> Result<()> {
    let stored = |name: &String| snapshot.columns().iter().find(|(column, _)| column == name).cloned();
    let schema = schema_of(&columns.iter().filter_map(stored).collect::<Vec<_>>());
    for file in snapshot.files.iter().filter(|file| file.live() > 0) {
        let reader = file.open(&snapshot.folder, footers)?;
        let columns = super::find::present(&schema, reader.schema());
        let selection = file.deleted.as_ref().map(|deleted| deleted.selection(file.stats.rows));
        for batch in reader.read(&columns, selection)? {
            if keys.blocking_send(whole(&schema, &batch?)).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}
