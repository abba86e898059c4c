//! What a full read that breaks off leaves for the next one: its rows so far, and where the source goes on.
//!
//! Kept is only what can be made exact again. The next run has the rows of the first part as they were then, so it must
//! learn afterwards what changed and what was deleted since the first part began: of a source that does not tell both,
//! and of fields that change without anybody telling, nothing is kept.

use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;

use super::ahead::Ahead;
use super::plan::Mode;
use super::{Request, Syncer};
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, MisfitCount, ObjectField, Run, now_micros};
use crate::snapshot::{KeptRows, Table};
use crate::source::{Bookmark, Misfit, Page, Resume, What, fields_in};

/// For how long a read can be gone on with after it began.
const LIVES: Micros = 24 * 3_600_000_000;
/// Bytes in memory of the rows of one piece.
const PIECE_BYTES: usize = 8 << 20;
/// The least time between two pieces. Of a long read they become rarer.
const PIECE_EVERY: Duration = Duration::from_secs(2);
/// Into how many pieces a read is cut by time, about.
const PIECES: u32 = 100;

/// A part of a full read.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Kept {
    /// The run that read the end of it.
    pub(super) run: i64,
    /// When its beginning was read.
    began_at: Micros,
    /// What was asked for, of whom.
    request: String,
    /// Where the source goes on.
    pub(super) from: Bookmark,
    pieces: Vec<KeptRows>,
    /// Records received, those that were left out because they were erased among them.
    pub(super) read: u64,
    erased: u64,
    /// Calls that it took.
    pub(super) calls: u64,
    misfits: Vec<MisfitCount>,
}

impl Kept {
    /// What an earlier run left of the read that is next, which asks for `asked`.
    async fn find(ahead: &Ahead, asked: &str) -> Result<Option<Self>> {
        let names = ahead.table.kept_names().await?;
        let Some(newest) = names.iter().rfind(|name| name.ends_with(".json")) else { return Ok(None) };
        let kept: Kept = match ahead.table.kept(newest).await {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(object.name = %ahead.object.full_name(), ?error, "a part of a read is lost");
                return Ok(None);
            }
        };
        let is_young = now_micros().saturating_sub(kept.began_at) < LIVES;
        Ok(Some(kept).filter(|kept| is_young && kept.request == asked))
    }

    /// What is told to people.
    pub(super) fn told(&self) -> String {
        format!("goes on with run {}, which broke off after {} records", self.run, self.read)
    }
}

/// What becomes of the rows of a read that breaks off.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// What is asked for, where its rows are worth keeping.
    pub(super) asked: Option<String>,
    /// What an earlier run left of it.
    pub(super) kept: Option<Kept>,
}

impl Keeping {
    /// Looks what there is for the read that is next.
    pub(super) async fn look(syncer: &Syncer, request: &Request, ahead: &Ahead) -> Result<Self> {
        if !may_keep(ahead, request) {
            return Ok(Keeping::default());
        }
        let asked = asked(syncer, ahead).await?;
        let kept = Kept::find(ahead, &asked).await?;
        Ok(Keeping { asked: Some(asked), kept })
    }

    /// How the read is to be begun.
    pub(super) fn resume(&self) -> Resume {
        match (&self.asked, &self.kept) {
            (None, _) => Resume::Never,
            (Some(_), None) => Resume::Begin,
            (Some(_), Some(kept)) => Resume::From(kept.from.clone()),
        }
    }
}

/// Whether an error of the first page says that the source does not go on from where it was told to.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unsupported | Kind::Data | Kind::NotFound | Kind::Invalid)
}

/// What a read asks for, of whom: only a read of exactly the same is gone on with.
async fn asked(syncer: &Syncer, ahead: &Ahead) -> Result<String> {
    let read = ahead.read()?;
    let connections = syncer.state.connections().await?;
    let connection = connections.iter().find(|connection| connection.id == ahead.object.connection_id);
    let login =
        connection.map(|connection| (&connection.account, &connection.identity, &connection.settings));
    let fields: Vec<_> =
        read.fields.iter().map(|field| (&field.api, &field.name, field.data_type.to_string())).collect();
    let filter = ahead.object.import.filter.as_deref();
    let filter = filter.map(|text| crate::filter::by_source_names(text, &ahead.object.fields));
    let version = env!("CARGO_PKG_VERSION");
    Ok(serde_json::json!([version, login, read.object, fields, read.key, filter, read.cursor]).to_string())
}

/// Whether the read that is next can be made exact again after it broke off.
fn may_keep(ahead: &Ahead, request: &Request) -> bool {
    let object = &ahead.object;
    let Ok(read) = ahead.read() else { return false };
    let mut filtered = Vec::new();
    read.filter.iter().for_each(|filter| fields_in(filter, &mut filtered));
    let is_read = |field: &ObjectField| field.selected || filtered.contains(&field.api.as_str());
    let is_volatile = object.fields.iter().any(|field| field.volatile && is_read(field));
    ahead.plan.what == What::Full
        && ahead.can.since
        && ahead.can.deleted
        && object.import.cursor.is_some()
        && object.import.max_rows.is_none()
        && !ahead.spec.key.is_empty()
        // A diff leaves such fields as they were read last; whoever asks for more gets them of one read.
        && (!is_volatile || request.mode == Mode::Diff)
}

