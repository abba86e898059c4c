//! Cursors: queries whose rows are asked for piece by piece.
//!
//! A cursor is planned when it is declared and reads the release of that moment. It runs from the first `FETCH` on
//! and only as far as rows are asked for. A row that was passed is forgotten, unless the cursor was declared with
//! `SCROLL`: then all that were read are kept, up to a limit.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Execution, Prepared, Session, TransactionStatus};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::query::engine::Engine;
use crate::query::error::translate;
use crate::query::parse::{ALL, Command, Direction};
use crate::query::run::{self, Limits};

/// Cursors that a session may have open.
const MAX_CURSORS: usize = 1_000;
/// Bytes of the rows that a `SCROLL` cursor keeps.
const MAX_KEPT_BYTES: usize = 64 << 20;
/// Rows of a batch that is made of rows read backwards.
const BACKWARD_ROWS: u64 = 1_024;

/// The open cursors of a session.
#[derive(Default)]
pub(super) struct Cursors(HashMap<String, Cursor>);

struct Cursor {
    schema: SchemaRef,
    /// Outlives its transaction when that commits.
    hold: bool,
    /// Has outlived its transaction.
    held: bool,
    /// Savepoints that were open when it was declared.
    depth: usize,
    /// `None` while a `FETCH` uses it, and after one failed.
    state: Shared,
}

type Shared = Arc<Mutex<Option<State>>>;

impl Cursors {
    /// The columns of a cursor.
    pub(super) fn schema(&self, name: &str) -> Option<SchemaRef> {
        self.0.get(name).map(|cursor| cursor.schema.clone())
    }

    fn refuse(&self, name: &str) -> Result<()> {
        if self.0.contains_key(name) {
            let what = format!("cursor \"{name}\" already exists");
            return Err(Error::new(Kind::AlreadyExists, what).with_sqlstate("42P03"));
        }
        if self.0.len() >= MAX_CURSORS {
            let error = Error::new(Kind::Limit, format!("a session may have {MAX_CURSORS} cursors open"));
            return Err(error.with_sqlstate("54000").with_hint("close those that are not used any more"));
        }
        Ok(())
    }

    fn take(&self, name: &str) -> Result<(Shared, State)> {
        let cursor = self.0.get(name).ok_or_else(|| self.missing(name))?;
        let state = cursor.state.lock().take().ok_or_else(|| {
            Error::new(Kind::Conflict, format!("portal \"{name}\" cannot be run")).with_sqlstate("55000")
        })?;
        Ok((cursor.state.clone(), state))
    }

    pub(super) fn close(&mut self, name: &str) -> Result<()> {
        match self.0.remove(name) {
            Some(_) => Ok(()),
            None => Err(self.missing(name)),
        }
    }

    fn missing(&self, name: &str) -> Error {
        let close = did_you_mean(name, self.0.keys().map(String::as_str));
        Error::new(Kind::NotFound, format!("cursor \"{name}\" does not exist{close}")).with_sqlstate("34000")
    }

    pub(super) fn close_all(&mut self) {
        self.0.clear();
    }

    /// A transaction ended.
    pub(super) fn end_transaction(&mut self, committed: bool) {
        self.0.retain(|_, cursor| cursor.held || (committed && cursor.hold));
        self.0.values_mut().for_each(|cursor| cursor.held = true);
    }

    /// `ROLLBACK TO` the savepoint of that number: what was declared after it goes.
    pub(super) fn rollback_to(&mut self, savepoint: usize) {
        self.0.retain(|_, cursor| cursor.held || cursor.depth <= savepoint);
    }

    /// `RELEASE` of the savepoint of that number: what was declared after it belongs to the one before.
    pub(super) fn release(&mut self, savepoint: usize) {
        self.0.values_mut().for_each(|cursor| cursor.depth = cursor.depth.min(savepoint));
    }
}

impl Session {
    /// `DECLARE`
    pub(super) async fn declare(
        &self,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        limits: Limits,
    ) -> Result<()> {
        let Command::Declare { name, scroll, hold, .. } = prepared.parsed.command() else {
            return Err(Error::internal("no DECLARE"));
        };
        if !hold && self.transaction() == TransactionStatus::Idle {
            let what = "DECLARE CURSOR can only be used in transaction blocks";
            return Err(Error::new(Kind::Invalid, what)
                .with_sqlstate("25P01")
                .with_hint("send BEGIN first, or declare it WITH HOLD"));
        }
        self.inner.lock().cursors.refuse(name)?;
        let (plan, schema) = limits.within(self.sendable(prepared, values)).await?;
        let state = State::new(self.engine.clone(), plan, schema.clone(), *scroll);
        let mut inner = self.inner.lock();
        let (depth, held) = (inner.transaction.depth(), !inner.transaction.is_open());
        let state = Arc::new(Mutex::new(Some(state)));
        inner.cursors.0.insert(name.clone(), Cursor { schema, hold: *hold, held, depth, state });
        Ok(())
    }

