//! One run: one object, from lease to commit.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::ahead::Ahead;
use super::erased::Suppression;
use super::lease::{Work, leased, lost};
use super::plan::{Marks, Write};
use super::settle::{self, Committed};
use super::transfer::{Changes, Deletions, Received, Transfer, note_requests};
use super::{Mode, Progress, ProgressSender, Request, Syncer, cancelled, gate, patch, refilter, resume};
use crate::error::{Error, Kind, Result};
use crate::model::{Fault, Object, Run, now_micros};
use crate::snapshot::{Commit, Prepared, Snapshot};
use crate::source::{Gone, What};

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
pub(super) struct Done {
    pub(super) status: &'static str,
    pub(super) object: Object,
    /// What it committed. Unless it is held, that is published.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) cause: Option<String>,
    pub(super) remedy: Option<String>,
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
    syncer.live.end(run.id);
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

/// From the plan to what may be published.
pub(super) async fn transfer(work: Work<'_>, object: &Object, run: &mut Run) -> Result<Done> {
    let Work { syncer, request, progress, cancel, fence } = work;
    let mut ahead = Ahead::look(syncer, request, object).await?;
    run.counts.warnings.append(&mut ahead.warnings);
    if ahead.object.fields != object.fields {
        syncer.state.update_object(&ahead.object, object.schema_version).await?;
    }
    expect(work, &mut ahead, run).await?;
    let deletions = read_deletions(work, &mut ahead, run).await?;
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

    // Before the changes are read: a record that changes meanwhile is among them, whole.
    patch::fill(work, &ahead, run).await?;
    let changes = begin_reading(work, &mut ahead, run).await?;
    let (changes, left) = refilter(work, &ahead, changes).await?;
    let erasures = syncer.state.erasures_of(ahead.object.connection_id, &ahead.object.api).await?;
    let erased = Suppression::new(&syncer.digester, &ahead.object, &ahead.read()?.fields, erasures)?;
    let writer = match ahead.plan.write {
        Write::Replace => ahead.table.replace(&ahead.spec).await?,
        Write::Upsert => ahead.table.upsert(&ahead.spec).await?,
    };
    let transfer = Transfer {
        object: &ahead.object,
        erased: erased.as_ref(),
        progress,
        live: &syncer.live,
        removes: ahead.plan.suspended.is_none(),
    };
    let Received { prepared, watermark, capped, mut told, quarantined } = transfer
        .receive(
            writer,
            left.into_iter().chain(deletions.gone).collect(),
            changes,
            resume::keeper(work, &ahead, run),
            run,
        )
        .await?;
    let marks = Marks { since: watermark.clone(), deleted: deletions.watermark };
    count(run, &prepared);
    if let Some(held) = gate::unusable(&ahead.object, prepared.counts()) {
        prepared.discard().await?;
        resume::forget(&ahead).await;
        run.counts.total = ahead.snapshot.as_ref().map_or(0, |snapshot| snapshot.rows());
        let (cause, remedy) = (Some(held.cause), Some(held.remedy));
        let (object, status) = (ahead.object, "held");
        return Ok(Done { status, object, snapshot: None, cause, remedy });
    }
    // A person who cancels is told the truth before anything is committed.
    if cancel.is_cancelled() {
        prepared.discard().await?;
        return Err(cancelled(&ahead.object));
    }
    // A process that was paused may wake exactly here, before its renewal notices.
    if !syncer.state.renew_lease(&ahead.object.id, fence, syncer.lease).await? {
        prepared.discard().await?;
        return Err(lost(&ahead.object.full_name()));
    }
    let mark = ahead.mark(marks, capped)?;
    let mut commit = Commit { run_id: run.id, fence, watermark: Some(mark) };
    let removed = prepared.counts().deleted > 0 || ahead.plan.write == Write::Replace;
    let mut snapshot = prepared.commit(commit.clone()).await?;
    resume::forget(&ahead).await;
    syncer.state.put_quarantine(&quarantined).await?;
    let (mut removed, mut counted) = (removed, ahead.counted(run, capped));
    if request.mode == Mode::Sweep && ahead.plan.mode() == Mode::Diff {
        let swept = patch::sweep(work, &ahead, commit.watermark.clone(), run).await?;
        run.mode = request.mode.as_str().into();
        run.counts.updated += swept.counts.updated;
        removed |= swept.counts.deleted > 0;
        (snapshot, counted) = (swept.snapshot, swept.counted);
    }
    let erased = erased.as_ref();
    if let (Some(since), Some(_)) = (&watermark, run.counts.resumed_from) {
        let caught_up = resume::catch_up(work, &ahead, since, erased, run).await?;
        counted = counted.map(|(counted, _)| (counted, caught_up.snapshot.rows()));
        (snapshot, commit, told) = (caught_up.snapshot, caught_up.commit, caught_up.told);
    }
    let committed = Committed { snapshot, commit, capped, removed, counted, told, erased };
    settle::settle(work, ahead, committed, run).await
}

/// What was deleted since the last sync, where that is read. It may turn out that only a full read can tell.
async fn read_deletions(work: Work<'_>, ahead: &mut Ahead, run: &mut Run) -> Result<Deletions> {
    let deletions = match &ahead.plan.deleted_since {
        Some(since) => Deletions::since(work.request, ahead.read()?, since).await,
        None => Ok(Deletions::default()),
    };
    let deletions = match deletions {
        Err(error) if error.kind() == Kind::Unsupported => {
            ahead.turn_full(work, &error).await?;
            expect(work, ahead, run).await?;
            Deletions::default()
        }
        deletions => deletions?,
    };
    run.counts.calls += deletions.calls;
    note_requests(run, deletions.asked.clone());
    Ok(deletions)
}

/// Tells what is to be told of the read and begins it, in full where the source cannot answer a diff.
async fn begin_reading(work: Work<'_>, ahead: &mut Ahead, run: &mut Run) -> Result<Changes> {
    let Work { request, progress, .. } = work;
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
    if ahead.plan.what == What::Full {
        return resume::begin(work, ahead, run, wanted).await;
    }
    let mut changes = Changes::new(request, wanted);
    match changes.look().await {
        Err(error) if error.kind() == Kind::Unsupported => {
            ahead.turn_full(work, &error).await?;
            run.mode = ahead.plan.mode().as_str().into();
            tell(progress, &ahead.object, ahead.plan.reasons[0].clone());
            expect(work, ahead, run).await?;
            let wanted = ahead.read()?;
            resume::begin(work, ahead, run, wanted).await
        }
        looked => looked.map(|()| changes),
    }
}

/// Where the filter changed: the stored rows that it leaves out, and the changes behind what it lets in.
async fn refilter(work: Work<'_>, ahead: &Ahead, changes: Changes) -> Result<(Changes, Vec<Gone>)> {
    let changes = changes.behind(work.request, ahead.more()?);
    let keep = ahead.plan.refilter.as_ref().and_then(|refilter| refilter.keep.as_ref());
    let (Some(filter), Some(snapshot)) = (keep, &ahead.snapshot) else { return Ok((changes, Vec::new())) };
    let left = refilter::left(&ahead.table, snapshot, &ahead.object, filter).await?;
    let left = left.ok_or_else(|| {
        let what =
            format!("the filter of `{}` leaves out more than a million rows", ahead.object.full_name());
        Error::new(Kind::Limit, what).with_hint("CALL sync(..., 'full') reads by the new filter")
    })?;
    Ok((changes, left))
}

/// Notes and tells what a run will take, where its source knows.
async fn expect(work: Work<'_>, ahead: &mut Ahead, run: &mut Run) -> Result<()> {
    let Some(expected) = ahead.expect(work.request).await? else { return Ok(()) };
    ahead.expected_rows = Some(expected.rows);
    ahead.counts_all = expected.is_exact;
    run.counts.calls += expected.spent;
    run.counts.expected_calls = Some(expected.calls);
    work.syncer.live.expect(run, expected.rows);
    let message = format!("{} records expected, {} calls of the API", expected.rows, expected.calls);
    tell(work.progress, &ahead.object, message);
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
    run.counts.updated += counts.updated;
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
