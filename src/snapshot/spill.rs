//! Sorted rows set aside in an unnamed local file. Nothing of it is left after a crash.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;

use super::lane::size_of_rows;
use super::{disk, failure};
use crate::error::Result;

const WHAT: &str = "cannot set rows aside for sorting";
/// Most rows of one batch of a spill.
const BATCH_ROWS: usize = 2048;
/// Bytes of one batch of a spill, unless a row is larger: what a merge holds in memory per spill, once or twice.
const BATCH_BYTES: usize = 128 << 10;

/// A sorted run of rows outside memory. It may be read any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Spill {
    file: Arc<File>,
}

impl Spill {
    /// Writes `batches`, which are sorted, below `folder`.
    pub(crate) fn write(
        folder: &Path,
        schema: &SchemaRef,
        batches: impl IntoIterator<Item = Result<RecordBatch>>,
    ) -> Result<Self> {
        let failed = |e| failure::file(WHAT, disk::explain(folder, e));
        let failure_of = |error| match error {
            arrow::error::ArrowError::IoError(_, error) => failed(error),
            error => failure_of(error),
        };
        let file = tempfile::tempfile_in(folder).map_err(failed)?;
        let out = BufWriter::with_capacity(1 << 18, &file);
        let mut writer = StreamWriter::try_new(out, schema).map_err(failure_of)?;
        for batch in batches {
            let batch = batch?;
            let step = batch_rows(&batch);
            for start in (0..batch.num_rows()).step_by(step) {
                let rows = step.min(batch.num_rows() - start);
                writer.write(&batch.slice(start, rows)).map_err(failure_of)?;
            }
        }
        writer.finish().map_err(failure_of)?;
        let mut out = writer.into_inner().map_err(failure_of)?;
        out.flush().map_err(failed)?;
        drop(out);
        Ok(Spill { file: Arc::new(file) })
    }

    /// The rows from the beginning.
    pub(crate) fn read(&self) -> Result<impl Iterator<Item = Result<RecordBatch>> + Send + use<>> {
        let input = BufReader::with_capacity(1 << 16, Cursor { file: self.file.clone(), position: 0 });
        let reader = StreamReader::try_new(input, None).map_err(failure_of)?;
        Ok(reader.map(|batch| batch.map_err(failure_of)))
    }
}

/// Into how many rows to cut `batch`.
fn batch_rows(batch: &RecordBatch) -> usize {
    let row_bytes = size_of_rows(batch) / batch.num_rows().max(1);
    (BATCH_BYTES / row_bytes.max(1)).clamp(1, BATCH_ROWS)
}

/// Reads without the file's own position, so that several readers do not disturb each other.
struct Cursor {
    file: Arc<File>,
    position: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

fn failure_of(error: arrow::error::ArrowError) -> crate::error::Error {
    match error {
        arrow::error::ArrowError::IoError(_, error) => failure::file(WHAT, error),
        error => failure::arrow(error),
    }
}
