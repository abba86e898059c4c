//! One run: one object, from lease to commit.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::ahead::Ahead;
use super::erased::Suppression;
use super::plan::{Mark, Marks, Write};
use super::transfer::{Changes, Deletions, Received, Transfer};
use super::{Progress, ProgressSender, Request, Syncer, cancelled, gate};
use crate::error::{Error, Kind, Result};
use crate::model::{Fault, Object, Run, now_micros};
use crate::snapshot::{Commit, Prepared, Snapshot};
use crate::source::What;

/// How often is looked whether a source makes a run wait.
const WAITS_EVERY: Duration = Duration::from_secs(1);

/// How a run ended.
pub(super) struct Ended {
    pub(super) run: Run,
    /// The object as it was read (types may have been widened).
    pub(super) object: Object,
    /// What was committed, if anything was.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    /// Kind and SQLSTATE, when it failed.
    pub(super) failed: Option<(Kind, &'static str)>,
}

/// What a run reports when it did not fail.
struct Done {
    status: &'static str,
    object: Object,
    snapshot: Option<Arc<Snapshot>>,
    cause: Option<String>,
    remedy: Option<String>,
}

/// Runs one object to its end. Never fails itself: what went wrong is in the run.
pub(super) async fn run(
    syncer: &Syncer,
    request: &Request,
    object: &Object,
    mut run: Run,
    progress: &ProgressSender,
    cancel: &CancellationToken,
) -> Ended {
    let started = Instant::now();
    let outcome = leased(syncer, request, object, &mut run, progress, cancel).await;
    run.ended_at = Some(now_micros());
    let ended = match outcome {
        Ok(done) => {
            run.status = done.status.into();
            run.cause = done.cause;
            run.remedy = done.remedy;
            run.version = done.snapshot.as_ref().map(|snapshot| snapshot.content());
            Ended { run, object: done.object, snapshot: done.snapshot, failed: None }
        }
        Err(error) => {
            run.status = if error.kind() == Kind::Cancelled { "cancelled" } else { "failed" }.into();
            run.cause = Some(match error.detail() {
                Some(detail) => format!("{error}: {detail}"),
                None => error.to_string(),
            });
            run.remedy = error.hint().map(str::to_string);
            run.fault = Some(Fault::of(&error));
            run.summary = Some(error.to_string());
            tracing::warn!(run.id = run.id, object.name = %run.object, error = ?error, "run failed");
            let failed = Some((error.kind(), error.sqlstate()));
            Ended { run, object: object.clone(), snapshot: None, failed }
        }
    };
    tracing::info!(
        run.id = ended.run.id,
        object.name = %ended.run.object,
        run.status = %ended.run.status,
        rows.read = ended.run.counts.read,
        duration_ms = started.elapsed().as_millis() as u64,
        "run ended"
    );
    ended
}

/// A run that does not begin, because an earlier one of the same sync was refused the login.
pub(super) fn without_login(object: &Object, mut run: Run, sqlstate: &'static str) -> Ended {
    run.ended_at = Some(now_micros());
    run.status = "failed".into();
    run.cause = Some("not read: the source refuses the login of this connection".into());
    run.remedy = Some("log in again, then sync".into());
    run.fault = Some(Fault::Login);
    run.summary = run.cause.clone();
    Ended { run, object: object.clone(), snapshot: None, failed: Some((Kind::Unauthenticated, sqlstate)) }
}

/// Holds the object's lease around the work and gives up when it is lost.
async fn leased(
    syncer: &Syncer,
    request: &Request,
    object: &Object,
    run: &mut Run,
    progress: &ProgressSender,
    cancel: &CancellationToken,
) -> Result<Done> {
    let Some(fence) = syncer.state.acquire_lease(&object.id, syncer.state.node(), syncer.lease).await? else {
        return Err(Error::new(Kind::Conflict, format!("`{}` is being synced already", object.full_name()))
            .with_hint("wait for that run, or end it with `CALL cancel(run)`"));
    };
    let waits = tell_waits(syncer, request, object, run.id, progress);
    let work = transfer(syncer, request, object, run, fence, progress, cancel);
    let name = object.full_name();
    let result = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(cancelled(object)),
        error = keep_lease(syncer, &object.id, &name, fence) => Err(error),
        never = waits => match never {},
        result = work => result,
    };
    // What the run did stands, whatever becomes of the lease: it expires by itself.
    if let Err(error) = syncer.state.release_lease(&object.id, fence).await {
        tracing::warn!(object.id = %object.id, error = ?error, "could not give a lease back");
    }
    result
}

