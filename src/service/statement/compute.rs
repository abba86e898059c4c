//! Computing statements: each reads one release, exactly, and writes one snapshot; then all are published at once.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::graph::Node;
use super::{NOT_YET, fields, full_name, order, placeholder};
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, ObjectField, Release, ReleaseObject, Statement, StatementRun, now_micros};
use crate::query::{Kept, KeptQuery};
use crate::service::turn::Turn;
use crate::service::{Actor, App};
use crate::snapshot::{Commit, Prepared, WriteSpec};
use crate::sync::{Progress, ProgressSender};

/// The lease of whoever computes: results that read each other must come from one computation.
pub(super) const LEASE: &str = "statements";
/// Keys that are quoted where they are not complete.
const SAMPLE: usize = 3;

/// Statements computed together, on one release.
pub(crate) struct Computation {
    pub(crate) base: Arc<Release>,
    pub(crate) batch: Option<i64>,
    pub(crate) actor: String,
    /// Results so far, by statement id.
    pub(crate) results: HashMap<String, ReleaseObject>,
    /// What must not be read, by object id, and why.
    pub(crate) bad: HashMap<String, String>,
    /// All statements, for the names of those without a result.
    pub(crate) statements: Vec<Statement>,
}

impl Computation {
    pub(crate) fn new(
        base: Arc<Release>,
        batch: Option<i64>,
        actor: &str,
        statements: Vec<Statement>,
    ) -> Self {
        let (results, bad) = (HashMap::new(), HashMap::new());
        Computation { base, batch, actor: actor.into(), results, bad, statements }
    }

    /// The release with the results so far, under its number.
    fn release(&self) -> Arc<Release> {
        let mut release = Release::clone(&self.base);
        release.objects.retain(|object| !self.results.contains_key(&object.object_id));
        release.objects.extend(self.results.values().cloned());
        for statement in &self.statements {
            if release.objects.iter().all(|object| object.object_id != statement.id) {
                release.objects.push(placeholder(statement));
            }
        }
        release.objects.sort_by(|a, b| (&a.connection, &a.name).cmp(&(&b.connection, &b.name)));
        Arc::new(release)
    }

    /// Takes over how a statement ended.
    pub(crate) fn note(&mut self, statement: &Statement, run: &StatementRun) {
        if let Some(result) = &run.result {
            self.results.insert(statement.id.clone(), result.clone());
        } else if statement.required {
            let cause = run.cause.as_deref().unwrap_or("no cause is known");
            let why = format!("{} ({} {}: {cause})", statement.full_name(), run.status, clock(run.ended_at));
            self.bad.insert(statement.id.clone(), why);
        }
    }
}

/// The time of day for people, in UTC.
pub(crate) fn clock(at: Option<Micros>) -> String {
    let at = at.and_then(chrono::DateTime::from_timestamp_micros).unwrap_or_default();
    at.format("%H:%M UTC").to_string()
}

/// Waits for the turn to compute.
pub(crate) async fn wait_for(app: &App, cancel: &CancellationToken) -> Result<Turn> {
    Turn::take(&app.state, LEASE, app.lease, cancel).await
}

impl App {
    /// Computes one statement, or all, on the newest release, and publishes the results together.
    pub(in crate::service) async fn compute(
        self: &Arc<Self>,
        actor: &Actor,
        name: Option<&str>,
        progress: ProgressSender,
        cancel: CancellationToken,
    ) -> Result<Vec<StatementRun>> {
        let arguments = serde_json::json!({ "name": name }).to_string();
        self.audited(actor, "compute", &arguments, async {
            let only = match name {
                Some(name) => Some(self.statement(name).await?.id),
                None => None,
            };
            let (app, actor) = (self.clone(), actor.name.clone());
            let work =
                self.runtime.spawn(async move { app.compute_now(&actor, only, &progress, &cancel).await });
            work.await
                .map_err(|error| Error::internal("a computation ended unexpectedly").with_source(error))?
        })
        .await
    }

    async fn compute_now(
        &self,
        actor: &str,
        only: Option<String>,
        progress: &ProgressSender,
        cancel: &CancellationToken,
    ) -> Result<Vec<StatementRun>> {
        let turn = wait_for(self, cancel).await?;
        let done = async {
            let base = self.engine()?.newest();
            let held = self.engine()?.keep(&base).await?;
            let statements = self.state.statements().await?;
            let mut computation = Computation::new(base, None, actor, statements);
            let mut runs = Vec::new();
            for statement in self.in_order(&computation).await? {
                if cancel.is_cancelled() || only.as_ref().is_some_and(|only| *only != statement.id) {
                    continue;
                }
                let run = self.compute_statement(&computation, &statement, cancel).await?;
                tell(progress, &run);
                computation.note(&statement, &run);
                runs.push(run);
            }
            let cause = format!("compute {}", runs.first().map_or(0, |run| run.id));
            self.publish_computed(&cause, &computation, &mut runs).await?;
            drop(held);
            Ok(runs)
        };
        let done = done.await;
        turn.give_back().await;
        self.watch.alerts.notify_one();
        done
    }

