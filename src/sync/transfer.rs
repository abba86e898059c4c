//! From the pages of a source into a writer: first what is gone, then what is there.

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::BoxStream;

use super::erased::Suppression;
use super::run::tell;
use super::{ProgressSender, Request};
use crate::error::Result;
use crate::model::{Object, Run};
use crate::snapshot::{Prepared, Writer};
use crate::source::{Gone, Misfit, Page, Read, Watermark, What, Why};

/// The least time between two messages of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// What a run received.
pub(super) struct Received {
    pub(super) prepared: Prepared,
    pub(super) watermark: Option<Watermark>,
    pub(super) capped: bool,
}

/// What was deleted at the source, read before anything is written: it may turn out that only a full read can tell.
#[derive(Default)]
pub(super) struct Deletions {
    pub(super) gone: Vec<Gone>,
    pub(super) watermark: Option<Watermark>,
    /// Calls of the source's API that it took.
    pub(super) calls: u64,
}

impl Deletions {
    /// Everything that was deleted since the watermark. `read` is that of the changes.
    pub(super) async fn since(request: &Request, mut read: Read, watermark: &Watermark) -> Result<Self> {
        read.fields.retain(|field| read.key.contains(&field.api));
        read.what = What::DeletedSince(watermark.clone());
        read.filter = None;
        let mut deletions = Deletions::default();
        let mut pages = request.source.read(read);
        while let Some(page) = pages.next().await {
            let page = page?;
            deletions.calls += page.calls;
            deletions.gone.extend(page.gone);
            deletions.watermark = page.watermark.or(deletions.watermark);
        }
        Ok(deletions)
    }
}

/// The pages of a run, the first of which may be looked at before it is known whether the run goes on with them.
pub(super) struct Changes {
    pages: BoxStream<'static, Result<Page>>,
    first: Option<Page>,
}

impl Changes {
    pub(super) fn new(request: &Request, read: Read) -> Self {
        Changes { pages: request.source.read(read), first: None }
    }

    /// Waits for the first page, or the reason why there is none.
    pub(super) async fn look(&mut self) -> Result<()> {
        self.first = self.pages.next().await.transpose()?;
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Page>> {
        match self.first.take() {
            Some(page) => Ok(Some(page)),
            None => self.pages.next().await.transpose(),
        }
    }
}

/// What pages need on their way into a writer.
pub(super) struct Transfer<'a> {
    pub(super) object: &'a Object,
    pub(super) erased: Option<&'a Suppression>,
    pub(super) progress: &'a ProgressSender,
}

impl Transfer<'_> {
    /// Pulls every page into a writer. Not pulling is the backpressure.
    pub(super) async fn receive(
        &self,
        mut writer: Writer,
        deleted: Vec<Gone>,
        mut changes: Changes,
        run: &mut Run,
    ) -> Result<Received> {
        for gone in deleted {
            remove(&mut writer, gone, run).await?;
        }
        let (mut watermark, mut capped) = (None, false);
        let mut last_told = Instant::now();
        while let Some(page) = changes.next().await? {
            run.counts.read += page.rows.num_rows() as u64;
            run.counts.calls += page.calls;
            // A sample may be of a record that was erased.
            note_misfits(run, page.misfits, self.erased.is_none());
            watermark = page.watermark.or(watermark);
            capped |= page.capped;
            if let Some(gone) = page.gone {
                remove(&mut writer, gone, run).await?;
            }
            let (rows, left_out) = match self.erased {
                Some(erased) => erased.keep(page.rows)?,
                None => (page.rows, 0),
            };
            run.counts.erased += left_out;
            write(&mut writer, page.lane, rows).await?;
            if last_told.elapsed() >= PROGRESS_EVERY {
                last_told = Instant::now();
                tell(self.progress, self.object, format!("{} rows read", run.counts.read));
            }
        }
        Ok(Received { prepared: writer.prepare().await?, watermark, capped })
    }
}

async fn remove(writer: &mut Writer, gone: Gone, run: &mut Run) -> Result<()> {
    let count = |is: fn(&Why) -> bool| gone.why.iter().filter(|why| is(why)).count() as u64;
    run.counts.merged += count(|why| matches!(why, Why::MergedInto(_)));
    run.counts.left_filter += count(|why| matches!(why, Why::LeftFilter));
    if gone.keys.num_rows() == 0 { Ok(()) } else { writer.delete(gone.keys).await }
}

async fn write(writer: &mut Writer, lane: usize, rows: arrow::record_batch::RecordBatch) -> Result<()> {
    if rows.num_rows() == 0 { Ok(()) } else { writer.write(lane, rows).await }
}

/// Counts values that were kept as NULL and keeps one sample per field in the warnings.
fn note_misfits(run: &mut Run, misfits: Vec<Misfit>, quote: bool) {
    for misfit in misfits {
        run.counts.misfits += misfit.count;
        let prefix = format!("field `{}` has values that do not fit its type", misfit.field);
        if !run.counts.warnings.iter().any(|warning| warning.starts_with(&prefix)) {
            let sample = if quote { format!(", for example `{}`", misfit.sample) } else { String::new() };
            run.counts.warnings.push(format!("{prefix} and read NULL{sample}"));
        }
    }
}