/// Tells, as long as the run lasts, when its source makes it wait.
async fn tell_waits(
    syncer: &Syncer,
    request: &Request,
    object: &Object,
    run: i64,
    progress: &ProgressSender,
) -> Infallible {
    let mut told = None;
    loop {
        tokio::time::sleep(WAITS_EVERY).await;
        let until = request.source.waits_until();
        if until == told {
            continue;
        }
        told = until;
        let why = until.and_then(chrono::DateTime::from_timestamp_micros).map(|until| {
            format!("waiting: the source allows calls again at {}", until.format("%H:%M:%S UTC"))
        });
        if let Some(why) = &why {
            tell(progress, object, why.clone());
        }
        // For people only: a state that is away for a moment is no reason to stop.
        if let Err(error) = syncer.state.note_wait(run, why.as_deref()).await {
            tracing::debug!(run.id = run, error = ?error, "could not note that a run waits");
        }
    }
}

/// Renews the lease for ever; returns when it is lost.
pub(super) async fn keep_lease(syncer: &Syncer, object_id: &str, name: &str, fence: i64) -> Error {
    loop {
        tokio::time::sleep(syncer.lease / 3).await;
        match syncer.state.renew_lease(object_id, fence, syncer.lease).await {
            Ok(true) => {}
            Ok(false) => return lost(name),
            // The commit checks the fence anyway, so a state that is away for a moment must not end a long run.
            Err(error) => tracing::warn!(object.id = %object_id, error = ?error, "could not renew a lease"),
        }
    }
}

fn lost(name: &str) -> Error {
    Error::new(Kind::Conflict, format!("lost the lease on `{name}`")).with_hint(
        "this process was away for too long and another may have taken over; nothing of this run is visible",
    )
}

async fn transfer(
    syncer: &Syncer,
    request: &Request,
    object: &Object,
    run: &mut Run,
    fence: i64,
    progress: &ProgressSender,
    cancel: &CancellationToken,
) -> Result<Done> {
    let mut ahead = Ahead::look(syncer, request, object).await?;
    run.counts.warnings.append(&mut ahead.warnings);
    if ahead.object.fields != object.fields {
        syncer.state.update_object(&ahead.object, object.schema_version).await?;
    }
    expect(request, &mut ahead, run, progress).await?;
    let deletions = match &ahead.plan.deleted_since {
        Some(since) => Deletions::since(request, ahead.read()?, since).await,
        None => Ok(Deletions::default()),
    };
    let deletions = match deletions {
        Err(error) if error.kind() == Kind::Unsupported => {
            ahead.turn_full(&error);
            expect(request, &mut ahead, run, progress).await?;
            Deletions::default()
        }
        deletions => deletions?,
    };
    run.counts.calls += deletions.calls;
    run.mode = ahead.plan.mode().as_str().into();
    for reason in &ahead.plan.reasons {
        tell(progress, &ahead.object, reason.clone());
    }
    if ahead.plan.write == Write::Upsert {
        run.counts.warnings.extend(ahead.plan.reasons.iter().cloned());
    }

    if let Some(snapshot) = ahead.snapshot.as_ref().filter(|_| ahead.plan.recast) {
        tell(progress, &ahead.object, "stored rows are rewritten with wider types".into());
        let recast = ahead.table.recast(&ahead.spec).await?;
        run.counts.bytes_written += recast.counts().bytes_written;
        recast.commit(Commit { run_id: run.id, fence, watermark: snapshot.watermark() }).await?;
    }

    let wanted = ahead.read()?;
    for note in request.source.notes(&wanted).await? {
        tell(progress, &ahead.object, note);
    }
    if let (What::Since(_), Some(note)) = (&wanted.what, unseen(&ahead.object)) {
        tell(progress, &ahead.object, note);
    }
    for warning in request.source.warnings(&wanted).await? {
        tell(progress, &ahead.object, warning.clone());
        run.counts.warnings.push(warning);
    }
    let erasures = syncer.state.erasures_of(ahead.object.connection_id, &ahead.object.api).await?;
    let erased = Suppression::new(&syncer.digester, &ahead.object, &wanted.fields, erasures)?;
    let mut changes = Changes::new(request, wanted);
    if let Err(error) = changes.look().await {
        if error.kind() != Kind::Unsupported || ahead.plan.what == What::Full {
            return Err(error);
        }
        ahead.turn_full(&error);
        run.mode = ahead.plan.mode().as_str().into();
        tell(progress, &ahead.object, ahead.plan.reasons[0].clone());
        expect(request, &mut ahead, run, progress).await?;
        changes = Changes::new(request, ahead.read()?);
    }
    let Ahead { object, table, snapshot, current, spec, plan, .. } = ahead;
    let writer = match plan.write {
        Write::Replace => table.replace(&spec).await?,
        Write::Upsert => table.upsert(&spec).await?,
    };
    let transfer = Transfer { object: &object, erased: erased.as_ref(), progress };
    let Received { prepared, watermark, capped } =
        transfer.receive(writer, deletions.gone, changes, run).await?;
    let marks = Marks { since: watermark, deleted: deletions.watermark };
    count(run, &prepared);
    let before = snapshot.as_ref().map(|snapshot| snapshot.rows());
    if let Some(held) = gate::check(&object, before, prepared.counts()).filter(|_| !request.force) {
        prepared.discard().await?;
        run.counts.total = before.unwrap_or(0);
        let (cause, remedy) = (Some(held.cause), Some(held.remedy));
        return Ok(Done { status: "held", object, snapshot: None, cause, remedy });
    }
    // Past this point the run may become visible, so a person who cancels is told the truth before it.
    if cancel.is_cancelled() {
        prepared.discard().await?;
        return Err(cancelled(&object));
    }
    // A process that was paused may wake exactly here, before its renewal notices.
    if !syncer.state.renew_lease(&object.id, fence, syncer.lease).await? {
        prepared.discard().await?;
        return Err(lost(&object.full_name()));
    }
    let mark = Mark::after(&object, marks, current.as_ref(), capped);
    let mark = serde_json::to_value(mark)
        .map_err(|error| Error::internal("a watermark is not JSON").with_source(error))?;
    let commit = Commit { run_id: run.id, fence, watermark: Some(mark) };
    let snapshot = prepared.commit(commit).await?;
    run.counts.total = snapshot.rows();
    let status = match (capped, run.counts.warnings.is_empty()) {
        (true, _) => "capped",
        (false, false) => "succeeded with warnings",
        (false, true) => "succeeded",
    };
    let cause = capped.then(|| format!("stopped at the maximum number of records ({})", run.counts.read));
    let remedy = capped.then(|| "raise or clear `max_rows` with `CALL set_import(...)`".to_string());
    Ok(Done { status, object, snapshot: Some(snapshot), cause, remedy })
}

