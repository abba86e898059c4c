//! One lane of a write: rows in the order of arrival become sorted runs.
//!
//! Sources mostly deliver in key order. As long as they do, rows go straight into a Parquet file. Where some come too
//! early, as from a heap whose gaps were filled with later rows, a piece is sorted and its larger half waits for what
//! belongs among it. What comes too late, or in no order at all, is sorted in pieces and set aside.

use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::row::OwnedRow;

use super::failure;
use super::keys::Keys;
use super::merge::{staged, staged_schema, unstaged};
use super::parquet_write::{FileWriter, Folder, NewFile};
use super::spec::schema_of;
use super::spill::Spill;
use super::tuning::Tuning;
use super::version::Snapshot;
use super::window::Window;
use crate::error::{Error, Result};

/// Rows of a base file.
pub(crate) const FILE_ROWS: u64 = 1_000_000;
/// What is sorted at once.
const PIECE_ROWS: usize = 128 * 1024;
const PIECE_BYTES: usize = 8 << 20;

/// When more than one row in so many comes too late there is no order to wait for.
const LATE_SHARE: usize = 8;

/// What all lanes of a write share.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) folder: Folder,
    pub(crate) schema: SchemaRef,
    /// The schema with the arrival column.
    pub(crate) staged: SchemaRef,
    pub(crate) keys: Arc<Keys>,
    pub(crate) key: Vec<String>,
}

impl Layout {
    /// That of a version.
    pub(crate) fn of(snapshot: &Snapshot) -> Result<Self> {
        let schema = schema_of(snapshot.columns());
        Ok(Layout {
            folder: snapshot.folder.clone(),
            staged: staged_schema(&schema),
            keys: Arc::new(Keys::new(&schema, snapshot.key())?),
            key: snapshot.key().to_vec(),
            schema,
        })
    }

    /// Starts a Parquet file sorted by key.
    pub(crate) fn file(&self, kind: &str, tuning: &Tuning) -> Result<FileWriter> {
        // Base files do not overlap: their statistics tell which one has a key. Runs lie over each other.
        let properties = tuning.properties(&self.schema, &self.key, kind == "runs");
        FileWriter::new(&self.folder, kind, &self.schema, properties)
    }
}

/// A Parquet file of sorted rows, as a lane left it.
#[derive(Debug)]
pub(crate) struct BaseRun {
    pub(crate) file: NewFile,
    /// Smallest and largest key; `None` without key columns.
    pub(crate) range: Option<(OwnedRow, OwnedRow)>,
    /// From which row on which arrival counts.
    pub(crate) arrivals: Vec<(u64, i64)>,
}

/// Sorted rows set aside.
#[derive(Debug)]
pub(crate) struct SpillRun {
    pub(crate) spill: Spill,
    pub(crate) range: (OwnedRow, OwnedRow),
}

/// What a lane leaves behind.
#[derive(Debug, Default)]
pub(crate) struct LaneResult {
    pub(crate) bases: Vec<BaseRun>,
    pub(crate) spills: Vec<SpillRun>,
    /// What is left in memory, sorted, with arrivals.
    pub(crate) memory: Option<RecordBatch>,
    pub(crate) tuning: Option<Tuning>,
    pub(crate) read: u64,
    pub(crate) duplicates: u64,
    pub(crate) null_keys: u64,
    pub(crate) null_key_sample: Vec<String>,
}

struct OpenFile {
    writer: FileWriter,
    range: Option<(OwnedRow, OwnedRow)>,
    arrivals: Vec<(u64, i64)>,
}

/// A lane at work. All calls block.
pub(crate) struct Lane {
    layout: Arc<Layout>,
    /// Whether rows in order go straight into a file of the table.
    direct: bool,
    open: Option<OpenFile>,
    /// Largest key written straight to a file.
    last: Option<OwnedRow>,
    piece: Vec<RecordBatch>,
    piece_rows: usize,
    piece_bytes: usize,
    /// Rows that come nearly in order.
    window: Window,
    /// Sorted rows that came after larger ones had been written.
    late: Vec<RecordBatch>,
    late_rows: usize,
    /// The rows come in no order.
    is_scattered: bool,
    result: LaneResult,
}

impl Lane {
    pub(crate) fn new(layout: Arc<Layout>, direct: bool) -> Self {
        Lane {
            window: Window::new(layout.keys.clone()),
            layout,
            direct,
            open: None,
            last: None,
            piece: Vec::new(),
            piece_rows: 0,
            piece_bytes: 0,
            late: Vec::new(),
            late_rows: 0,
            is_scattered: false,
            result: LaneResult::default(),
        }
    }

    /// Takes rows that arrived as number `arrival`.
    pub(crate) fn push(&mut self, batch: RecordBatch, arrival: i64) -> Result<()> {
        let keys = self.layout.keys.clone();
        let (batch, nulls) = keys.without_nulls(batch, &mut self.result.null_key_sample)?;
        self.result.null_keys += nulls;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.result.tuning.is_none() {
            self.result.tuning = Some(Tuning::of(&batch));
        }
        if !self.direct || self.is_scattered {
            return self.collect(self.arrived(&batch, arrival)?);
        }
        // While rows wait everything joins them, so that what is written comes in order.
        if self.window.is_empty() && self.follows(&batch)? && keys.ascends(&batch)? {
            return self.append(&batch, arrival);
        }
        self.window.push(self.arrived(&batch, arrival)?)?;
        if self.window.is_full() { self.take_turn(false) } else { Ok(()) }
    }

    /// `batch` with the arrival column.
    fn arrived(&self, batch: &RecordBatch, arrival: i64) -> Result<RecordBatch> {
        staged(&self.layout.staged, batch, Int64Array::from(vec![arrival; batch.num_rows()]))
    }

