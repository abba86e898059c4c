//! Starting, watching and cancelling syncs.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::optimize::Stored;
use super::{Actor, App};
use crate::error::{Error, Kind, Result};
use crate::model::{Connection, Object, Run};
use crate::sync::{Foreseen, Mode, Outcome, Progress, Request, Started};

/// What to sync.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Name of the connection.
    pub connection: &'a str,
    /// `diff` or `full`.
    pub mode: &'a str,
    /// One object of it, or several with commas between them; `None` means all.
    pub object: Option<&'a str>,
    /// Publish although the gate would hold it, and why.
    pub force: Option<&'a str>,
}

impl App {
    /// Syncs one object of a connection, or all of them, and publishes what succeeded. The work outlives a caller
    /// that goes away; only `cancel` (or `CALL cancel`) ends it early.
    pub async fn sync(
        self: &Arc<Self>,
        actor: &Actor,
        wanted: &Wanted<'_>,
        progress: mpsc::UnboundedSender<Progress>,
        cancel: CancellationToken,
    ) -> Result<Outcome> {
        let Wanted { connection, mode, object, force } = *wanted;
        let arguments =
            serde_json::json!({ "connection": connection, "mode": mode, "object": object, "force": force })
                .to_string();
        self.audited(actor, "sync", &arguments, async {
            let request = self.request(actor, wanted).await?;
            let (app, connection) = (self.clone(), connection.to_string());
            let work = self.runtime.spawn(async move {
                let objects: Vec<_> = request.objects.iter().map(|object| object.name.clone()).collect();
                let (sync, outcome) = app.run_sync(request, progress, cancel).await?;
                app.tell_of_sync(&connection, &objects, sync, &outcome).await;
                outcome
            });
            work.await.map_err(|error| Error::internal("a sync ended unexpectedly").with_source(error))?
        })
        .await
    }

    /// What a sync would read and what that would take. Asking the source for it may cost calls.
    pub(super) async fn plan_sync(&self, actor: &Actor, wanted: &Wanted<'_>) -> Result<Vec<Foreseen>> {
        let arguments = serde_json::json!({
            "connection": wanted.connection, "mode": wanted.mode, "object": wanted.object
        });
        self.audited(actor, "plan_sync", &arguments.to_string(), async {
            let request = self.request(actor, wanted).await?;
            self.syncer.foresee(&request).await
        })
        .await
    }

    pub(super) async fn request(&self, actor: &Actor, wanted: &Wanted<'_>) -> Result<Request> {
        let mode: Mode = wanted.mode.parse()?;
        if wanted.force.is_some_and(|reason| reason.trim().is_empty()) {
            return Err(Error::new(Kind::Invalid, "`force` needs a reason").with_hint(
                "CALL sync(..., force => true, reason => '...'); what is forced is in the audit with its reason",
            ));
        }
        let connection = self.connection(wanted.connection).await?;
        let objects = match wanted.object {
            Some(names) => self.objects_named(&connection, names).await?,
            None => self.state.objects_of(connection.id).await?,
        };
        if objects.is_empty() {
            let what = format!("`{}` has no objects to sync", connection.name);
            return Err(Error::new(Kind::Invalid, what).with_hint(format!(
                "adopt one first: CALL discover('{0}'); CALL add_object('{0}', ...)",
                connection.name
            )));
        }
        let source = self.open(&connection).await?;
        let keeps_rows = self.keeps_rows(&connection).await?;
        let force = wanted.force.map(str::to_string);
        Ok(Request { source, objects, mode, actor: actor.name.clone(), force, keeps_rows })
    }

    /// Starts a sync and returns its runs as they begin. It goes on by itself; with `compute`, all statements are
    /// computed on what it publishes.
    pub(super) async fn begin_sync(
        self: &Arc<Self>,
        actor: &Actor,
        wanted: &Wanted<'_>,
        compute: bool,
    ) -> Result<Vec<Run>> {
        let Wanted { connection, mode, object, force } = *wanted;
        let arguments = serde_json::json!({
            "connection": connection, "mode": mode, "object": object, "force": force, "wait": false,
            "compute": compute,
        });
        self.audited(actor, "sync", &arguments.to_string(), async {
            let request = self.request(actor, wanted).await?;
            let started = self.syncer.start(&request).await?;
            let runs = started.runs.clone();
            let cancel = CancellationToken::new();
            self.running.lock().insert(started.sync_id, cancel.clone());
            let (app, actor, connection) = (self.clone(), actor.clone(), connection.to_string());
            self.runtime.spawn(async move {
                let objects: Vec<_> = request.objects.iter().map(|object| object.name.clone()).collect();
                // Nobody listens: the runs tell.
                let (progress, _) = mpsc::unbounded_channel();
                let (sync, outcome) = app.finish_started(request, started, progress, cancel).await;
                app.tell_of_sync(&connection, &objects, sync, &outcome).await;
                let has_published = outcome.as_ref().is_ok_and(|outcome| outcome.release.is_some());
                if let Err(error) = outcome {
                    tracing::error!(sync.id = sync, error = ?error, "a sync could not be ended");
                }
                if compute && has_published {
                    let (progress, _) = mpsc::unbounded_channel();
                    if let Err(error) = app.compute(&actor, None, progress, CancellationToken::new()).await {
                        tracing::error!(error = ?error, "statements could not be computed after a sync");
                    }
                }
            });
            Ok(runs)
        })
        .await
    }

