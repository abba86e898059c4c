//! Carrying out one batch: syncs, barrier, release, statements.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result};
use crate::model::{
    Batch, BatchStep, Connection, Fault, Object, Release, ReleaseObject, Run, Statement, now_micros,
};
use crate::service::App;
use crate::service::statement::{Computation, clock, wait_for};
use crate::service::turn::Turn;
use crate::source::Capabilities;
use crate::sync::{Mode, Request};

/// Connections that are read at the same time. Each keeps to the limits of its source.
const AT_ONCE: usize = 4;
/// How long to wait for another sync of the same object, between looks, and before a try after one that came first.
const PATIENCE: Duration = Duration::from_secs(1_800);
const LOOK: Duration = Duration::from_millis(500);
const AGAIN: Duration = Duration::from_secs(2);

/// Whether changes do not tell all of an object: which of its records are gone, or what its volatile fields hold now.
fn needs_sweep(object: &Object, can: Capabilities) -> bool {
    let has_volatile = object.selected().any(|field| field.volatile);
    object.import.sweep && (has_volatile || can.keys && !can.deleted)
}

/// A batch on its way.
pub(super) struct Carried<'a> {
    app: &'a Arc<App>,
    batch: Batch,
    turn: &'a Turn,
    /// Set when it is to end early, or to be let go.
    cancel: CancellationToken,
}

impl<'a> Carried<'a> {
    pub(super) fn new(app: &'a Arc<App>, batch: Batch, turn: &'a Turn, cancel: CancellationToken) -> Self {
        Carried { app, batch, turn, cancel }
    }

    /// Whether another process, or this one after a start, is to go on.
    fn lets_go(&self) -> bool {
        self.app.nights.stop.is_cancelled() || self.turn.lost.is_cancelled()
    }

    /// Carries the batch to its end.
    pub(super) async fn finish(mut self) -> Result<()> {
        if self.batch.started_at.is_none() {
            self.batch.started_at = Some(now_micros());
        }
        self.batch.status = "running".into();
        self.app.state.update_batch(&self.batch).await?;
        if self.batch.cancelled_by.is_some() {
            self.cancel.cancel();
        }
        let mut steps = self.app.state.batch_steps(self.batch.id).await?;
        if steps.is_empty() {
            steps = self.plan().await?;
        }
        for step in steps.iter_mut().filter(|step| step.status == "running") {
            step.status = "waiting".into();
        }
        if self.batch.release.is_none() {
            self.sync_all(&mut steps).await?;
            if self.lets_go() {
                return Ok(());
            }
            if !self.cancel.is_cancelled() {
                let release = self.release(&steps).await?;
                self.batch.release = Some(release);
                self.app.state.update_batch(&self.batch).await?;
            }
        }
        if let Some(release) = self.batch.release {
            self.app.tell_released(&self.batch, &steps, release).await?;
            self.compute(&mut steps, release).await?;
            if self.lets_go() {
                return Ok(());
            }
        }
        self.end(&mut steps).await
    }

    /// What there is to do, in the order in which it is done.
    async fn plan(&self) -> Result<Vec<BatchStep>> {
        let step = |kind: &str, id: &str, name: String, required: bool| BatchStep {
            batch: self.batch.id,
            position: 0,
            kind: kind.into(),
            subject_id: id.into(),
            name,
            required,
            status: "waiting".into(),
            started_at: None,
            ended_at: None,
            run: None,
            cause: None,
        };
        let mut objects = self.app.state.objects().await?;
        objects.retain(|object| object.import.frequency == "daily");
        let mut steps: Vec<_> =
            objects.iter().map(|o| step("sync", &o.id, o.full_name(), o.import.required)).collect();
        let statements = self.app.state.statements().await?;
        let newest = self.app.engine()?.newest();
        let order = self.app.in_order(&Computation::new(newest, None, "", statements)).await?;
        steps.extend(order.iter().map(|s| step("statement", &s.id, s.full_name(), s.required)));
        for (position, step) in (0..).zip(&mut steps) {
            step.position = position;
        }
        self.app.state.put_batch_steps(&steps).await?;
        Ok(steps)
    }