    /// `FETCH` and `MOVE`
    pub(super) async fn fetch(
        &self,
        name: &str,
        direction: Direction,
        moves: bool,
        limits: Limits,
    ) -> Result<Execution> {
        let (home, state) = self.inner.lock().cursors.take(name)?;
        let schema = state.schema.clone();
        let mut fetching = Fetching { home, state: Some(state), walk: None, limits };
        fetching.walk = Some(fetching.begin(direction, moves).await?);
        if moves {
            let mut passed = u64::from(matches!(fetching.walk, Some(Walk { stands: true, .. })));
            while let Some(batch) = fetching.next().await? {
                passed += batch.num_rows() as u64;
            }
            return Ok(Execution::Done { tag: format!("MOVE {passed}") });
        }
        let rows = futures::stream::try_unfold(fetching, |mut fetching| async {
            Ok(fetching.next().await?.map(|batch| (batch, fetching)))
        });
        let rows = rows.map_err(|error: Error| DataFusionError::from(error));
        let stream = Box::pin(RecordBatchStreamAdapter::new(schema.clone(), rows));
        Ok(Execution::Rows { schema, stream, tag: "FETCH".into(), count_in_tag: true })
    }
}

/// Where a cursor is.
struct State {
    engine: Arc<Engine>,
    schema: SchemaRef,
    /// Taken when it starts.
    plan: Option<Arc<dyn ExecutionPlan>>,
    rows: Option<SendableRecordBatchStream>,
    scroll: bool,
    kept: VecDeque<RecordBatch>,
    kept_bytes: usize,
    /// Rows before the first that is kept.
    forgotten: u64,
    /// Rows read so far.
    read: u64,
    is_complete: bool,
    /// The row it is on, counted from 1; 0 is before the first, `read + 1` after the last.
    position: u64,
}

/// The way of one `FETCH`.
#[derive(Debug, Clone, Copy)]
struct Walk {
    /// The next row to give.
    next: u64,
    /// Rows left to give.
    left: u64,
    backward: bool,
    /// `MOVE 0` while on a row: nothing moves, and one row counts.
    stands: bool,
}

impl State {
    fn new(engine: Arc<Engine>, plan: Arc<dyn ExecutionPlan>, schema: SchemaRef, scroll: bool) -> Self {
        State {
            engine,
            schema,
            plan: Some(plan),
            rows: None,
            scroll,
            kept: VecDeque::new(),
            kept_bytes: 0,
            forgotten: 0,
            read: 0,
            is_complete: false,
            position: 0,
        }
    }

    fn is_on_row(&self) -> bool {
        (1..=self.read).contains(&self.position)
    }

    /// Reads one batch more; `false` when there is none.
    async fn pull(&mut self) -> Result<bool> {
        if let Some(plan) = self.plan.take() {
            // Each FETCH has limits of its own around this.
            let limits = Limits::new(CancellationToken::new(), None);
            self.rows = Some(run::start(&self.engine, plan, self.schema.clone(), limits).await?);
        }
        let Some(rows) = &mut self.rows else { return Ok(false) };
        let Some(batch) = rows.next().await.transpose().map_err(translate)? else {
            self.rows = None;
            self.is_complete = true;
            return Ok(false);
        };
        if !self.scroll {
            self.forgotten = self.read;
            self.kept.clear();
        } else {
            self.kept_bytes += batch.columns().iter().map(bytes).sum::<usize>();
            if self.kept_bytes > MAX_KEPT_BYTES {
                let what = "the rows of a SCROLL cursor take more than 64 MiB";
                return Err(Error::new(Kind::Limit, what)
                    .with_sqlstate("54000")
                    .with_hint("declare it with NO SCROLL, which keeps none"));
            }
        }
        self.read += batch.num_rows() as u64;
        self.kept.push_back(batch);
        Ok(true)
    }

    /// The batch of a row and its place in it.
    fn find(&self, row: u64) -> Option<(usize, usize)> {
        let mut before = self.forgotten;
        for (number, batch) in self.kept.iter().enumerate() {
            let rows = batch.num_rows() as u64;
            if row > before && row <= before + rows {
                return Some((number, (row - before - 1) as usize));
            }
            before += rows;
        }
        None
    }
}

