//! Taking rows in: every lane is worked on by a thread of its own, two at most at a time.

use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::assemble::assemble;
use super::columns::Columns;
use super::failure;
use super::keys::Keys;
use super::lane::{Lane, LaneResult, Layout};
use super::merge::staged_schema;
use super::prepared::{Prepared, Work};
use super::spec::{Counts, WriteSpec};
use super::staged::Staged;
use super::table::Shared;
use super::upsert::Changes;
use crate::error::{Error, Kind, Result};
use crate::model::{FieldType, Micros, now_micros};

/// Lanes that sort and encode at the same time.
const BUSY_LANES: usize = 2;
/// Batches waiting per lane.
const WAITING: usize = 6;
/// Arrival numbers of one lane of a replacement.
const LANE_ARRIVALS: i64 = 1 << 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Replace,
    Upsert,
}

/// Takes the rows of one write. Nothing of it is visible before [`Prepared::commit`]; a writer that is dropped
/// leaves the table as it was.
pub struct Writer {
    shared: Arc<Shared>,
    spec: WriteSpec,
    mode: Mode,
    layout: Arc<Layout>,
    permits: Arc<Semaphore>,
    lanes: Vec<Option<LaneTask>>,
    arrivals: i64,
    began: Micros,
    /// For columns alone: the definition of whole rows, and whether those that are not written are removed.
    over: Option<(WriteSpec, bool)>,
}

struct LaneTask {
    inbox: mpsc::Sender<Message>,
    task: JoinHandle<Result<LaneResult>>,
}

enum Message {
    Rows { batch: RecordBatch, arrival: i64, counted: bool },
    Finish,
}

impl Writer {
    pub(crate) fn start(shared: Arc<Shared>, spec: &WriteSpec, mode: Mode) -> Result<Self> {
        spec.check()?;
        let layout = layout_of(&shared, spec)?;
        Ok(Writer {
            shared,
            spec: spec.clone(),
            mode,
            layout: Arc::new(layout),
            permits: Arc::new(Semaphore::new(BUSY_LANES)),
            lanes: Vec::new(),
            arrivals: 0,
            began: now_micros(),
            over: None,
        })
    }

    /// A writer of the key and `columns` of rows that `spec` defines.
    pub(crate) fn columns(
        shared: Arc<Shared>,
        spec: &WriteSpec,
        columns: &[String],
        removes: bool,
    ) -> Result<Self> {
        spec.check()?;
        let is_written = |(name, _): &&(String, FieldType)| spec.key.contains(name) || columns.contains(name);
        let part = spec.columns.iter().filter(is_written).cloned().collect();
        let part = WriteSpec { columns: part, key: spec.key.clone() };
        let over = Some((spec.clone(), removes));
        Ok(Writer { over, ..Writer::start(shared, &part, Mode::Replace)? })
    }

    /// Takes rows; waits while the lane is busy. Their columns are those of the [`WriteSpec`], in that order.
    pub async fn write(&mut self, lane: usize, rows: RecordBatch) -> Result<()> {
        let batch = self.conform(&rows)?;
        self.arrivals += 1;
        let (lane, first) = match self.mode {
            Mode::Replace => (lane, lane as i64 * LANE_ARRIVALS),
            // Changes are taken in one order, whatever lanes they come from.
            Mode::Upsert => (0, 0),
        };
        self.send(lane, Message::Rows { batch, arrival: (first + self.arrivals) << 1, counted: true }).await
    }

    /// Takes the keys of rows to remove; their columns are the key columns, in the order of the key. Only for a
    /// merge. A row written later under such a key is kept.
    pub async fn delete(&mut self, keys: RecordBatch) -> Result<()> {
        if self.mode == Mode::Replace {
            return Err(Error::internal("a replacement removes all rows; single ones cannot be named"));
        }
        let columns = self.layout.schema.fields().iter().map(|field| {
            let position = self.spec.key.iter().position(|name| name == field.name());
            match position.and_then(|position| keys.columns().get(position)) {
                Some(column) => column.clone(),
                None => new_null_array(field.data_type(), keys.num_rows()),
            }
        });
        let batch = RecordBatch::try_new(self.layout.schema.clone(), columns.collect());
        let batch = batch.map_err(|e| mismatch("the keys to remove", e))?;
        if keys.num_columns() != self.spec.key.len() {
            return Err(Error::internal("the keys to remove do not have the columns of the key"));
        }
        self.arrivals += 1;
        let arrival = (self.arrivals << 1) | 1;
        self.send(0, Message::Rows { batch, arrival, counted: false }).await
    }