    /// Brings all connections up to date, side by side.
    async fn sync_all(&self, steps: &mut [BatchStep]) -> Result<()> {
        let objects = self.app.state.objects().await?;
        let mut by_connection: HashMap<i64, Vec<(Object, BatchStep)>> = HashMap::new();
        for step in steps.iter_mut().filter(|step| step.kind == "sync" && step.is_open()) {
            match objects.iter().find(|object| object.id == step.subject_id) {
                Some(object) => {
                    by_connection
                        .entry(object.connection_id)
                        .or_default()
                        .push((object.clone(), step.clone()));
                }
                None => {
                    step.status = "cancelled".into();
                    step.cause = Some("dropped before its turn".into());
                    self.app.state.put_batch_steps(std::slice::from_ref(step)).await?;
                }
            }
        }
        let connections = self.app.state.connections().await?;
        let work = by_connection.into_iter().map(|(id, wanted)| {
            let connection = connections.iter().find(|connection| connection.id == id).cloned();
            self.sync_connection(connection, wanted)
        });
        let done: Vec<_> = futures::stream::iter(work).buffer_unordered(AT_ONCE).collect().await;
        for changed in done {
            for new in changed? {
                if let Some(step) = steps.iter_mut().find(|step| step.position == new.position) {
                    *step = new;
                }
            }
        }
        Ok(())
    }