    /// The statements, each after those it reads. One that cannot be read as a query is among them, to tell why.
    pub(in crate::service) async fn in_order(&self, computation: &Computation) -> Result<Vec<Statement>> {
        let release = computation.release();
        let mut nodes = Vec::with_capacity(computation.statements.len());
        for statement in &computation.statements {
            let reads = self.reads_of(statement, &release).await.unwrap_or_default();
            nodes.push(Node::new(statement, &reads));
        }
        let find = |id: String| computation.statements.iter().find(|statement| statement.id == id).cloned();
        Ok(order(nodes)?.into_iter().filter_map(find).collect())
    }

    /// Publishes what was computed, with the release it read.
    pub(in crate::service) async fn publish_computed(
        &self,
        cause: &str,
        computation: &Computation,
        runs: &mut [StatementRun],
    ) -> Result<Option<i64>> {
        let results: Vec<_> = computation.results.values().cloned().collect();
        let made: Vec<_> = runs.iter().filter(|run| run.result.is_some()).map(|run| run.id).collect();
        if results.is_empty() {
            return Ok(None);
        }
        let releases = self.state.publish_results(cause, computation.base.id, &results, &made).await?;
        let first = releases.first().map(|release| release.id);
        for run in runs.iter_mut().filter(|run| run.result.is_some()) {
            run.result_release = first;
        }
        for release in &releases {
            // As with every release: state decides.
            if let Err(error) = self.warehouse.put_release(release).await {
                tracing::error!(release.id = release.id, error = ?error, "the release is published but not mirrored");
            }
        }
        if let Some(newest) = releases.into_iter().last() {
            self.announce(newest);
        }
        for run in runs.iter().filter(|run| run.result.is_some()) {
            self.mirror_computation(run).await;
        }
        // A result that has columns for the first time, or others, is news for the catalog.
        self.state.catalog_changed().await?;
        Ok(first)
    }

    /// Computes one statement. What goes wrong with it is in its run; an error is one of our own state.
    pub(in crate::service) async fn compute_statement(
        &self,
        computation: &Computation,
        statement: &Statement,
        cancel: &CancellationToken,
    ) -> Result<StatementRun> {
        let mut run = StatementRun {
            id: 0,
            statement_id: statement.id.clone(),
            statement: statement.name.clone(),
            batch: computation.batch,
            actor: computation.actor.clone(),
            query: statement.query.clone(),
            time_zone: statement.time_zone.clone(),
            status: "running".into(),
            started_at: now_micros(),
            ended_at: None,
            read_release: computation.base.id,
            read_at: computation.base.published_at,
            reads: Vec::new(),
            result: None,
            result_release: None,
            cause: None,
            remedy: None,
        };
        self.state.start_statement_run(&mut run).await?;
        match self.make(computation, statement, &mut run, cancel).await {
            Ok(()) => {}
            Err(error) => {
                run.status = if error.kind() == Kind::Cancelled { "cancelled" } else { "failed" }.into();
                run.cause = Some(match error.detail() {
                    Some(detail) => format!("{error}: {detail}"),
                    None => error.to_string(),
                });
                run.remedy = error.hint().map(str::to_string);
                tracing::warn!(statement = %run.statement, error = ?error, "a statement failed");
            }
        }
        run.ended_at = Some(now_micros());
        self.state.finish_statement_run(&run).await?;
        self.metrics.computed(&run);
        tracing::info!(statement = %run.statement, run.status = %run.status, release = run.read_release, "computed");
        Ok(run)
    }

    async fn make(
        &self,
        computation: &Computation,
        statement: &Statement,
        run: &mut StatementRun,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let release = computation.release();
        let reads = self.reads_of(statement, &release).await?;
        // Their columns are those of the releases, which are kept.
        run.reads = reads.into_iter().map(|object| ReleaseObject { fields: Vec::new(), ..object }).collect();
        let waits: Vec<_> =
            run.reads.iter().filter_map(|object| computation.bad.get(&object.object_id).cloned()).collect();
        if !waits.is_empty() {
            run.status = "held".into();
            run.cause = Some(format!("waiting for {}", waits.join("; ")));
            run.remedy =
                Some("mend that, then CALL run_batch() or CALL compute(...); the last result stays".into());
            return Ok(());
        }
        if let Some(missing) = run.reads.iter().find(|object| object.version == NOT_YET) {
            return Err(Error::new(Kind::Invalid, format!("{} has no result yet", full_name(missing)))
                .with_hint(format!("CALL compute('{}') first, or CALL compute() for all", missing.name)));
        }
        let Some(turn) = Turn::try_take(&self.state, &statement.id, self.lease).await? else {
            return Err(Error::new(
                Kind::Conflict,
                format!("{} is being computed already", statement.full_name()),
            ));
        };
        let written = self.write(statement, release, run, &turn, cancel).await;
        turn.give_back().await;
        run.result = Some(written?);
        run.status = "succeeded".into();
        Ok(())
    }

