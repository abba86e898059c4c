//! A table as a sync would keep it, without the table: rows by key, fed by full reads and diffs.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::array_value_to_string;
use futures::StreamExt;
use tributary::error::{Error, Kind};
use tributary::model::Filter;
use tributary::source::{Expected, Page, Read, ReadField, Resume, Source, Watermark, What, Why};

/// Rows by key: the values of the other fields as text.
pub(crate) type Table = BTreeMap<String, Vec<Option<String>>>;

/// What one sync did.
#[derive(Debug, Default)]
pub(crate) struct Synced {
    pub(crate) rows: u64,
    pub(crate) calls: u64,
    pub(crate) expected: Option<Expected>,
    pub(crate) is_full: bool,
    pub(crate) misfits: u64,
    pub(crate) merged: Vec<(String, String)>,
    pub(crate) left_filter: u64,
    pub(crate) is_capped: bool,
}

/// One object, kept up by reading its source.
pub(crate) struct Replica {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) object: String,
    pub(crate) fields: Vec<String>,
    pub(crate) filter: Option<Filter>,
    pub(crate) max_rows: Option<u64>,
    pub(crate) table: Table,
    since: Option<Watermark>,
    deleted: Option<Watermark>,
}

impl Replica {
    /// The first of `fields` is the key.
    pub(crate) fn new(source: Arc<dyn Source>, object: &str, fields: &[&str]) -> Self {
        Replica {
            source,
            object: object.into(),
            fields: fields.iter().map(ToString::to_string).collect(),
            filter: None,
            max_rows: None,
            table: Table::new(),
            since: None,
            deleted: None,
        }
    }

    pub(crate) async fn read(&self, what: What) -> Result<Read, Error> {
        let infos = self.source.fields(&self.object).await?;
        let only_key = matches!(what, What::DeletedSince(_) | What::Keys);
        let names = self.fields.iter().take(if only_key { 1 } else { usize::MAX });
        let field = |name: &String| {
            let info =
                infos.iter().find(|info| info.api == *name).unwrap_or_else(|| panic!("no field {name}"));
            ReadField { api: name.clone(), name: name.to_lowercase(), data_type: info.data_type.clone() }
        };
        Ok(Read {
            object: self.object.clone(),
            fields: names.map(field).collect(),
            key: vec![self.fields[0].clone()],
            what,
            cursor: None,
            filter: self.filter.clone().filter(|_| !only_key),
            max_rows: self.max_rows,
            expected_rows: None,
            resume: Resume::Never,
        })
    }

    /// As a sync does: first it asks what the read will take.
    pub(crate) async fn pages(&self, what: What, synced: &mut Synced) -> Result<Vec<Page>, Error> {
        let mut wanted = self.read(what).await?;
        if let Some(expected) = self.source.expect(&wanted).await? {
            wanted.expected_rows = Some(expected.rows);
            synced.expected = Some(expected);
            synced.calls += expected.spent;
        }
        let mut pages = self.source.read(wanted);
        let mut read = Vec::new();
        while let Some(page) = pages.next().await {
            read.push(page?);
        }
        Ok(read)
    }

    /// Reads everything. Nothing changes when that fails.
    pub(crate) async fn full(&mut self) -> Result<Synced, Error> {
        let mut synced = Synced { is_full: true, ..Synced::default() };
        let pages = self.pages(What::Full, &mut synced).await?;
        assert!(pages.iter().all(|page| page.gone.is_none()), "a full read tells nobody gone");
        let mut table = Table::new();
        self.take(pages, &mut table, &mut synced);
        if !synced.is_capped {
            self.deleted = None;
        }
        self.table = table;
        Ok(synced)
    }

    /// Reads deletions, then changes; everything where the source says that it must be.
    pub(crate) async fn diff(&mut self) -> Result<Synced, Error> {
        let Some(since) = self.since.clone() else { return self.full().await };
        let can = self.source.can(&self.object).await?;
        assert!(can.since, "{} has changes", self.object);
        let mut synced = Synced::default();
        let mut table = self.table.clone();
        if can.deleted {
            let from = self.deleted.clone().unwrap_or_else(|| since.clone());
            match self.pages(What::DeletedSince(from), &mut synced).await {
                Err(error) if error.kind() == Kind::Unsupported => return self.full().await,
                pages => {
                    for page in pages? {
                        synced.calls += page.calls;
                        self.deleted = page.watermark.clone().or(self.deleted.take());
                        self.remove(&page, &mut table, &mut synced);
                    }
                }
            }
        }
        let pages = match self.pages(What::Since(since), &mut synced).await {
            Err(error) if error.kind() == Kind::Unsupported => return self.full().await,
            pages => pages?,
        };
        self.take(pages, &mut table, &mut synced);
        self.table = table;
        Ok(synced)
    }

    fn remove(&self, page: &Page, table: &mut Table, synced: &mut Synced) {
        let Some(gone) = &page.gone else { return };
        assert_eq!(gone.keys.num_rows(), gone.why.len());
        for (row, why) in gone.why.iter().enumerate() {
            let key = text(&gone.keys, 0, row).expect("a key");
            table.remove(&key);
            match why {
                Why::MergedInto(into) => synced.merged.push((key, into.clone())),
                Why::LeftFilter => synced.left_filter += 1,
                Why::Deleted => {}
            }
        }
    }

    fn take(&mut self, pages: Vec<Page>, table: &mut Table, synced: &mut Synced) {
        for page in pages {
            self.remove(&page, table, synced);
            synced.misfits += page.misfits.iter().map(|misfit| misfit.count).sum::<u64>();
            synced.is_capped |= page.capped;
            synced.calls += page.calls;
            synced.rows += page.rows.num_rows() as u64;
            for row in 0..page.rows.num_rows() {
                let values =
                    (1..page.rows.num_columns()).map(|column| text(&page.rows, column, row)).collect();
                table.insert(text(&page.rows, 0, row).expect("a key"), values);
            }
            self.since = page.watermark.or(self.since.take());
        }
    }
}

/// A value as text; numbers without zeros that mean nothing.
fn text(batch: &RecordBatch, column: usize, row: usize) -> Option<String> {
    let array = batch.column(column);
    let text = array.is_valid(row).then(|| array_value_to_string(array, row).unwrap())?;
    let is_decimal = matches!(array.data_type(), arrow::datatypes::DataType::Decimal128(..));
    Some(if is_decimal { plain(&text) } else { text })
}

/// A decimal number without zeros behind its point that mean nothing.
pub(crate) fn plain(number: &str) -> String {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => number.to_string(),
    }
}