    /// Reads the objects of one connection. An object that another sync is writing is waited for.
    async fn sync_connection(
        &self,
        connection: Option<Connection>,
        wanted: Vec<(Object, BatchStep)>,
    ) -> Result<Vec<BatchStep>> {
        let (mut objects, mut steps): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
        let now = now_micros();
        for step in &mut steps {
            step.status = "running".into();
            step.started_at = step.started_at.or(Some(now));
        }
        self.app.state.put_batch_steps(&steps).await?;
        let give_up = Instant::now() + PATIENCE;
        loop {
            self.wait_for_writers(&objects, give_up).await?;
            let (runs, failed) = self.read(connection.as_ref(), &objects).await;
            if let Some(error) = failed {
                let is_without = |step: &&mut BatchStep| {
                    objects.iter().any(|object| object.id == step.subject_id)
                        && runs.iter().all(|run| run.object_id != step.subject_id)
                };
                for step in steps.iter_mut().filter(is_without) {
                    step.status = "failed".into();
                    step.cause = Some(error.to_string());
                    step.ended_at = Some(now_micros());
                }
            }
            for run in &runs {
                if let Some(step) = steps.iter_mut().find(|step| step.subject_id == run.object_id) {
                    step.run = Some(run.id);
                    step.status = run.status.clone();
                    step.cause = run.cause.clone();
                    step.ended_at = run.ended_at;
                }
            }
            let is_busy = |object: &Object| {
                runs.iter().any(|run| run.object_id == object.id && run.fault == Some(Fault::Busy))
            };
            objects.retain(is_busy);
            if objects.is_empty() || Instant::now() > give_up || self.cancel.is_cancelled() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = self.cancel.cancelled() => {}
            }
        }
        if self.lets_go() {
            // Not its fault: it is done again.
            for step in steps.iter_mut().filter(|step| step.status == "cancelled" || step.is_open()) {
                step.status = "waiting".into();
                step.cause = None;
                step.ended_at = None;
            }
        }
        self.app.state.put_batch_steps(&steps).await?;
        Ok(steps)
    }

    /// Waits until nobody writes the objects, as long as that makes sense.
    async fn wait_for_writers(&self, objects: &[Object], give_up: Instant) -> Result<()> {
        while Instant::now() < give_up && !self.cancel.is_cancelled() {
            let leased = self.app.state.leased_objects().await?;
            if objects.iter().all(|object| !leased.contains(&object.id)) {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.cancel.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Reads objects, some by a diff and some by a sweep: the runs, and what kept the others from having one.
    async fn read(&self, connection: Option<&Connection>, objects: &[Object]) -> (Vec<Run>, Option<Error>) {
        let mut runs = Vec::new();
        let failed = self.read_into(connection, objects, &mut runs).await.err();
        (runs, failed)
    }

    async fn read_into(
        &self,
        connection: Option<&Connection>,
        objects: &[Object],
        runs: &mut Vec<Run>,
    ) -> Result<()> {
        let connection =
            connection.ok_or_else(|| Error::new(Kind::NotFound, "its connection was dropped"))?;
        if self.cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, "the batch was cancelled"));
        }
        let source = self.app.open(connection).await?;
        let keeps_rows = self.app.keeps_rows(connection).await?;
        let (mut swept, mut told) = (Vec::new(), Vec::new());
        for object in objects.iter().cloned() {
            // What cannot be asked fails in its run, with its cause.
            let can = source.can(&object.api).await.unwrap_or_default();
            if needs_sweep(&object, can) { swept.push(object) } else { told.push(object) }
        }
        for (mode, objects) in [(Mode::Diff, told), (Mode::Sweep, swept)] {
            if objects.is_empty() || self.cancel.is_cancelled() {
                continue;
            }
            let request = Request {
                source: source.clone(),
                objects,
                mode,
                actor: format!("batch {}", self.batch.name),
                force: None,
                keeps_rows: keeps_rows.clone(),
            };
            let (progress, _) = mpsc::unbounded_channel();
            runs.extend(self.app.gather(request, progress, self.cancel.child_token()).await?.runs);
        }
        Ok(())
    }

    /// Publishes what was read, once.
    async fn release(&self, steps: &[BatchStep]) -> Result<i64> {
        let state = &self.app.state;
        let cause = self.batch.release_cause();
        if let Some(done) = state.release_id_of(&cause, self.batch.queued_at).await? {
            return Ok(done);
        }
        let objects = state.objects().await?;
        let (mut changes, mut runs) = (Vec::new(), Vec::new());
        for step in steps.iter().filter(|step| step.kind == "sync" && step.is_good()) {
            let run = match step.run {
                Some(id) => state.run(id).await?,
                None => None,
            };
            let object = objects.iter().find(|object| object.id == step.subject_id);
            let (Some(object), Some(run)) = (object, run) else { continue };
            if let Some(version) = run.version {
                changes.push(self.committed(object, version).await?);
                runs.push(run.id);
            }
        }
        let release = state.publish(&cause, &changes, &[], &runs).await?;
        // As with every release: state decides.
        if let Err(error) = self.app.warehouse.put_release(&release).await {
            tracing::error!(release.id = release.id, error = ?error, "the release is published but not mirrored");
        }
        let id = release.id;
        self.app.announce(release);
        Ok(id)
    }

    async fn committed(&self, object: &Object, version: i64) -> Result<ReleaseObject> {
        let snapshot = self.app.warehouse.table(&object.connection, &object.id).at(version).await?;
        Ok(ReleaseObject {
            object_id: object.id.clone(),
            connection: object.connection.clone(),
            name: object.name.clone(),
            version,
            rows: i64::try_from(snapshot.rows()).unwrap_or(i64::MAX),
            fields: object.selected().cloned().collect(),
            // State knows whether there are any.
            overrides: None,
        })
    }

    /// Computes the statements on the release of the batch, and publishes the results.
    async fn compute(&mut self, steps: &mut [BatchStep], release: i64) -> Result<()> {
        let app = self.app;
        if self.batch.result_release.is_some() {
            return Ok(());
        }
        let cause = self.batch.result_cause();
        if let Some(done) = app.state.release_id_of(&cause, self.batch.queued_at).await? {
            self.batch.result_release = Some(done);
            return app.state.update_batch(&self.batch).await;
        }
        let base = app.state.release(release).await?;
        let base: Arc<Release> =
            Arc::new(base.ok_or_else(|| Error::internal("the release of a batch is missing"))?);
        let turn = match wait_for(app, &self.cancel).await {
            Ok(turn) => turn,
            Err(error) if error.kind() == Kind::Cancelled => return Ok(()),
            Err(error) => return Err(error),
        };
        let done = self.compute_on(steps, base, &cause).await;
        turn.give_back().await;
        self.batch.result_release = done?;
        app.state.update_batch(&self.batch).await
    }

    async fn compute_on(
        &self,
        steps: &mut [BatchStep],
        base: Arc<Release>,
        cause: &str,
    ) -> Result<Option<i64>> {
        let app = self.app;
        let _kept = app.engine()?.keep(&base).await?;
        let statements = app.state.statements().await?;
        let actor = format!("batch {}", self.batch.name);
        let mut computation = Computation::new(base, Some(self.batch.id), &actor, statements.clone());
        for step in steps.iter().filter(|step| step.kind == "sync" && step.required && !step.is_good()) {
            let cause = step.cause.as_deref().unwrap_or("no cause is known");
            let why = format!("{} ({} {}: {cause})", step.name, step.status, clock(step.ended_at));
            computation.bad.insert(step.subject_id.clone(), why);
        }
        let mut runs = Vec::new();
        for step in steps.iter_mut().filter(|step| step.kind == "statement") {
            let Some(statement) = statements.iter().find(|statement| statement.id == step.subject_id) else {
                step.status = "cancelled".into();
                step.cause = Some("dropped before its turn".into());
                app.state.put_batch_steps(std::slice::from_ref(step)).await?;
                continue;
            };
            let done = match step.run {
                // Computed before this batch was interrupted.
                Some(run) if !step.is_open() => app.state.statement_run(run).await?,
                _ if self.cancel.is_cancelled() => continue,
                _ => None,
            };
            let run = match done {
                Some(run) => run,
                None => self.compute_step(&computation, statement, step).await?,
            };
            computation.note(statement, &run);
            runs.push(run);
        }
        if self.lets_go() {
            return Ok(None);
        }
        let published = app.publish_computed(cause, &computation, &mut runs).await?;
        app.compact_later(
            statements.iter().filter(|s| computation.results.contains_key(&s.id)).map(Into::into).collect(),
        );
        Ok(published)
    }

    async fn compute_step(
        &self,
        computation: &Computation,
        statement: &Statement,
        step: &mut BatchStep,
    ) -> Result<crate::model::StatementRun> {
        step.status = "running".into();
        step.started_at = Some(now_micros());
        self.app.state.put_batch_steps(std::slice::from_ref(step)).await?;
        let run = self.app.compute_statement(computation, statement, &self.cancel).await?;
        step.run = Some(run.id);
        step.status = run.status.clone();
        step.cause = run.cause.clone();
        step.ended_at = run.ended_at;
        if self.lets_go() && run.result.is_none() {
            step.status = "waiting".into();
            step.run = None;
        }
        self.app.state.put_batch_steps(std::slice::from_ref(step)).await?;
        Ok(run)
    }

    async fn end(&mut self, steps: &mut [BatchStep]) -> Result<()> {
        for step in steps.iter_mut().filter(|step| step.is_open()) {
            step.status = "cancelled".into();
        }
        self.app.state.put_batch_steps(steps).await?;
        let bad: Vec<_> = steps.iter().filter(|step| !step.is_good()).collect();
        let has_read = steps.iter().any(|step| step.kind == "sync" && step.is_good());
        let is_cancelled = self.cancel.is_cancelled();
        self.batch.status = match (is_cancelled, bad.is_empty(), has_read) {
            (true, ..) => "cancelled",
            (_, true, _) => "succeeded",
            (_, false, true) => "partial",
            (_, false, false) => "failed",
        }
        .into();
        let told = |step: &&BatchStep| format!("{} {}", step.name, step.status);
        self.batch.cause = match is_cancelled {
            true => self.app.state.batch(self.batch.id).await?.and_then(|batch| batch.cancelled_by),
            false => {
                Some(bad.iter().map(told).collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
            }
        };
        if let (true, Some(who)) = (is_cancelled, &self.batch.cause) {
            self.batch.cause = Some(format!("cancelled by {who}"));
        }
        self.batch.ended_at = Some(now_micros());
        // Told first: a process that ends between the two tells it again, with the same number.
        self.app.tell_finished(&self.batch, steps).await?;
        self.app.state.update_batch(&self.batch).await?;
        self.app.mirror_batch(&self.batch).await;
        self.app.metrics.batch_ended(&self.batch.status);
        tracing::info!(batch = %self.batch.name, batch.status = %self.batch.status, "batch ended");
        Ok(())
    }
}
