//! From a source to a published release: plan, read, write, check, commit, publish.
//!
//! Nothing that fails on the way is visible to a reader. The order of durable steps is: data files, one table
//! commit (with the watermark in it), then the release. A crash between the last two costs nothing but the
//! publication: the next sync starts from the watermark of the table itself.

mod ahead;
mod check;
mod decide;
mod drift;
mod erase;
mod erased;
mod gate;
mod kept;
mod lease;
mod live;
mod patch;
mod plan;
mod preview;
mod prune;
mod refilter;
mod resume;
mod run;
mod settle;
mod transfer;
mod visibility;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result};
use crate::model::{Object, Release, ReleaseObject, Run};
use crate::snapshot::Warehouse;
use crate::source::{Expected, Source};
use crate::state::State;
use ahead::Ahead;

pub use check::{Matching, Uniqueness};
pub use erased::{Digester, key_text};
pub use live::{Live, Ongoing};
pub use plan::Mode;
pub use preview::Preview;
pub use visibility::KeyDifference;

/// What the syncs of one server share.
#[derive(Clone)]
pub struct Syncer {
    state: Arc<State>,
    warehouse: Arc<Warehouse>,
    /// How long a lease lasts without being renewed. A paused process that wakes later has lost it.
    lease: Duration,
    /// Knows records that were erased.
    digester: Digester,
    /// How far its runs are.
    live: Live,
}

/// One sync: the objects of one connection, read through one login.
pub struct Request {
    /// Reads the objects.
    pub source: Arc<dyn Source>,
    /// At least one.
    pub objects: Vec<Object>,
    /// What was asked for.
    pub mode: Mode,
    /// Who asked.
    pub actor: String,
    /// Publish although the gate would hold it, for this reason.
    pub force: Option<String>,
    /// Why no row may be removed, where that is so.
    pub keeps_rows: Option<String>,
}

/// A sync that is recorded but has not read anything yet.
pub struct Started {
    /// Its number.
    pub sync_id: i64,
    /// One for each object, in the order of the request.
    pub runs: Vec<Run>,
}

/// How a sync ended.
pub struct Outcome {
    /// Its number.
    pub sync_id: i64,
    /// One per object, in the order of the request.
    pub runs: Vec<Run>,
    /// Kind and SQLSTATE of the first failure, when there was one.
    pub failed: Option<(Kind, &'static str)>,
    /// Whether the source refused the login.
    pub is_refused: bool,
    /// The release it published; `None` when nothing was committed.
    pub release: Option<Release>,
}

/// What a sync committed, and is not published yet.
struct Gathered {
    runs: Vec<Run>,
    changes: Vec<ReleaseObject>,
    /// The runs that committed them.
    committed: Vec<i64>,
    failed: Option<(Kind, &'static str)>,
    is_refused: bool,
    /// Ends that the state was away for.
    unrecorded: Vec<Run>,
}

/// What a sync of one object would do.
#[derive(Debug)]
pub struct Foreseen {
    /// The object.
    pub object: String,
    /// What it would be, whatever was asked for.
    pub mode: Mode,
    /// What it would take, where the source can tell.
    pub expected: Option<Expected>,
    /// Why it is not what was asked for.
    pub reasons: Vec<String>,
}

/// Told while a sync runs.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The object.
    pub object: String,
    /// One sentence for people.
    pub message: String,
}

/// Where progress goes. Nobody listening is no reason to stop.
pub type ProgressSender = tokio::sync::mpsc::UnboundedSender<Progress>;

impl Syncer {
    /// A syncer over the given state and tables, whose leases last for `lease` without being renewed, and which
    /// knows erased records by `digester`.
    pub fn new(state: Arc<State>, warehouse: Arc<Warehouse>, lease: Duration, digester: Digester) -> Self {
        Syncer { state, warehouse, lease, digester, live: Live::default() }
    }

    /// How far the runs of this process are.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Records a sync and its runs as begun.
    pub async fn start(&self, request: &Request) -> Result<Started> {
        let objects: Vec<_> = request.objects.iter().map(|o| (o.id.clone(), o.full_name())).collect();
        let (sync_id, runs) = self.state.start_sync(request.mode.as_str(), &request.actor, &objects).await?;
        Ok(Started { sync_id, runs })
    }

    /// What a sync would read and what that would take, one for each object. Nothing is read or recorded.
    pub async fn foresee(&self, request: &Request) -> Result<Vec<Foreseen>> {
        let mut foreseen = Vec::with_capacity(request.objects.len());
        for object in &request.objects {
            let ahead = Ahead::look(self, request, object).await?;
            let expected = ahead.expect(request).await?;
            let (object, mode) = (object.full_name(), ahead.plan.mode());
            foreseen.push(Foreseen { object, mode, expected, reasons: ahead.plan.reasons });
        }
        Ok(foreseen)
    }

