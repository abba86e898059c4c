//! From a committed snapshot to one that may be published: what it removes is explained, and the gate looks at it.
//!
//! Readers see what a release names, so a commit alone is visible to nobody. A run that is held stays committed and
//! unpublished; the next one goes on from it and is judged against the published snapshot again.

use std::sync::Arc;

use super::ahead::Ahead;
use super::erased::Suppression;
use super::gate::{self, Measured};
use super::lease::Work;
use super::prune::{self, Explained, LOOKED_AT, Told};
use super::run::{Done, tell};
use crate::error::Result;
use crate::model::{Object, Reason, ReleaseObject, Removal, Run};
use crate::snapshot::{Commit, Profile, Snapshot};
use crate::source::What;

/// Removals that are listed of one run.
const LISTED: usize = 10_000;

/// What a run committed.
pub(super) struct Committed<'a> {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) commit: Commit,
    /// The read stopped at the maximum number of records.
    pub(super) capped: bool,
    /// How many records the source counted, where all were to be read, and how many arrived.
    pub(super) counted: Option<(u64, u64)>,
    /// Whether rows may be gone.
    pub(super) removed: bool,
    /// What the source said of those.
    pub(super) told: Told,
    pub(super) erased: Option<&'a Suppression>,
}

/// Explains, judges and ends a run.
pub(super) async fn settle(
    work: Work<'_>,
    ahead: Ahead,
    mut committed: Committed<'_>,
    run: &mut Run,
) -> Result<Done> {
    let published = work.syncer.state.published(&ahead.object.id).await?;
    let before = match &published {
        Some(published) => Some(ahead.table.at(published.version).await?),
        None => None,
    };
    let mut lost = 0;
    if let Some(before) = &before {
        let explained = explain(work, &ahead, before, &mut committed, run).await?;
        lost = explained.lost();
        note(&ahead.object, &explained, run);
        let removals = listed(&ahead.object, run.id, explained);
        work.syncer.state.put_removals(&removals).await?;
    }
    run.counts.total = committed.snapshot.rows();
    let measured = measure(&ahead, &committed, before.as_ref(), published.as_ref(), lost, run).await?;
    let verdicts = measured.verdicts();
    let held = measured.held(&verdicts);
    run.counts.verdicts = verdicts;
    let (object, snapshot, capped) = (ahead.object, Some(committed.snapshot), committed.capped);
    if let Some(held) = held {
        let Some(reason) = &work.request.force else {
            let (cause, remedy) = (Some(held.cause), Some(held.remedy));
            return Ok(Done { status: "held", object, snapshot, cause, remedy });
        };
        run.counts.warnings.push(format!("published by force ({reason}) although {}", held.cause));
    }
    let status = match (capped, run.counts.warnings.is_empty()) {
        (true, _) => "capped",
        (false, false) => "succeeded with warnings",
        (false, true) => "succeeded",
    };
    let cause = capped.then(|| format!("stopped at the maximum number of records ({})", run.counts.read));
    let remedy = capped.then(|| "raise or clear `max_rows` with `CALL set_import(...)`".to_string());
    Ok(Done { status, object, snapshot, cause, remedy })
}

/// What the new snapshot lacks of the published one, and why. Records that are there all the same are put back.
async fn explain(
    work: Work<'_>,
    ahead: &Ahead,
    before: &Arc<Snapshot>,
    committed: &mut Committed<'_>,
    run: &mut Run,
) -> Result<Explained> {
    let follows = ahead.snapshot.as_ref().is_some_and(|snapshot| snapshot.content() == before.content());
    if committed.snapshot.content() == before.content() || (follows && !committed.removed) {
        return Ok(Explained::default());
    }
    let Some(lost) = ahead.table.lost(before, &committed.snapshot, LOOKED_AT).await? else {
        // The key is another one: which of the rows are the same nobody knows.
        let others = before.rows().saturating_sub(committed.snapshot.rows());
        return Ok(Explained { others, ..Explained::default() });
    };
    if lost.count == 0 {
        return Ok(Explained::default());
    }
    tell(work.progress, &ahead.object, format!("{} rows are gone: finding out why", lost.count));
    let told = std::mem::take(&mut committed.told);
    let explained = prune::explain(work.request, ahead, &lost, told).await?;
    run.counts.calls += explained.calls;
    put_back(ahead, &explained, committed, run).await?;
    Ok(explained)
}