    /// Several objects by their names, or one whose name has a comma.
    async fn objects_named(&self, connection: &Connection, names: &str) -> Result<Vec<Object>> {
        let one = self.object(connection, names).await;
        if one.is_ok() || !names.contains(',') {
            return one.map(|object| vec![object]);
        }
        let mut objects: Vec<Object> = Vec::new();
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let object = self.object(connection, name).await?;
            if !objects.iter().any(|known| known.id == object.id) {
                objects.push(object);
            }
        }
        Ok(objects)
    }

    async fn run_sync(
        self: &Arc<Self>,
        request: Request,
        progress: mpsc::UnboundedSender<Progress>,
        cancel: CancellationToken,
    ) -> Result<(i64, Result<Outcome>)> {
        let started = self.syncer.start(&request).await?;
        self.running.lock().insert(started.sync_id, cancel.clone());
        Ok(self.finish_started(request, started, progress, cancel).await)
    }

    async fn finish_started(
        self: &Arc<Self>,
        request: Request,
        started: Started,
        progress: mpsc::UnboundedSender<Progress>,
        cancel: CancellationToken,
    ) -> (i64, Result<Outcome>) {
        let sync_id = started.sync_id;
        let outcome = self.syncer.run(&request, started, &progress, &cancel).await;
        self.running.lock().remove(&sync_id);
        // Also what could not be recorded may be something to hear of.
        self.watch.alerts.notify_one();
        let finished = match outcome {
            Ok(outcome) => self.finish_sync(request, outcome).await,
            Err(error) => Err(error),
        };
        (sync_id, finished)
    }

    /// Runs a sync to its end and publishes nothing of it: that is the caller's.
    pub(super) async fn gather(
        self: &Arc<Self>,
        request: Request,
        progress: mpsc::UnboundedSender<Progress>,
        cancel: CancellationToken,
    ) -> Result<Outcome> {
        let started = self.syncer.start(&request).await?;
        let sync_id = started.sync_id;
        self.running.lock().insert(sync_id, cancel.clone());
        let outcome = self.syncer.gather(&request, started, &progress, &cancel).await;
        self.running.lock().remove(&sync_id);
        self.finish_sync(request, outcome?).await
    }

    /// What follows from what a sync did.
    async fn finish_sync(self: &Arc<Self>, request: Request, outcome: Outcome) -> Result<Outcome> {
        outcome.runs.iter().for_each(|run| self.metrics.ran(run));
        self.note_source_login(&request, &outcome).await?;
        self.mirror_widened(&request.objects).await?;
        if let Some(release) = &outcome.release {
            self.announce(release.clone());
        }
        self.watch.alerts.notify_one();
        let committed =
            request.objects.into_iter().zip(&outcome.runs).filter(|(_, run)| run.version.is_some());
        self.compact_later(committed.map(|(object, _)| Stored::from(&object)).collect());
        Ok(outcome)
    }

    /// Tells who listens on the channel `tributary_sync`, and may read of the connection, that a sync has ended. Its
    /// outcome is the status of its runs, or `partial` where they ended differently.
    async fn tell_of_sync(&self, connection: &str, objects: &[String], sync: i64, outcome: &Result<Outcome>) {
        let runs = outcome.as_ref().map_or(&[][..], |outcome| &outcome.runs);
        let word = match runs {
            [] => "failed",
            [first, rest @ ..] if rest.iter().all(|run| run.status == first.status) => &first.status,
            _ => "partial",
        };
        let release =
            outcome.as_ref().ok().and_then(|outcome| outcome.release.as_ref()).map(|release| release.id);
        let payload = serde_json::json!({
            "connection": connection, "sync": sync, "release": release, "outcome": word,
        });
        let readers = Some((connection, objects));
        if let Err(error) = self.notify_listeners("tributary_sync", &payload.to_string(), readers).await {
            tracing::warn!(error = ?error, "the sessions of other nodes are not told of a sync");
        }
    }

    /// Notes what a sync says about the login of its connection.
    async fn note_source_login(&self, request: &Request, outcome: &Outcome) -> Result<()> {
        let Some(connection) = request.objects.first().map(|object| object.connection_id) else {
            return Ok(());
        };
        let has_read = outcome.runs.iter().any(|run| run.version.is_some());
        match (outcome.is_refused, has_read) {
            (true, _) => self.state.mark_connection(connection, "needs you").await,
            (false, true) => self.state.mark_connection(connection, "connected").await,
            (false, false) => Ok(()),
        }
    }

    /// Cancels the sync that a run belongs to. What is published stays.
    pub(super) async fn cancel(&self, actor: &Actor, run: i64) -> Result<i64> {
        self.audited(actor, "cancel", &run.to_string(), async {
            let unknown = || {
                Error::new(Kind::NotFound, format!("run {run} is not running"))
                    .with_hint("SELECT id, object FROM tributary.run WHERE status = 'running'")
            };
            let found =
                self.state.run(run).await?.filter(|found| found.status == "running").ok_or_else(unknown)?;
            let here = self.running.lock().get(&found.sync_id).cloned();
            let token = here.ok_or_else(|| {
                Error::new(Kind::Conflict, format!("run {run} is run by another node"))
                    .with_hint("cancel it at the node where it was started")
            })?;
            token.cancel();
            Ok(found.sync_id)
        })
        .await
    }
}
