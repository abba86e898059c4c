//! From what was read to the pages of a read: the filter applied, rows counted, small pages put together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{concat_batches, filter_record_batch, not};
use arrow::datatypes::{Field, Schema, SchemaRef};
use tokio::sync::mpsc;

use super::cell::{Cell, Column};
use super::part::Lost;
use crate::error::{Error, Result};
use crate::source::condition::mask;
use crate::source::{Bookmark, Gone, Misfit, Page, Read, ReadField, Watermark, What, Why};

/// Rows of one page, at least, where the source's own pages are smaller.
const PAGE_ROWS: usize = 2_000;

/// Requests of a read that are told, and characters of one.
const REQUESTS: usize = 2;
const REQUEST_CHARS: usize = 4_000;

/// Takes what was read, page by page.
pub(crate) struct Out<'a> {
    pages: &'a mpsc::Sender<Result<Page>>,
    read: &'a Read,
    /// What is read: the fields of the read, and those that its filter needs besides.
    fields: &'a [ReadField],
    schema: SchemaRef,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    /// Where a later read goes on that has everything before what is waiting.
    begins: Option<Bookmark>,
    /// The same before what is taken next.
    place: Option<Bookmark>,
    has_taken: bool,
    misfits: Vec<Misfit>,
    given: u64,
    is_capped: bool,
    /// Calls of the read, and how many of them were told.
    spent: &'a AtomicU64,
    told: u64,
    /// Requests that are to be told, and how many were.
    asked: Vec<String>,
    requests: usize,
}

impl<'a> Out<'a> {
    pub(crate) fn new(
        pages: &'a mpsc::Sender<Result<Page>>,
        read: &'a Read,
        fields: &'a [ReadField],
        spent: &'a AtomicU64,
    ) -> Self {
        let columns = fields.iter().map(|field| Field::new(&field.name, field.data_type.arrow(), true));
        let schema = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
        Out {
            pages,
            read,
            fields,
            schema,
            waiting: Vec::new(),
            waiting_rows: 0,
            begins: None,
            place: None,
            has_taken: false,
            misfits: Vec::new(),
            given: 0,
            is_capped: false,
            spent,
            told: 0,
            asked: Vec::new(),
            requests: 0,
        }
    }

    /// Notes what the source is asked for; the first requests of a read tell enough.
    pub(crate) fn asks(&mut self, told: impl FnOnce() -> String) {
        if self.requests < REQUESTS {
            self.requests += 1;
            self.asked.push(told().chars().take(REQUEST_CHARS).collect());
        }
    }

    /// Notes where a later read goes on that has everything taken so far.
    pub(crate) fn at(&mut self, place: Option<Bookmark>) {
        self.place = place;
    }

    /// Whether anything was taken.
    pub(crate) fn has_taken(&self) -> bool {
        self.has_taken
    }