fn bytes(array: &Arc<dyn Array>) -> usize {
    array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size())
}

/// One `FETCH` under way. Whatever ends it, the cursor stays where it came to.
struct Fetching {
    home: Shared,
    /// `None` after an error: the cursor cannot be used any more.
    state: Option<State>,
    walk: Option<Walk>,
    limits: Limits,
}

impl Fetching {
    /// The way to go from where the cursor is.
    async fn begin(&mut self, direction: Direction, moves: bool) -> Result<Walk> {
        let Some(state) = &mut self.state else { return Err(Error::internal("a cursor that is in use")) };
        let position = state.position;
        let walk = |next, left, backward| Walk { next, left, backward, stands: false };
        let walk = match direction {
            Direction::By(0) | Direction::Relative(0) => {
                let on_row = state.is_on_row();
                match moves {
                    true => Walk { next: position, left: 0, backward: false, stands: on_row },
                    false => walk(position, u64::from(on_row), false),
                }
            }
            Direction::By(count) if count > 0 => walk(position + 1, count.unsigned_abs(), false),
            Direction::By(count) => walk(position.saturating_sub(1), count.unsigned_abs(), true),
            Direction::Relative(count) if count > 0 => {
                walk(position.saturating_add(count.unsigned_abs()), 1, false)
            }
            Direction::Relative(count) => walk(position.saturating_sub(count.unsigned_abs()), 1, true),
            Direction::Absolute(number) if number >= 0 => {
                walk(number.unsigned_abs(), u64::from(number > 0), false)
            }
            Direction::Absolute(number) => {
                state.refuse_backward()?;
                let limits = self.limits.clone();
                while limits.within(state.pull()).await? {}
                walk((state.read + 1).saturating_sub(number.unsigned_abs()), 1, true)
            }
        };
        let goes_on = walk.next > position || position == 0 || walk.stands || walk.left == 0;
        let rewinds = direction == Direction::Absolute(0) && position > 0;
        if walk.backward || rewinds || !goes_on {
            state.refuse_backward()?;
        }
        if direction == Direction::Absolute(0) {
            state.position = 0;
        }
        Ok(walk)
    }

    /// The next rows on the way.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let (Some(mut state), Some(mut walk)) = (self.state.take(), self.walk) else { return Ok(None) };
        let limits = self.limits.clone();
        let next = limits.within(step(&mut state, &mut walk)).await?;
        self.state = Some(state);
        self.walk = Some(walk);
        Ok(next)
    }
}

async fn step(state: &mut State, walk: &mut Walk) -> Result<Option<RecordBatch>> {
    if walk.left == 0 {
        return Ok(None);
    }
    if walk.backward {
        return back(state, walk);
    }
    loop {
        if let Some((number, place)) = state.find(walk.next) {
            let batch = &state.kept[number];
            let rows = (batch.num_rows() - place).min(usize::try_from(walk.left).unwrap_or(usize::MAX));
            let given = batch.slice(place, rows);
            state.position = walk.next + rows as u64 - 1;
            walk.next += rows as u64;
            walk.left -= rows as u64;
            return Ok(Some(given));
        }
        if state.is_complete || !state.pull().await? {
            state.position = state.read + 1;
            walk.left = 0;
            return Ok(None);
        }
    }
}

/// Rows that were kept, from `walk.next` towards the first.
fn back(state: &mut State, walk: &mut Walk) -> Result<Option<RecordBatch>> {
    let count = walk.left.min(walk.next).min(BACKWARD_ROWS);
    if count == 0 {
        state.position = 0;
        walk.left = 0;
        return Ok(None);
    }
    let rows = (0..count).filter_map(|back| state.find(walk.next - back)).collect::<Vec<_>>();
    let batches: Vec<_> = state.kept.iter().collect();
    let given = interleave_record_batch(&batches, &rows)
        .map_err(|error| Error::internal("rows that were kept").with_source(error))?;
    walk.next -= count;
    walk.left -= if walk.left == ALL.unsigned_abs() { 0 } else { count };
    state.position = walk.next + 1;
    Ok(Some(given))
}

impl State {
    /// 55000, as PostgreSQL words it.
    fn refuse_backward(&self) -> Result<()> {
        if self.scroll {
            return Ok(());
        }
        Err(Error::new(Kind::Invalid, "cursor can only scan forward")
            .with_sqlstate("55000")
            .with_hint("Declare it with SCROLL option to enable backward scan."))
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        *self.home.lock() = self.state.take();
    }
}
