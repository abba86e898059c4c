//! From the pages of a source into a writer: first what is gone, then what is there.

use std::time::{Duration, Instant};

use arrow::array::{Array, RecordBatch};
use arrow::util::display::array_value_to_string;
use futures::StreamExt;
use futures::stream::BoxStream;

use super::erased::Suppression;
use super::kept::{Keeper, Replay};
use super::prune::Told;
use super::run::tell;
use super::{Live, ProgressSender, Request};
use crate::error::Result;
use crate::model::{MisfitCount, Object, Quarantined, Run};
use crate::snapshot::{Prepared, Writer};
use crate::source::{Gone, Misfit, Page, Read, Watermark, What};

/// The least time between two messages of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// Rows set aside that are kept of one run.
const QUARANTINED: usize = 100;
/// Requests that are kept of one run.
const REQUESTS: usize = 8;
/// Characters that are kept of a value set aside.
const SHOWN_CHARS: usize = 200;

/// What a run received.
pub(super) struct Received {
    pub(super) prepared: Prepared,
    pub(super) watermark: Option<Watermark>,
    pub(super) capped: bool,
    /// What the source said of records that are gone.
    pub(super) told: Told,
    /// Rows that were set aside.
    pub(super) quarantined: Vec<Quarantined>,
}

/// What was deleted at the source, read before anything is written: it may turn out that only a full read can tell.
#[derive(Default)]
pub(super) struct Deletions {
    pub(super) gone: Vec<Gone>,
    pub(super) watermark: Option<Watermark>,
    /// Calls of the source's API that it took.
    pub(super) calls: u64,
    /// What was asked for.
    pub(super) asked: Vec<String>,
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
            deletions.asked.extend(page.asked);
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
    /// What an earlier run read of it.
    earlier: Option<Replay>,
    /// What comes before, without being part of it.
    more: Option<BoxStream<'static, Result<Page>>>,
}

impl Changes {
    pub(super) fn new(request: &Request, read: Read) -> Self {
        Changes { pages: request.source.read(read), first: None, earlier: None, more: None }
    }

    /// Waits for the first page, or the reason why there is none.
    pub(super) async fn look(&mut self) -> Result<()> {
        self.first = self.pages.next().await.transpose()?;
        Ok(())
    }

    /// These pages follow those of an earlier run.
    pub(super) fn after(self, earlier: Option<Replay>) -> Self {
        Changes { earlier, ..self }
    }

    /// Reads something else first: its rows count like these, and nothing else of it does.
    pub(super) fn behind(self, request: &Request, read: Option<Read>) -> Self {
        Changes { more: read.map(|read| request.source.read(read)), ..self }
    }

    async fn next(&mut self) -> Result<Option<Page>> {
        match self.first.take() {
            Some(page) => Ok(Some(page)),
            None => self.pages.next().await.transpose(),
        }
    }
}

/// What was taken of the pages so far, beside their rows.
struct Taken {
    told: Told,
    quarantined: Vec<Quarantined>,
    watermark: Option<Watermark>,
    capped: bool,
    last_told: Instant,
}

/// What pages need on their way into a writer.
pub(super) struct Transfer<'a> {
    pub(super) object: &'a Object,
    pub(super) erased: Option<&'a Suppression>,
    pub(super) progress: &'a ProgressSender,
    pub(super) live: &'a Live,
    /// Whether records that are told to be gone are removed.
    pub(super) removes: bool,
}