    async fn write(
        &self,
        statement: &Statement,
        release: Arc<Release>,
        run: &StatementRun,
        turn: &Turn,
        cancel: &CancellationToken,
    ) -> Result<ReleaseObject> {
        let query =
            KeptQuery { sql: run.query.clone(), release, zone: run.time_zone.clone(), at: run.read_at };
        let lost = || {
            Error::new(Kind::Conflict, format!("lost the lease on {}", statement.full_name()))
                .with_hint("this process was away for too long; nothing of it is visible")
        };
        let work = async {
            let kept = self.engine()?.kept(&query).await?;
            let fields = fields(statement, kept.columns())?;
            if fields != statement.fields {
                let changed = Statement { fields: fields.clone(), ..statement.clone() };
                self.state.update_statement(&changed).await?;
                self.mirror_statement(&Statement { version: statement.version + 1, ..changed }).await;
            }
            let columns =
                fields.iter().map(|field| (field.column.clone(), field.data_type.clone())).collect();
            let column = |name: &String| fields.iter().find(|field| field.name == *name);
            let key = statement.unique_fields.iter().filter_map(column).map(|field| field.column.clone());
            let spec = WriteSpec { columns, key: key.collect() };
            Ok::<_, Error>((self.prepare(statement, &kept, &spec).await?, fields))
        };
        let (prepared, fields): (Prepared, Vec<ObjectField>) = tokio::select! {
            biased;
            () = cancel.cancelled() => {
                return Err(Error::new(Kind::Cancelled, format!("{} was cancelled", statement.full_name())));
            }
            () = turn.lost.cancelled() => return Err(lost()),
            prepared = work => prepared?,
        };
        if !turn.is_ours().await? {
            prepared.discard().await?;
            return Err(lost());
        }
        let mark = serde_json::json!({ "release": run.read_release });
        let snapshot =
            prepared.commit(Commit { run_id: run.id, fence: turn.fence, watermark: Some(mark) }).await?;
        Ok(ReleaseObject {
            object_id: statement.id.clone(),
            connection: Statement::SCHEMA.into(),
            name: statement.name.clone(),
            version: snapshot.content(),
            rows: i64::try_from(snapshot.rows()).unwrap_or(i64::MAX),
            fields,
            overrides: None,
        })
    }

    /// Writes the rows beside the table. Pay hangs on each of them: a key that is not one is an error, not a warning.
    async fn prepare(&self, statement: &Statement, kept: &Kept, spec: &WriteSpec) -> Result<Prepared> {
        let table = self.warehouse.table(Statement::SCHEMA, &statement.id);
        let mut writer = table.replace(spec).await?;
        let mut rows = kept.rows().await?;
        let schema = spec.schema();
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let named = arrow::array::RecordBatch::try_new(schema.clone(), batch.columns().to_vec());
            let named =
                named.map_err(|error| Error::internal("rows of another schema").with_source(error))?;
            if named.num_rows() > 0 {
                writer.write(0, named).await?;
            }
        }
        let prepared = writer.prepare().await?;
        let counts = prepared.counts();
        let key = statement.unique_fields.join(", ");
        let trouble = match (counts.duplicates, counts.null_keys) {
            (0, 0) => return Ok(prepared),
            (0, nulls) => {
                let sample: Vec<_> = counts.null_key_sample.iter().take(SAMPLE).cloned().collect();
                format!("{nulls} rows of {} have no `{key}`: {}", statement.full_name(), sample.join("; "))
            }
            (repeated, _) => {
                format!("{repeated} rows of {} repeat the `{key}` of another", statement.full_name())
            }
        };
        prepared.discard().await?;
        Err(Error::new(Kind::Data, trouble).with_sqlstate("23505").with_hint(
            "group the query by its unique fields, or choose others with CALL alter_statement(..., unique_fields => ...)",
        ))
    }
}

fn tell(progress: &ProgressSender, run: &StatementRun) {
    let message = match (&run.result, &run.cause) {
        (Some(result), _) => format!("{} rows", result.rows),
        (None, Some(cause)) => format!("{}: {cause}", run.status),
        (None, None) => run.status.clone(),
    };
    let object = format!("{}.{}", Statement::SCHEMA, run.statement);
    // Nobody listening any more is fine.
    progress.send(Progress { object, message }).ok();
}