    /// Adds rows to the piece, and sets it aside when it is large.
    fn collect(&mut self, rows: RecordBatch) -> Result<()> {
        self.piece_rows += rows.num_rows();
        self.piece_bytes += size_of_rows(&rows);
        self.piece.push(rows);
        match self.piece_rows >= PIECE_ROWS || self.piece_bytes >= PIECE_BYTES {
            true => self.set_aside(),
            false => Ok(()),
        }
    }

    /// Counts rows that the source delivered.
    pub(crate) fn count(&mut self, rows: usize) {
        self.result.read += rows as u64;
    }

    /// The table's folder.
    pub(crate) fn folder(&self) -> &Folder {
        &self.layout.folder
    }

    /// Ends the lane. An error comes with the files that are complete already.
    pub(crate) fn finish(mut self) -> Result<LaneResult, (Error, Vec<String>)> {
        match self.complete() {
            Ok(()) => Ok(self.result),
            Err(error) => Err((error, self.abandon())),
        }
    }

    fn complete(&mut self) -> Result<()> {
        if self.direct {
            self.take_turn(true)?;
            self.set_late_aside()?;
            self.set_aside()?;
            self.result.duplicates += self.window.duplicates();
        } else if !self.piece.is_empty() {
            self.result.memory = Some(self.sort_piece()?);
        }
        self.close()
    }

    /// Gives up. Returns the files that are complete already.
    pub(crate) fn abandon(mut self) -> Vec<String> {
        if let Some(open) = self.open.take() {
            open.writer.abandon();
        }
        self.result.bases.into_iter().map(|base| base.file.path).collect()
    }

    /// Whether the first key of `batch` is beyond everything written so far.
    fn follows(&self, batch: &RecordBatch) -> Result<bool> {
        match &self.last {
            Some(last) => Ok(self.layout.keys.row(batch, 0)?.row() > last.row()),
            None => Ok(true),
        }
    }

    /// Writes sorted rows to the open file.
    fn append(&mut self, batch: &RecordBatch, arrival: i64) -> Result<()> {
        if self.open.as_ref().is_some_and(|open| open.writer.rows() >= FILE_ROWS) {
            self.close()?;
        }
        let keys = &self.layout.keys;
        let range = match keys.is_empty() {
            true => None,
            false => Some((keys.row(batch, 0)?, keys.row(batch, batch.num_rows() - 1)?)),
        };
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let tuning = self.result.tuning.clone().unwrap_or_default();
                let writer = self.layout.file("base", &tuning)?;
                self.open.insert(OpenFile { writer, range: range.clone(), arrivals: Vec::new() })
            }
        };
        open.arrivals.push((open.writer.rows(), arrival));
        if let (Some((_, last)), Some((_, new))) = (&mut open.range, &range) {
            *last = new.clone();
        }
        self.last = range.map(|(_, last)| last);
        open.writer.write(batch)
    }

    fn close(&mut self) -> Result<()> {
        if let Some(open) = self.open.take() {
            let file = open.writer.finish()?;
            self.result.bases.push(BaseRun { file, range: open.range, arrivals: open.arrivals });
        }
        Ok(())
    }

    /// Writes the rows whose turn it is.
    fn take_turn(&mut self, is_end: bool) -> Result<()> {
        if self.window.is_empty() {
            return Ok(());
        }
        let Some(turn) = self.window.turn(self.last.as_ref(), LATE_SHARE, is_end)? else {
            self.is_scattered = true;
            return self.window.drain()?.map_or(Ok(()), |rows| self.collect(rows));
        };
        if let Some(late) = turn.late {
            self.late_rows += late.num_rows();
            self.late.push(late);
            if self.late_rows >= PIECE_ROWS / 2 {
                self.set_late_aside()?;
            }
        }
        let Some(ready) = turn.ready else { return Ok(()) };
        let latest = arrow::compute::max(super::merge::arrival(&ready)).unwrap_or_default();
        self.append(&unstaged(&self.layout.schema, &ready)?, latest)
    }

    /// Sorts the piece and sets it aside.
    fn set_aside(&mut self) -> Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let sorted = self.sort_piece()?;
        self.spill(sorted)
    }

    /// Sets aside what came too late.
    fn set_late_aside(&mut self) -> Result<()> {
        if self.late.is_empty() {
            return Ok(());
        }
        let late = concat_batches(&self.layout.staged, &self.late).map_err(failure::arrow)?;
        self.late.clear();
        self.late_rows = 0;
        let (sorted, duplicates) = self.layout.keys.sort(&late)?;
        self.result.duplicates += duplicates;
        self.spill(sorted)
    }

    fn spill(&mut self, sorted: RecordBatch) -> Result<()> {
        let keys = &self.layout.keys;
        let range = (keys.row(&sorted, 0)?, keys.row(&sorted, sorted.num_rows() - 1)?);
        let spill = Spill::write(&self.layout.folder.spill, &self.layout.staged, [Ok(sorted)])?;
        self.result.spills.push(SpillRun { spill, range });
        Ok(())
    }

    fn sort_piece(&mut self) -> Result<RecordBatch> {
        let piece = concat_batches(&self.layout.staged, &self.piece).map_err(failure::arrow)?;
        self.piece.clear();
        (self.piece_rows, self.piece_bytes) = (0, 0);
        let (sorted, duplicates) = self.layout.keys.sort(&piece)?;
        self.result.duplicates += duplicates;
        Ok(sorted)
    }
}

/// Bytes of the rows themselves, whatever buffers they share.
pub(crate) fn size_of_rows(batch: &RecordBatch) -> usize {
    let size = |column: &dyn Array| column.to_data().get_slice_memory_size().unwrap_or(0);
    batch.columns().iter().map(|column| size(column)).sum()
}