impl Transfer<'_> {
    /// Pulls every page into a writer. Not pulling is the backpressure.
    pub(super) async fn receive(
        &self,
        mut writer: Writer,
        deleted: Vec<Gone>,
        changes: Changes,
        mut keeper: Option<Keeper>,
        run: &mut Run,
    ) -> Result<Received> {
        let (told, quarantined, last_told) = (Told::default(), Vec::new(), Instant::now());
        let mut taken = Taken { told, quarantined, watermark: None, capped: false, last_told };
        for gone in deleted {
            self.remove(&mut writer, gone, &mut taken.told).await?;
        }
        if let Err(error) = self.take(&mut writer, changes, keeper.as_mut(), &mut taken, run).await {
            let kept = match keeper {
                Some(keeper) => keeper.stop().await,
                None => None,
            };
            if let Some(kept) = kept {
                run.counts
                    .warnings
                    .push(format!("{kept} records are kept: the next sync within a day goes on from there"));
            }
            return Err(error);
        }
        let Taken { told, quarantined, watermark, capped, .. } = taken;
        Ok(Received { prepared: writer.prepare().await?, watermark, capped, told, quarantined })
    }

    async fn take(
        &self,
        writer: &mut Writer,
        mut changes: Changes,
        mut keeper: Option<&mut Keeper>,
        taken: &mut Taken,
        run: &mut Run,
    ) -> Result<()> {
        if let Some(mut earlier) = changes.earlier.take() {
            let misfits = earlier.begin(run);
            note_misfits(run, misfits, self.erased.is_none());
            while let Some(rows) = earlier.next().await? {
                self.take_page(writer, Page::of(0, rows), None, taken, run).await?;
            }
        }
        if let Some(mut more) = changes.more.take() {
            while let Some(page) = more.next().await.transpose()? {
                let page = Page { watermark: None, ..page };
                self.take_page(writer, page, None, taken, run).await?;
            }
        }
        while let Some(page) = changes.next().await? {
            if let Some(keeper) = &mut keeper {
                keeper.page(&page, run).await;
            }
            self.take_page(writer, page, keeper.as_deref_mut(), taken, run).await?;
        }
        Ok(())
    }

    async fn take_page(
        &self,
        writer: &mut Writer,
        page: Page,
        keeper: Option<&mut Keeper>,
        taken: &mut Taken,
        run: &mut Run,
    ) -> Result<()> {
        run.counts.read += page.rows.num_rows() as u64;
        run.counts.calls += page.calls;
        note_requests(run, page.asked);
        self.live.note(run);
        // A sample may be of a record that was erased.
        note_misfits(run, page.misfits, self.erased.is_none());
        taken.watermark = page.watermark.or(taken.watermark.take());
        taken.capped |= page.capped;
        if let Some(gone) = page.gone {
            self.remove(writer, gone, &mut taken.told).await?;
        }
        self.set_aside(&page.rows, run, &mut taken.quarantined);
        let (rows, left_out) = match self.erased {
            Some(erased) => erased.keep(page.rows)?,
            None => (page.rows, 0),
        };
        run.counts.erased += left_out;
        if let Some(keeper) = keeper {
            keeper.rows(&rows);
        }
        write(writer, page.lane, rows).await?;
        if taken.last_told.elapsed() >= PROGRESS_EVERY {
            taken.last_told = Instant::now();
            tell(self.progress, self.object, format!("{} rows read", run.counts.read));
        }
        Ok(())
    }

    async fn remove(&self, writer: &mut Writer, gone: Gone, told: &mut Told) -> Result<()> {
        if !self.removes || gone.keys.num_rows() == 0 {
            return Ok(());
        }
        told.note(&gone);
        writer.delete(gone.keys).await
    }

    /// Keeps some of the rows whose key has a NULL, for people to look at. A record that was erased may be among them,
    /// so that none is kept once somebody was.
    fn set_aside(&self, rows: &RecordBatch, run: &Run, quarantined: &mut Vec<Quarantined>) {
        if self.erased.is_some() {
            return;
        }
        let key = self.object.key();
        let columns: Vec<_> = key.iter().filter_map(|name| rows.column_by_name(name)).collect();
        if columns.iter().all(|column| column.null_count() == 0) {
            return;
        }
        let lacks_key = |row: &usize| columns.iter().any(|column| column.is_null(*row));
        let room = QUARANTINED - quarantined.len();
        for row in (0..rows.num_rows()).filter(lacks_key).take(room) {
            let empty: Vec<_> = key
                .iter()
                .zip(&columns)
                .filter(|(_, column)| column.is_null(row))
                .map(|(name, _)| name.as_str())
                .collect();
            quarantined.push(Quarantined {
                run_id: run.id,
                object_id: self.object.id.clone(),
                reason: format!("key field {} is empty", empty.join(", ")),
                record: record(rows, row),
            });
        }
    }
}

/// A row as a JSON object. Long values are cut.
pub(super) fn record(rows: &RecordBatch, row: usize) -> String {
    let value = |column: &dyn Array| {
        let text = column.is_valid(row).then(|| array_value_to_string(column, row).unwrap_or_default());
        serde_json::Value::from(text.map(|text| text.chars().take(SHOWN_CHARS).collect::<String>()))
    };
    let schema = rows.schema();
    let fields = schema.fields().iter().zip(rows.columns());
    serde_json::Value::Object(fields.map(|(field, column)| (field.name().clone(), value(column))).collect())
        .to_string()
}

/// Keeps what the source was asked for.
pub(super) fn note_requests(run: &mut Run, asked: Vec<String>) {
    for request in asked {
        if run.counts.requests.len() < REQUESTS && !run.counts.requests.contains(&request) {
            run.counts.requests.push(request);
        }
    }
}

async fn write(writer: &mut Writer, lane: usize, rows: RecordBatch) -> Result<()> {
    if rows.num_rows() == 0 { Ok(()) } else { writer.write(lane, rows).await }
}

/// Counts values that were kept as NULL and keeps one sample per field in the warnings.
pub(super) fn note_misfits(run: &mut Run, misfits: Vec<Misfit>, quote: bool) {
    for misfit in misfits {
        run.counts.misfits += misfit.count;
        match run.counts.misfits_of.iter_mut().find(|known| known.field == misfit.field) {
            Some(known) => known.count += misfit.count,
            None => run.counts.misfits_of.push(MisfitCount {
                field: misfit.field.clone(),
                count: misfit.count,
                sample: quote.then(|| misfit.sample.clone()),
            }),
        }
        let prefix = format!("field `{}` has values that do not fit its type", misfit.field);
        if !run.counts.warnings.iter().any(|warning| warning.starts_with(&prefix)) {
            let sample = if quote { format!(", for example `{}`", misfit.sample) } else { String::new() };
            run.counts.warnings.push(format!("{prefix} and read NULL{sample}"));
        }
    }
}