    /// Takes rows, and records that are gone. False when no more are wanted.
    pub(crate) async fn take(
        &mut self,
        columns: Vec<ArrayRef>,
        rows: usize,
        misfits: Vec<Misfit>,
        lost: &[Lost],
    ) -> Result<bool> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch =
            RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(unfit)?;
        self.note(misfits);
        let is_diff = !matches!(self.read.what, What::Full | What::Keys | What::Get(_));
        let mut gone = if is_diff { self.gone(lost)? } else { None };
        let mut kept = batch;
        if let Some(filter) = &self.read.filter {
            let place = |api: &str| self.fields.iter().position(|field| field.api == api);
            let mask = mask(filter, &kept, &place);
            if is_diff {
                gone = joined(gone, self.left(&kept, &mask)?)?;
            }
            kept = filter_record_batch(&kept, &mask).map_err(unfit)?;
        }
        let wanted: Vec<usize> = (0..self.read.fields.len()).collect();
        kept = kept.project(&wanted).map_err(unfit)?;
        if let Some(max) = self.read.max_rows {
            let room = usize::try_from(max.saturating_sub(self.given)).unwrap_or(usize::MAX);
            self.is_capped = kept.num_rows() > room;
            kept = kept.slice(0, kept.num_rows().min(room));
        }
        self.given += kept.num_rows() as u64;
        if gone.is_some() {
            // What is gone was gone before these rows were there.
            self.flush(None).await?;
        }
        // In the middle of a page of the source nobody can go on.
        let place = self.place.take();
        self.has_taken = true;
        if self.waiting.is_empty() {
            self.begins = place;
        }
        self.waiting_rows += kept.num_rows();
        self.waiting.push(kept);
        if gone.is_some() || self.waiting_rows >= PAGE_ROWS {
            self.flush(gone).await?;
        }
        Ok(!self.is_capped)
    }

    /// Ends the read with where the next diff starts.
    pub(crate) async fn end(mut self, watermark: Option<Watermark>) -> Result<()> {
        self.flush(None).await?;
        let rows = RecordBatch::new_empty(self.read.schema());
        let capped = self.is_capped;
        let watermark = watermark.filter(|_| !capped);
        self.send(Page { watermark, capped, ..Page::of(0, rows) }).await;
        Ok(())
    }

    /// Ends a read that broke off: what can be gone on after is handed over, with the place.
    pub(crate) async fn break_off(&mut self) -> Result<()> {
        let place = self.place.take();
        // The error of the first page is the first thing to be told.
        if !self.has_taken {
            return Ok(());
        }
        if place.is_some() {
            self.flush(None).await?;
        }
        if let Some(from) = place.or_else(|| self.begins.take()) {
            let rows = RecordBatch::new_empty(self.read.schema());
            self.send(Page { from: Some(from), ..Page::of(0, rows) }).await;
        }
        Ok(())
    }

    async fn flush(&mut self, gone: Option<Gone>) -> Result<()> {
        self.waiting_rows = 0;
        if self.waiting.is_empty() && gone.is_none() {
            return Ok(());
        }
        let rows = match self.waiting.len() {
            1 => self.waiting.remove(0),
            _ => concat_batches(&self.read.schema(), &self.waiting).map_err(unfit)?,
        };
        self.waiting.clear();
        let misfits = std::mem::take(&mut self.misfits);
        let from = self.begins.take();
        self.send(Page { gone, misfits, from, ..Page::of(0, rows) }).await;
        Ok(())
    }

    async fn send(&mut self, page: Page) {
        let spent = self.spent.load(Ordering::Relaxed);
        let asked = std::mem::take(&mut self.asked);
        let page = Page { calls: spent - self.told, asked, ..page };
        self.told = spent;
        // When nobody listens any more, this task is about to be aborted.
        self.pages.send(Ok(page)).await.ok();
    }

    fn note(&mut self, misfits: Vec<Misfit>) {
        for misfit in misfits {
            match self.misfits.iter_mut().find(|known| known.field == misfit.field) {
                Some(known) => known.count += misfit.count,
                None => self.misfits.push(misfit),
            }
        }
    }

    fn key_fields(&self) -> impl Iterator<Item = (usize, &ReadField)> {
        let place = |api: &String| self.fields.iter().position(|field| field.api == *api);
        self.read.key.iter().filter_map(place).map(|at| (at, &self.fields[at]))
    }

    fn key_schema(&self) -> SchemaRef {
        let field = |(_, field): (usize, &ReadField)| Field::new(&field.name, field.data_type.arrow(), true);
        Arc::new(Schema::new(self.key_fields().map(field).collect::<Vec<_>>()))
    }

    fn gone(&self, lost: &[Lost]) -> Result<Option<Gone>> {
        if lost.is_empty() {
            return Ok(None);
        }
        let mut columns = Vec::new();
        for (place, (_, field)) in self.key_fields().enumerate() {
            let mut column = Column::new(&field.name, &field.data_type, lost.len());
            lost.iter().for_each(|lost| column.append(lost.key.get(place).map(|text| Cell::Csv(text))));
            columns.push(column.finish().0);
        }
        let why = lost.iter().map(|lost| match &lost.merged_into {
            Some(into) => Why::MergedInto(into.clone()),
            None => Why::Deleted,
        });
        let keys = RecordBatch::try_new(self.key_schema(), columns).map_err(unfit)?;
        Ok(Some(Gone { keys, why: why.collect() }))
    }

    /// The rows that the filter does not hold for.
    fn left(&self, batch: &RecordBatch, mask: &BooleanArray) -> Result<Option<Gone>> {
        let places: Vec<_> = self.key_fields().map(|(place, _)| place).collect();
        let keys = batch.project(&places).map_err(unfit)?;
        let keys = filter_record_batch(&keys, &not(mask).map_err(unfit)?).map_err(unfit)?;
        let why = vec![Why::LeftFilter; keys.num_rows()];
        Ok((keys.num_rows() > 0).then_some(Gone { keys, why }))
    }
}

fn joined(one: Option<Gone>, other: Option<Gone>) -> Result<Option<Gone>> {
    Ok(match (one, other) {
        (Some(mut one), Some(other)) => {
            one.keys = concat_batches(&one.keys.schema(), [&one.keys, &other.keys]).map_err(unfit)?;
            one.why.extend(other.why);
            Some(one)
        }
        (one, other) => one.or(other),
    })
}

fn unfit(error: arrow::error::ArrowError) -> Error {
    Error::internal("rows that were read do not fit together").with_source(error)
}
