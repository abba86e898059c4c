//! Some fields of every record, read alone: those that the stored rows lack, and in a sweep those that change without
//! anybody telling.

use std::sync::Arc;

use futures::StreamExt;

use super::ahead::Ahead;
use super::erased::Suppression;
use super::lease::{Work, lost};
use super::run::tell;
use super::transfer::{note_misfits, note_requests};
use crate::error::Result;
use crate::model::Run;
use crate::snapshot::{Commit, Counts, Snapshot};
use crate::source::{Read, What};

/// What reading some fields changed.
pub(super) struct Patched {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) counts: Counts,
    /// How many records the source counted, where that is what was read, and how many arrived.
    pub(super) counted: Option<(u64, u64)>,
}

/// Fills the columns that the plan says the stored rows lack. Watermarks stay: the changes since then come next.
pub(super) async fn fill(work: Work<'_>, ahead: &Ahead, run: &mut Run) -> Result<()> {
    let Some(mark) = ahead.filling_mark()?.filter(|_| !ahead.plan.fill.is_empty()) else { return Ok(()) };
    let commit = Commit { run_id: run.id, fence: work.fence, watermark: Some(mark) };
    let patched = patch(work, ahead, &ahead.plan.fill, false, commit, run).await?;
    run.counts.updated += patched.counts.updated;
    Ok(())
}

/// Reads the keys and the volatile fields of every record, and removes rows of which there is none any more.
pub(super) async fn sweep(
    work: Work<'_>,
    ahead: &Ahead,
    watermark: Option<serde_json::Value>,
    run: &mut Run,
) -> Result<Patched> {
    let volatile = ahead.object.selected().filter(|field| field.volatile).map(|field| field.column.clone());
    let volatile: Vec<_> = volatile.collect();
    let removes = ahead.plan.suspended.is_none();
    tell(work.progress, &ahead.object, format!("sweep: keys and {} volatile fields", volatile.len()));
    let commit = Commit { run_id: run.id, fence: work.fence, watermark };
    patch(work, ahead, &volatile, removes, commit, run).await
}

async fn patch(
    work: Work<'_>,
    ahead: &Ahead,
    columns: &[String],
    removes: bool,
    commit: Commit,
    run: &mut Run,
) -> Result<Patched> {
    let Work { syncer, request, .. } = work;
    let object = &ahead.object;
    let mut read = ahead.read()?;
    let is_read = |api: &String| {
        let field = object.fields.iter().find(|field| field.api == *api);
        field.is_some_and(|field| field.key_position.is_some() || columns.contains(&field.column))
    };
    read.fields.retain(|field| is_read(&field.api));
    let what = if columns.is_empty() { What::Keys } else { What::Full };
    let mut read = Read { what, max_rows: None, expected_rows: None, ..read };
    let expected = request.source.expect(&read).await?;
    if let Some(expected) = expected {
        run.counts.calls += expected.spent;
        run.counts.expected_calls = Some(run.counts.expected_calls.unwrap_or_default() + expected.calls);
        read.expected_rows = Some(expected.rows);
    }
    let erasures = syncer.state.erasures_of(object.connection_id, &object.api).await?;
    let erased = Suppression::new(&syncer.digester, object, &read.fields, erasures)?;
    let mut writer = ahead.table.write_columns(&ahead.spec, columns, removes).await?;
    let mut pages = request.source.read(read);
    let mut arrived = 0;
    while let Some(page) = pages.next().await {
        let page = page?;
        run.counts.calls += page.calls;
        arrived += page.rows.num_rows() as u64;
        note_requests(run, page.asked);
        note_misfits(run, page.misfits, erased.is_none());
        let rows = match &erased {
            Some(erased) => erased.keep(page.rows)?.0,
            None => page.rows,
        };
        if rows.num_rows() > 0 {
            writer.write(page.lane, rows).await?;
        }
    }
    run.counts.read += arrived;
    let prepared = writer.prepare().await?;
    if !syncer.state.renew_lease(&object.id, work.fence, syncer.lease).await? {
        prepared.discard().await?;
        return Err(lost(&object.full_name()));
    }
    let counts = prepared.counts().clone();
    run.counts.bytes_written += counts.bytes_written;
    let counted = expected.filter(|expected| expected.is_exact).map(|expected| (expected.rows, arrived));
    Ok(Patched { snapshot: prepared.commit(commit).await?, counts, counted })
}
