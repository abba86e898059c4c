//! Going on with a read that broke off: afterwards the rows of the first part are as old as that, so what changed and
//! what was deleted since it began is read before anybody sees them.

use super::ahead::Ahead;
use super::erased::Suppression;
use super::kept::{Keeper, Replay, is_refusal};
use super::lease::{Work, lost};
use super::plan::Marks;
use super::prune::Told;
use super::run::tell;
use super::transfer::{Changes, Deletions, Transfer, note_requests};
use crate::error::Result;
use crate::model::Run;
use crate::snapshot::Commit;
use crate::source::{Read, Resume, Watermark, What};

/// What reading the changes since the beginning committed.
pub(super) struct CaughtUp {
    pub(super) snapshot: std::sync::Arc<crate::snapshot::Snapshot>,
    pub(super) commit: Commit,
    pub(super) told: Told,
}

/// Begins a read where an earlier one broke off, if there is one and the source goes on from there.
pub(super) async fn begin(work: Work<'_>, ahead: &mut Ahead, run: &mut Run, wanted: Read) -> Result<Changes> {
    let wanted = Read { resume: ahead.keeping.resume(), ..wanted };
    let mut changes = Changes::new(work.request, wanted.clone());
    match changes.look().await {
        Err(error) if ahead.keeping.kept.is_some() && is_refusal(&error) => {
            tell(work.progress, &ahead.object, format!("everything is read anew: {error}"));
            ahead.keeping.kept = None;
            ahead.table.drop_kept().await?;
            changes = Changes::new(work.request, Read { resume: Resume::Begin, ..wanted });
            changes.look().await?;
        }
        looked => looked?,
    }
    let kept = ahead.keeping.kept.clone();
    run.counts.resumed_from = kept.as_ref().map(|kept| kept.run);
    Ok(changes.after(kept.map(|kept| Replay::new(ahead.table.clone(), kept))))
}

/// Keeps what is read, where that is worth it.
pub(super) fn keeper(work: Work<'_>, ahead: &Ahead, run: &Run) -> Option<Keeper> {
    let asked = ahead.keeping.asked.clone()?;
    Some(Keeper::new(ahead.table.clone(), work.fence, run.id, asked, ahead.keeping.kept.clone()))
}

/// Forgets what was kept of a read that reached its end.
pub(super) async fn forget(ahead: &Ahead) {
    if ahead.keeping.asked.is_none() {
        return;
    }
    // It is of no use any more, and too old soon.
    if let Err(error) = ahead.table.drop_kept().await {
        tracing::warn!(object.name = %ahead.object.full_name(), ?error, "what was kept of a read stays");
    }
}

/// Reads what changed and what was deleted since the first part of the read began, and commits it. Nothing of either
/// part is published before.
pub(super) async fn catch_up(
    work: Work<'_>,
    ahead: &Ahead,
    since: &Watermark,
    erased: Option<&Suppression>,
    run: &mut Run,
) -> Result<CaughtUp> {
    let Work { syncer, request, progress, .. } = work;
    tell(progress, &ahead.object, "reads what changed since the first part was read".into());
    let what = What::Since(since.clone());
    let read = Read { what, expected_rows: None, ..ahead.read()? };
    let deletions = Deletions::since(request, read.clone(), since).await?;
    run.counts.calls += deletions.calls;
    note_requests(run, deletions.asked);
    let writer = ahead.table.upsert(&ahead.spec).await?;
    let transfer = Transfer {
        object: &ahead.object,
        erased,
        progress,
        live: &syncer.live,
        removes: ahead.plan.suspended.is_none(),
    };
    let changes = Changes::new(request, read);
    let received = transfer.receive(writer, deletions.gone, changes, None, run).await?;
    if !syncer.state.renew_lease(&ahead.object.id, work.fence, syncer.lease).await? {
        received.prepared.discard().await?;
        return Err(lost(&ahead.object.full_name()));
    }
    let marks = Marks { since: received.watermark, deleted: deletions.watermark };
    let commit = Commit { run_id: run.id, fence: work.fence, watermark: Some(ahead.mark(marks, false)?) };
    run.counts.bytes_written += received.prepared.counts().bytes_written;
    syncer.state.put_quarantine(&received.quarantined).await?;
    let snapshot = received.prepared.commit(commit.clone()).await?;
    Ok(CaughtUp { snapshot, commit, told: received.told })
}