/// Merges rows that the read missed.
async fn put_back(
    ahead: &Ahead,
    explained: &Explained,
    committed: &mut Committed<'_>,
    run: &mut Run,
) -> Result<()> {
    if explained.still_there.is_empty() {
        return Ok(());
    }
    let mut rows = 0;
    let mut writer = ahead.table.upsert(&ahead.spec).await?;
    for batch in &explained.still_there {
        let batch = match committed.erased {
            Some(erased) => erased.keep(batch.clone())?.0,
            None => batch.clone(),
        };
        rows += batch.num_rows();
        if batch.num_rows() > 0 {
            writer.write(0, batch).await?;
        }
    }
    let prepared = writer.prepare().await?;
    if rows == 0 {
        return prepared.discard().await;
    }
    run.counts.bytes_written += prepared.counts().bytes_written;
    committed.snapshot = prepared.commit(committed.commit.clone()).await?;
    run.counts
        .warnings
        .push(format!("{rows} records that the read left out are there all the same and stay"));
    Ok(())
}

/// Counts what is gone, by reason.
fn note(object: &Object, explained: &Explained, run: &mut Run) {
    let count =
        |is: fn(&Reason) -> bool| explained.gone.iter().filter(|(_, reason)| is(reason)).count() as u64;
    let counts = &mut run.counts;
    counts.deleted = explained.lost();
    counts.merged = count(|reason| matches!(reason, Reason::MergedInto(_)));
    counts.left_filter = count(|reason| *reason == Reason::LeftFilter);
    counts.not_visible = count(|reason| *reason == Reason::NotVisible);
    counts.unknown = count(|reason| *reason == Reason::Unknown) + explained.others;
    if counts.not_visible > 0 {
        counts.warnings.push(format!(
            "{} records of `{}` are not visible to this login any more",
            counts.not_visible,
            object.full_name()
        ));
    }
}

fn listed(object: &Object, run_id: i64, explained: Explained) -> Vec<Removal> {
    let names = object.key();
    let removal = |(key, reason): (Vec<String>, Reason)| Removal {
        run_id,
        object_id: object.id.clone(),
        key: prune::json(&names, key),
        reason: reason.as_str().into(),
        merged_into: reason.into_key().map(str::to_string),
    };
    explained.gone.into_iter().take(LISTED).map(removal).collect()
}

async fn measure<'a>(
    ahead: &'a Ahead,
    committed: &Committed<'_>,
    before: Option<&Arc<Snapshot>>,
    published: Option<&ReleaseObject>,
    lost: u64,
    run: &'a Run,
) -> Result<Measured<'a>> {
    let object = &ahead.object;
    let (mut nulls, mut sums) = gate::watched(object, &ahead.missing);
    // What was not published under this column cannot be compared.
    let was_published = |column: &String| {
        published.is_some_and(|published| published.fields.iter().any(|field| field.column == *column))
    };
    nulls.retain(was_published);
    sums.retain(was_published);
    let after = committed.snapshot.clone();
    let is_same = before.is_some_and(|before| before.content() == after.content());
    if is_same {
        nulls.clear();
    }
    let old = match before {
        Some(before) => Some(ahead.table.profile(before, nulls.clone(), sums.clone()).await?),
        None => None,
    };
    let new = match before {
        Some(_) => ahead.table.profile(&after, nulls, sums).await?,
        None => Profile { rows: after.rows(), ..Profile::default() },
    };
    let is_full = ahead.plan.what == What::Full;
    let is_cut = committed.capped && !object.import.delete_all_before_sync;
    let keeps_rows = match (&ahead.plan.suspended, is_cut) {
        (Some(why), _) => Some(why.as_str()),
        (None, true) => Some("a read that stopped at the maximum number of records removes none"),
        (None, false) => None,
    };
    Ok(Measured {
        object,
        run,
        is_full,
        missing: &ahead.missing,
        before: old,
        after: new,
        lost,
        keeps_rows,
        counted: committed.counted,
    })
}