    /// Waits until everything is sorted, written and counted. Nothing is visible yet.
    pub async fn prepare(mut self) -> Result<Prepared> {
        if self.mode == Mode::Upsert {
            self.lane(0);
        }
        for lane in self.lanes.iter().flatten() {
            // A lane that failed has closed its inbox; its error comes with its result.
            lane.inbox.send(Message::Finish).await.ok();
        }
        let mut results = Vec::new();
        let mut failed = None;
        for lane in self.lanes.drain(..).flatten() {
            match lane.task.await.map_err(failure::task).flatten() {
                Ok(result) => results.push(result),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            let files = results.into_iter().flat_map(|r| r.bases).map(|base| base.file.path);
            self.shared.folder.delete(files.collect::<Vec<_>>()).await;
            return Err(error);
        }
        let (layout, footers, mode) = (self.layout.clone(), self.shared.footers.clone(), self.mode);
        let work = tokio::task::spawn_blocking(move || match mode {
            Mode::Replace => replacement(&layout, &footers, results),
            Mode::Upsert => {
                let lane = results.into_iter().next().unwrap_or_default();
                Ok(Work::Merge(Changes::new(layout, lane)?))
            }
        });
        let work = work.await.map_err(failure::task)??;
        let (spec, work) = match (self.over, work) {
            (Some((spec, removes)), Work::Replace(staged)) => {
                let layout = Arc::new(layout_of(&self.shared, &spec)?);
                (spec, Work::Columns(Columns { staged, layout, removes }))
            }
            (_, work) => (self.spec, work),
        };
        Prepared::new(self.shared, spec, work, self.began).await
    }

    /// `rows` under the schema of the table.
    fn conform(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        RecordBatch::try_new(self.layout.schema.clone(), rows.columns().to_vec())
            .map_err(|e| mismatch("the rows", e))
    }

    fn lane(&mut self, number: usize) -> Option<&mut LaneTask> {
        if self.lanes.len() <= number {
            self.lanes.resize_with(number + 1, || None);
        }
        let (layout, permits, direct) = (&self.layout, &self.permits, self.mode == Mode::Replace);
        let slot = self.lanes.get_mut(number)?;
        Some(slot.get_or_insert_with(|| {
            let lane = Lane::new(layout.clone(), direct);
            let (inbox, messages) = mpsc::channel(WAITING);
            let (permits, runtime) = (permits.clone(), layout.folder.runtime.clone());
            let task = tokio::task::spawn_blocking(move || run(lane, messages, &permits, &runtime));
            LaneTask { inbox, task }
        }))
    }

    async fn send(&mut self, number: usize, message: Message) -> Result<()> {
        let Some(lane) = self.lane(number) else { return Err(Error::internal("a lane is missing")) };
        if lane.inbox.send(message).await.is_ok() {
            return Ok(());
        }
        let failed = self.lanes.get_mut(number).and_then(Option::take);
        let outcome = match failed {
            Some(lane) => lane.task.await.map_err(failure::task).flatten(),
            None => return Err(Error::internal("a lane failed before")),
        };
        Err(outcome.err().unwrap_or_else(|| Error::internal("a lane ended early")))
    }
}

fn mismatch(what: &str, error: arrow::error::ArrowError) -> Error {
    Error::internal(format!("{what} do not have the columns of the table: {error}")).with_source(error)
}

/// A lane's thread.
fn run(
    mut lane: Lane,
    mut messages: mpsc::Receiver<Message>,
    permits: &Semaphore,
    runtime: &Handle,
) -> Result<LaneResult> {
    let folder = lane.folder().clone();
    let error = loop {
        let message = messages.blocking_recv();
        // The permits are never closed.
        let _permit = runtime.block_on(permits.acquire()).ok();
        match message {
            Some(Message::Rows { batch, arrival, counted }) => {
                if counted {
                    lane.count(batch.num_rows());
                }
                if let Err(error) = lane.push(batch, arrival) {
                    break error;
                }
            }
            Some(Message::Finish) => match lane.finish() {
                Ok(result) => return Ok(result),
                Err((error, files)) => {
                    runtime.block_on(folder.delete(files));
                    return Err(error);
                }
            },
            None => break Error::new(Kind::Cancelled, "the write was given up"),
        }
    };
    messages.close();
    runtime.block_on(folder.delete(lane.abandon()));
    Err(error)
}

fn layout_of(shared: &Shared, spec: &WriteSpec) -> Result<Layout> {
    let schema = spec.schema();
    Ok(Layout {
        folder: shared.folder.clone(),
        staged: staged_schema(&schema),
        keys: Arc::new(Keys::new(&schema, &spec.key)?),
        key: spec.key.clone(),
        schema,
    })
}

/// Turns what the lanes left into the files of the next version. Blocks.
fn replacement(
    layout: &Arc<Layout>,
    footers: &Arc<super::parquet_read::Footers>,
    lanes: Vec<LaneResult>,
) -> Result<Work> {
    let mut counts = Counts::default();
    for lane in &lanes {
        counts.read += lane.read;
        counts.duplicates += lane.duplicates;
        counts.null_keys += lane.null_keys;
        counts.null_key_sample.extend(lane.null_key_sample.iter().cloned());
    }
    counts.null_key_sample.truncate(5);
    let tuning = lanes.iter().find_map(|lane| lane.tuning.clone()).unwrap_or_default();
    let assembled = assemble(layout, footers, &tuning, lanes)?;
    let away: Vec<_> = assembled.merged_away.iter().map(|file| file.path.clone()).collect();
    layout.folder.runtime.block_on(layout.folder.delete(away));
    counts.duplicates += assembled.duplicates;
    let written = assembled.files.iter().chain(&assembled.merged_away);
    counts.bytes_written = written.map(|file| file.size).sum();
    counts.total = assembled.files.iter().map(|file| file.rows).sum();
    Ok(Work::Replace(Staged { layout: layout.clone(), files: assembled.files, tuning, counts }))
}
