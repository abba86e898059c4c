//! Running statements: waiting for the engine while watching the client, and sending rows as they come.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use pgwire::messages::response::CommandComplete;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::copy::Copy;
use super::encode::Layout;
use super::reply;
use super::sqlstate;
use super::wire::End;
use crate::error::{Error, Kind, Result};
use crate::query::{Notice, NoticeSender};

/// What a cancelled statement gets to end by itself, so that a `CALL` can say how far it came.
const GRACE: Duration = Duration::from_millis(700);

/// What ends a statement before its time.
#[derive(Debug)]
pub(super) enum Fault {
    /// The client is told and may go on.
    Statement(Error),
    /// The connection ends.
    End(End),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Statement(error)
    }
}

impl From<End> for Fault {
    fn from(end: End) -> Self {
        Fault::End(end)
    }
}

/// The rows of a statement, as far as they have been sent.
pub(super) struct Rows {
    pub(super) layout: Layout,
    stream: SendableRecordBatchStream,
    /// The batch being sent, and how many of its rows have been.
    batch: Option<(RecordBatch, usize)>,
    tag: String,
    count_in_tag: bool,
    notices: mpsc::UnboundedReceiver<Notice>,
    /// How the rows are written when they go into a `COPY`.
    copy: Option<Copy>,
}

impl Rows {
    pub(super) fn new(
        layout: Layout,
        stream: SendableRecordBatchStream,
        (tag, count_in_tag): (String, bool),
        notices: mpsc::UnboundedReceiver<Notice>,
        copy: Option<Copy>,
    ) -> Self {
        Rows { layout, stream, batch: None, tag, count_in_tag, notices, copy }
    }

    /// The tag of what was executed, with the number of rows sent this time where it belongs there.
    pub(super) fn complete(&self, sent: u64) -> CommandComplete {
        CommandComplete::new(match self.count_in_tag {
            true => format!("{} {sent}", self.tag),
            false => self.tag.clone(),
        })
    }
}

/// How sending rows ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// There are no more.
    All(u64),
    /// The client's limit was reached.
    Limit,
}

/// What has to be watched while a statement runs.
pub(super) struct Watch {
    cancel: CancellationToken,
    deadline: Option<Instant>,
}

/// Why a statement has to stop.
enum Stop {
    Cancelled,
    TimedOut,
    Gone,
    Ended,
}

impl Connection {
    /// Begins to watch a statement. The clock of `statement_timeout` starts.
    pub(super) fn watch(&self) -> Watch {
        let timeout = self.session.statement_timeout().filter(|timeout| !timeout.is_zero());
        Watch {
            cancel: self.slot.begin_statement(),
            deadline: timeout.map(|timeout| Instant::now() + timeout),
        }
    }

    pub(super) fn unwatch(&self) {
        self.slot.end_statement();
    }

