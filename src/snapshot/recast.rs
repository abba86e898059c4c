//! Rewriting the rows of a table with wider types, without asking the source.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tokio::sync::mpsc;

use super::failure;
use super::find::{present, whole};
use super::parquet_read::Footers;
use super::prepared::Prepared;
use super::spec::WriteSpec;
use super::table::Table;
use super::version::Snapshot;
use crate::error::{Error, Kind, Result};

/// Batches waiting to be written.
const WAITING: usize = 2;

impl Table {
    /// Writes the rows of the newest version again as `spec` wants them: under the same names, with types that
    /// hold all old values. Other engines read a file by the types of its version, so widening a column means
    /// new files. In memory bounded as a replacement is.
    ///
    /// # Errors
    /// `NotFound` when nothing was ever committed.
    pub async fn recast(&self, spec: &WriteSpec) -> Result<Prepared> {
        let Some(snapshot) = self.latest().await? else {
            return Err(Error::new(Kind::NotFound, "there are no rows to rewrite"));
        };
        let mut writer = self.replace(spec).await?;
        let (send, mut batches) = mpsc::channel(WAITING);
        let (schema, footers) = (spec.schema(), self.shared().footers.clone());
        let reading = tokio::task::spawn_blocking(move || read(&snapshot, &schema, &footers, &send));
        while let Some(batch) = batches.recv().await {
            writer.write(0, batch).await?;
        }
        reading.await.map_err(failure::task)??;
        writer.prepare().await
    }
}

/// Sends all live rows with the columns of `schema`. Blocks.
fn read(
    snapshot: &Arc<Snapshot>,
    schema: &SchemaRef,
    footers: &Footers,
    batches: &mpsc::Sender<RecordBatch>,
) -> Result<()> {
    for file in snapshot.files.iter().filter(|file| file.live() > 0) {
        let reader = file.open(&snapshot.folder, footers)?;
        let columns = present(schema, reader.schema());
        let selection = file.deleted.as_ref().map(|deleted| deleted.selection(file.stats.rows));
        for batch in reader.read(&columns, selection)? {
            if batches.blocking_send(whole(schema, &batch?)?).is_err() {
                // The writer failed and says so.
                return Ok(());
            }
        }
    }
    Ok(())
}
