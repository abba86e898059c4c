//! Rows on their way: produced on the engine's threads, handed over in a bounded channel.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use super::engine::Engine;
use super::error::translate;
use super::interrupt::interruptible;
use super::quick;
use crate::error::{Error, Kind, Result};

/// Batches that may wait for the reader.
const BUFFERED_BATCHES: usize = 2;
/// Rows of a batch handed over: the buffer stays small whatever an operator makes.
const MAX_BATCH_ROWS: usize = 8_192;

/// When a statement has to stop.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) cancel: CancellationToken,
    pub(super) deadline: Option<tokio::time::Instant>,
}

impl Limits {
    pub(super) fn new(cancel: CancellationToken, timeout: Option<Duration>) -> Self {
        let deadline = timeout.map(|timeout| tokio::time::Instant::now() + timeout);
        Limits { cancel, deadline }
    }

    /// Runs until the statement has to stop.
    pub(super) async fn within<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(cancelled()),
            () = self.passed() => Err(timed_out()),
            result = work => result,
        }
    }

    /// When the deadline has passed.
    pub(super) async fn passed(&self) {
        match self.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }
}

/// 57014
pub(super) fn cancelled() -> Error {
    Error::new(Kind::Cancelled, "canceling statement due to user request")
}

/// 57014
pub(super) fn timed_out() -> Error {
    Error::new(Kind::Cancelled, "canceling statement due to statement timeout")
}

/// Starts a plan and returns its rows under `schema`, whose names may repeat. An error of constants is one of the start,
/// before anything is told of rows: PostgreSQL works them out when it plans.
pub(super) async fn start(
    engine: &Arc<Engine>,
    plan: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    limits: Limits,
) -> Result<SendableRecordBatchStream> {
    let is_of_constants = quick::is_of_constants(&plan);
    let mut rows = begun(engine, plan, schema.clone(), limits).await?;
    if !is_of_constants {
        return Ok(rows);
    }
    let first = match rows.next().await {
        Some(Err(error)) => return Err(translate(error)),
        Some(Ok(batch)) => Some(Ok(batch)),
        None => return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::empty()))),
    };
    let rows = futures::stream::iter(first).chain(rows);
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

async fn begun(
    engine: &Arc<Engine>,
    plan: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    limits: Limits,
) -> Result<SendableRecordBatchStream> {
    if quick::is_at_hand(&plan) {
        let rows = execute_stream(plan, engine.task_context()).map_err(translate)?;
        let shown = schema.clone();
        let rows = rows.map(move |batch| rename(&batch?, &shown).map_err(DataFusionError::from));
        return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)));
    }
    let permit = engine.turn().await?;
    let stop = CancellationToken::new();
    let plan = interruptible(plan, &stop).map_err(translate)?;
    let (sender, receiver) = mpsc::channel(BUFFERED_BATCHES);
    let shown = schema.clone();
    let producer = engine.clone();
    let complete = Arc::new(AtomicBool::new(false));
    let completed = complete.clone();
    let task = engine.handle().spawn(async move {
        let mut permit = Some(permit);
        let mut rows = match execute_stream(plan, producer.task_context()) {
            Ok(rows) => rows,
            Err(error) => return drop(sender.send(Err(translate(error))).await),
        };
        while let Some(next) = rows.next().await {
            let batch = match next {
                Ok(batch) => batch,
                Err(error) => return drop(sender.send(Err(translate(error))).await),
            };
            for from in (0..batch.num_rows()).step_by(MAX_BATCH_ROWS) {
                let part = batch.slice(from, MAX_BATCH_ROWS.min(batch.num_rows() - from));
                match sender.try_send(rename(&part, &shown)) {
                    Ok(()) => {}
                    Err(mpsc::error::TrySendError::Closed(_)) => return,
                    Err(mpsc::error::TrySendError::Full(part)) => {
                        // A reader that takes its time keeps no one else from running.
                        permit.take();
                        if sender.send(part).await.is_err() {
                            return;
                        }
                    }
                }
            }
            if permit.is_none() {
                match producer.turn().await {
                    Ok(turn) => permit = Some(turn),
                    Err(error) => return drop(sender.send(Err(error)).await),
                }
            }
        }
        completed.store(true, Ordering::Release);
    });
    Ok(Box::pin(Rows {
        schema,
        receiver,
        task: task.abort_handle(),
        complete,
        _stop: stop.drop_guard(),
        cancelled: Box::pin(limits.cancel.cancelled_owned()),
        deadline: limits.deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline))),
        ended: false,
    }))
}

/// The same columns under the names the client sees.
pub(super) fn rename(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options)
        .map_err(|error| Error::internal("a batch of another schema").with_source(error))
}

struct Rows {
    schema: SchemaRef,
    receiver: mpsc::Receiver<Result<RecordBatch>>,
    task: AbortHandle,
    /// Set when every row was handed over: a channel that closes without it means that rows are missing.
    complete: Arc<AtomicBool>,
    /// Stops what does not give control back.
    _stop: DropGuard,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    deadline: Option<Pin<Box<tokio::time::Sleep>>>,
    ended: bool,
}

impl Rows {
    fn stop(&mut self, error: Error) -> Poll<Option<Result<RecordBatch, DataFusionError>>> {
        self.ended = true;
        self.task.abort();
        self.receiver.close();
        // What waits in the channel is given back at once.
        while self.receiver.try_recv().is_ok() {}
        Poll::Ready(Some(Err(error.into())))
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.cancelled.poll_unpin(context).is_ready() {
            return self.stop(cancelled());
        }
        if let Some(deadline) = &mut self.deadline
            && deadline.poll_unpin(context).is_ready()
        {
            return self.stop(timed_out());
        }
        match self.receiver.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(batch))) => Poll::Ready(Some(Ok(batch))),
            Poll::Ready(Some(Err(error))) => {
                self.ended = true;
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) if self.complete.load(Ordering::Acquire) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Ready(None) => {
                self.stop(Error::internal("the statement ended before all its rows were made"))
            }
        }
    }
}

impl RecordBatchStream for Rows {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.task.abort();
    }
}