/// Keeps the rows of a read while it goes on. That something cannot be kept is no reason to end it.
pub(super) struct Keeper {
    table: Table,
    fence: i64,
    kept: Kept,
    /// Calls of the runs before.
    calls: u64,
    /// Rows up to the newest place that are not in a piece.
    ready: Vec<RecordBatch>,
    /// Rows after the newest place.
    open: Vec<RecordBatch>,
    began: Instant,
    written: Instant,
    is_broken: bool,
}

impl Keeper {
    /// Goes on with what is kept, if anything is.
    pub(super) fn new(table: Table, fence: i64, run: i64, asked: String, kept: Option<Kept>) -> Self {
        let nothing = Kept {
            run,
            began_at: now_micros(),
            request: asked,
            from: Bookmark(serde_json::Value::Null),
            pieces: Vec::new(),
            read: 0,
            erased: 0,
            calls: 0,
            misfits: Vec::new(),
        };
        let kept = Kept { run, ..kept.unwrap_or(nothing) };
        let now = Instant::now();
        Keeper {
            table,
            fence,
            calls: kept.calls,
            kept,
            ready: Vec::new(),
            open: Vec::new(),
            began: now,
            written: now,
            is_broken: false,
        }
    }

    /// Takes note of a page before it is counted in `run`.
    pub(super) async fn page(&mut self, page: &Page, run: &Run) {
        let Some(from) = &page.from else { return };
        self.kept.from = from.clone();
        self.kept.read = run.counts.read;
        self.kept.erased = run.counts.erased;
        self.kept.calls = self.calls + run.counts.calls;
        self.kept.misfits.clone_from(&run.counts.misfits_of);
        self.ready.append(&mut self.open);
        let bytes: usize = self.ready.iter().map(RecordBatch::get_array_memory_size).sum();
        let pause = PIECE_EVERY.max(self.began.elapsed() / PIECES);
        if bytes >= PIECE_BYTES || self.written.elapsed() >= pause {
            self.write().await;
        }
    }

    /// Takes rows of the page.
    pub(super) fn rows(&mut self, rows: &RecordBatch) {
        if !self.is_broken && rows.num_rows() > 0 {
            self.open.push(rows.clone());
        }
    }

    /// Keeps what there is, because the read broke off. How many records the next run need not read.
    pub(super) async fn stop(mut self) -> Option<u64> {
        self.write().await;
        (!self.is_broken && !self.kept.pieces.is_empty()).then_some(self.kept.read)
    }

    async fn write(&mut self) {
        // Nothing is gone on with after nothing.
        if self.is_broken || self.ready.is_empty() {
            return;
        }
        if let Err(error) = self.try_write().await {
            tracing::warn!(run.id = self.kept.run, ?error, "what was read cannot be kept for a later run");
            self.is_broken = true;
            self.ready.clear();
            self.open.clear();
        }
        self.written = Instant::now();
    }

    async fn try_write(&mut self) -> Result<()> {
        let name = format!("{:020}-{:06}.arrow", self.fence, self.kept.pieces.len());
        let ready = std::mem::take(&mut self.ready);
        self.kept.pieces.push(self.table.keep_rows(&name, &ready).await?);
        self.table.keep(&format!("{:020}.json", self.fence), &self.kept).await
    }
}

/// The rows that are kept, as pages.
pub(super) struct Replay {
    table: Table,
    kept: Kept,
    pieces: std::vec::IntoIter<KeptRows>,
    batches: std::vec::IntoIter<RecordBatch>,
}

impl Replay {
    pub(super) fn new(table: Table, kept: Kept) -> Self {
        let pieces = kept.pieces.clone().into_iter();
        Replay { table, kept, pieces, batches: Vec::new().into_iter() }
    }

    /// Counts what was left out of the pieces, or is not in them.
    pub(super) fn begin(&mut self, run: &mut Run) -> Vec<Misfit> {
        run.counts.read += self.kept.erased;
        run.counts.erased += self.kept.erased;
        let misfit = |misfit: MisfitCount| Misfit {
            field: misfit.field,
            count: misfit.count,
            sample: misfit.sample.unwrap_or_default(),
        };
        std::mem::take(&mut self.kept.misfits).into_iter().map(misfit).collect()
    }

    /// The next rows.
    ///
    /// # Errors
    /// `Corrupt` when a piece is damaged; then nothing is kept any more, so that the next run reads anew.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.batches.next() {
                return Ok(Some(batch));
            }
            let Some(piece) = self.pieces.next() else { return Ok(None) };
            match self.table.kept_rows(&piece).await {
                Ok(batches) => self.batches = batches.into_iter(),
                Err(error) => {
                    self.table.drop_kept().await?;
                    return Err(error);
                }
            }
        }
    }
}