/// Notes and tells what a run will take, where its source knows.
async fn expect(
    request: &Request,
    ahead: &mut Ahead,
    run: &mut Run,
    progress: &ProgressSender,
) -> Result<()> {
    let Some(expected) = ahead.expect(request).await? else { return Ok(()) };
    ahead.expected_rows = Some(expected.rows);
    run.counts.calls += expected.spent;
    run.counts.expected_calls = Some(expected.calls);
    let message = format!("{} records expected, {} calls of the API", expected.rows, expected.calls);
    tell(progress, &ahead.object, message);
    Ok(())
}

/// What a diff does not see, for people.
fn unseen(object: &Object) -> Option<String> {
    let volatile: Vec<_> =
        object.selected().filter(|field| field.volatile).map(|field| field.name.as_str()).collect();
    (!volatile.is_empty())
        .then(|| format!("a diff does not see these change, a full sync does: {}", volatile.join(", ")))
}

fn count(run: &mut Run, prepared: &Prepared) {
    let counts = prepared.counts();
    run.counts.inserted = counts.inserted;
    run.counts.updated = counts.updated;
    run.counts.deleted = counts.deleted;
    run.counts.total = counts.total;
    run.counts.duplicates = counts.duplicates;
    run.counts.null_keys = counts.null_keys;
    run.counts.bytes_written += counts.bytes_written;
    if counts.duplicates > 0 {
        let warning = format!("{} rows had the key of a later row and were left out", counts.duplicates);
        run.counts.warnings.push(warning);
    }
    if counts.null_keys > 0 {
        run.counts
            .warnings
            .push(format!("{} rows had an empty key field and were left out", counts.null_keys));
    }
}

pub(super) fn tell(progress: &ProgressSender, object: &Object, message: String) {
    // Nobody listening any more is fine: the run goes on.
    progress.send(Progress { object: object.full_name(), message }).ok();
}