    /// Waits for `work` while passing on its notices. What stops it early drops it.
    pub(super) async fn attend<T>(
        &mut self,
        watch: &Watch,
        notices: &mut mpsc::UnboundedReceiver<Notice>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T, Fault> {
        let mut work = std::pin::pin!(work);
        let stop = loop {
            tokio::select! {
                biased;
                stop = stopped(watch, &self.server.shutdown, self.slot.end()) => break stop,
                done = &mut work => {
                    self.pass_on(notices);
                    return done.map_err(Fault::Statement);
                }
                Some(notice) = notices.recv() => {
                    self.tell(&notice);
                    self.pass_on(notices);
                    // People watch progress: a notice is worth a packet of its own.
                    self.wire.flush_unless(&watch.cancel).await?;
                }
                () = self.wire.gone() => break Stop::Gone,
            }
        };
        match stop {
            Stop::Gone => Err(Fault::End(End::Gone)),
            Stop::Ended => Err(Fault::End(End::Fatal(Self::shutting_down()))),
            Stop::Cancelled | Stop::TimedOut => {
                self.session.cancel();
                // Whatever it says now: to the client it was cancelled.
                let ended = tokio::time::timeout(GRACE, work).await;
                self.pass_on(notices);
                let own = ended.ok().and_then(|result| result.err()).filter(|e| e.kind() == Kind::Cancelled);
                Err(Fault::Statement(match stop {
                    Stop::TimedOut => timed_out(),
                    _ => own.filter(|error| error.detail().is_some()).unwrap_or_else(cancelled),
                }))
            }
        }
    }

    fn tell(&mut self, notice: &Notice) {
        if self.session.tells(notice) {
            self.wire.send(&reply::notice(notice));
        }
    }

    fn pass_on(&mut self, notices: &mut mpsc::UnboundedReceiver<Notice>) {
        while let Ok(notice) = notices.try_recv() {
            self.tell(&notice);
        }
    }

    /// Sends rows until there are no more, or `max_rows` have been sent (0: no limit).
    pub(super) async fn send_rows(
        &mut self,
        rows: &mut Rows,
        max_rows: u64,
        watch: &Watch,
    ) -> Result<Sent, Fault> {
        let mut sent = 0;
        loop {
            let (batch, mut next) = match rows.batch.take() {
                Some(current) => current,
                None => {
                    let batch = self.attend(watch, &mut rows.notices, async { Ok(rows.stream.next().await) });
                    match (batch.await?, &rows.copy) {
                        (Some(Ok(batch)), _) => (batch, 0),
                        (Some(Err(error)), _) => return Err(sqlstate::of_datafusion(error).into()),
                        (None, None) => return Ok(Sent::All(sent)),
                        (None, Some(copy)) => {
                            copy.end(&mut self.wire)?;
                            return Ok(Sent::All(sent));
                        }
                    }
                }
            };
            let prepared = rows.layout.rows(&batch)?;
            while next < prepared.count() {
                if max_rows > 0 && sent == max_rows {
                    drop(prepared);
                    rows.batch = Some((batch, next));
                    return Ok(Sent::Limit);
                }
                self.wire.write(|out| match &rows.copy {
                    None => prepared.write(next, out),
                    Some(copy) => copy.row(&prepared, next, out),
                })?;
                next += 1;
                sent += 1;
                if self.wire.is_full() {
                    self.flush_rows(watch).await?;
                }
            }
        }
    }

    /// Sends what has gathered. While a slow client keeps us waiting, a cancel still ends the statement; what is
    /// left of its rows is sent before the error.
    async fn flush_rows(&mut self, watch: &Watch) -> Result<(), Fault> {
        let stop = tokio::select! {
            biased;
            stop = stopped(watch, &self.server.shutdown, self.slot.end()) => stop,
            flushed = self.wire.flush() => return Ok(flushed?),
        };
        match stop {
            Stop::TimedOut => Err(timed_out().into()),
            Stop::Ended => Err(Fault::End(End::Fatal(Self::shutting_down()))),
            _ => {
                self.session.cancel();
                Err(cancelled().into())
            }
        }
    }
}

async fn stopped(watch: &Watch, shutdown: &CancellationToken, end: &CancellationToken) -> Stop {
    let deadline = async {
        match watch.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = watch.cancel.cancelled() => Stop::Cancelled,
        () = shutdown.cancelled() => Stop::Ended,
        () = end.cancelled() => Stop::Ended,
        () = deadline => Stop::TimedOut,
    }
}

fn cancelled() -> Error {
    Error::new(Kind::Cancelled, "canceling statement due to user request")
}

fn timed_out() -> Error {
    Error::new(Kind::Cancelled, "canceling statement due to statement timeout")
}

/// A channel for the notices of one statement.
pub(super) fn notices() -> (NoticeSender, mpsc::UnboundedReceiver<Notice>) {
    mpsc::unbounded_channel()
}

/// The error for a statement that a failed transaction does not accept.
pub(super) fn in_failed_transaction() -> Error {
    let what = "current transaction is aborted, commands ignored until end of transaction block";
    Error::new(Kind::Conflict, what).with_sqlstate("25P02")
}

/// The columns of a result without their rows.
pub(super) fn layout(schema: &SchemaRef, codes: &[i16], connection: &Connection) -> Result<Layout> {
    Layout::new(schema, codes, connection.session.style())
}