    /// Runs a sync to its end and publishes what succeeded as one release. What failed is told by the runs.
    pub async fn run(
        &self,
        request: &Request,
        started: Started,
        progress: &ProgressSender,
        cancel: &CancellationToken,
    ) -> Result<Outcome> {
        let sync_id = started.sync_id;
        let mut gathered = self.read(request, started, progress, cancel).await;
        let Gathered { changes, committed, .. } = &gathered;
        let release = self.publish(&format!("sync {sync_id}"), changes, &[], committed).await?;
        for run in gathered.runs.iter_mut().filter(|run| gathered.committed.contains(&run.id)) {
            run.release = release.as_ref().map(|release| release.id);
        }
        self.end(sync_id, gathered, release).await
    }

    /// Runs a sync to its end and publishes nothing: what was committed is to be published by the caller.
    pub async fn gather(
        &self,
        request: &Request,
        started: Started,
        progress: &ProgressSender,
        cancel: &CancellationToken,
    ) -> Result<Outcome> {
        let sync_id = started.sync_id;
        let gathered = self.read(request, started, progress, cancel).await;
        self.end(sync_id, gathered, None).await
    }

    /// Records the ends that the state was away for, and tells how the sync ended.
    async fn end(&self, sync_id: i64, gathered: Gathered, release: Option<Release>) -> Result<Outcome> {
        let Gathered { runs, failed, is_refused, unrecorded, .. } = gathered;
        for run in unrecorded {
            self.state.finish_run(&run).await?;
        }
        Ok(Outcome { sync_id, runs, failed, is_refused, release })
    }

    async fn read(
        &self,
        request: &Request,
        started: Started,
        progress: &ProgressSender,
        cancel: &CancellationToken,
    ) -> Gathered {
        let started = started.runs;
        let mut runs = Vec::with_capacity(started.len());
        let (mut published, mut committed) = (Vec::new(), Vec::new());
        let (mut failed, mut refused, mut unrecorded) = (None, None, Vec::new());
        for (object, run) in request.objects.iter().zip(started) {
            let ended = match refused {
                // Every further call would be refused like the last one.
                Some(sqlstate) => run::without_login(object, run, sqlstate),
                None => run::run(self, request, object, run, progress, cancel).await,
            };
            if let Some((Kind::Unauthenticated, sqlstate)) = ended.failed {
                refused = Some(sqlstate);
            }
            // What is held stays committed and unpublished.
            if let Some(snapshot) = ended.snapshot.filter(|_| ended.run.status != "held") {
                committed.push(ended.run.id);
                published.push(ReleaseObject {
                    object_id: object.id.clone(),
                    connection: object.connection.clone(),
                    name: object.name.clone(),
                    version: snapshot.content(),
                    rows: snapshot.rows() as i64,
                    fields: ended.object.selected().cloned().collect(),
                    // State knows whether there are any.
                    overrides: None,
                });
            }
            failed = failed.or(ended.failed);
            // What is committed must be published and the other objects must have their turn, so a state that is
            // away for a moment is asked again at the end.
            if let Err(error) = self.state.finish_run(&ended.run).await {
                tracing::warn!(run.id = ended.run.id, error = ?error, "could not record the end of a run");
                unrecorded.push(ended.run.clone());
            }
            runs.push(ended.run);
        }
        Gathered { runs, changes: published, committed, failed, is_refused: refused.is_some(), unrecorded }
    }

    /// Publishes a release in which `changes` replace what the newest one says of those objects and `removed`
    /// are gone, and notes it in the runs of these numbers. Nothing to change publishes nothing.
    pub async fn publish(
        &self,
        cause: &str,
        changes: &[ReleaseObject],
        removed: &[String],
        runs: &[i64],
    ) -> Result<Option<Release>> {
        if changes.is_empty() && removed.is_empty() {
            return Ok(None);
        }
        let release = self.state.publish(cause, changes, removed, runs).await?;
        // State decides; the mirror lets a lost state be rebuilt, so failing to write it must not undo a release.
        if let Err(error) = self.warehouse.put_release(&release).await {
            tracing::error!(release.id = release.id, error = ?error, "the release is published but not mirrored");
        }
        Ok(Some(release))
    }
}

/// The error of a sync that was cancelled.
fn cancelled(object: &Object) -> Error {
    Error::new(Kind::Cancelled, format!("the sync of `{}` was cancelled", object.full_name()))
        .with_hint("nothing of it is visible; the last release stays")
}
