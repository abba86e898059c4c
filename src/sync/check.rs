//! Trying a definition before it is saved: how many records a filter leaves, whether fields tell records apart. The
//! source is asked; nothing is kept.

use std::collections::HashMap;

use futures::StreamExt;

use super::ahead::Ahead;
use super::transfer::record;
use super::{Request, Syncer};
use crate::error::{Error, Result};
use crate::source::{Read, What};

/// Records that are counted where the source counts none.
const MOST_COUNTED: u64 = 20_000;
/// Values that are shown of those that repeat.
const MOST_SHOWN: usize = 5;

/// What a filter leaves.
#[derive(Debug, Default)]
pub struct Matching {
    /// Records for which it holds.
    pub records: u64,
    /// Whether these are all of them and no others: else a part of the filter is checked after reading, or not all were
    /// counted.
    pub is_exact: bool,
    /// What the source is told.
    pub notes: Vec<String>,
}

/// How well fields tell records apart.
#[derive(Debug, Default)]
pub struct Uniqueness {
    /// Records that were looked at.
    pub records: u64,
    /// Whether these are all.
    pub is_all: bool,
    /// Records in which one of the fields is NULL.
    pub nulls: u64,
    /// Records whose values another one has, too.
    pub duplicates: u64,
    /// Some of the values that repeat, as JSON objects.
    pub repeated: Vec<String>,
}

impl Syncer {
    /// Counts the records of the one object of a request, for which its filter holds.
    pub async fn matching(&self, request: &Request) -> Result<Matching> {
        let read = self.whole(request).await?;
        let mut matching = Matching { notes: request.source.notes(&read).await?, ..Matching::default() };
        if let Some(expected) = request.source.expect(&read).await? {
            return Ok(Matching { records: expected.rows, is_exact: expected.is_exact, ..matching });
        }
        let fields = read.fields.iter().filter(|field| read.key.contains(&field.api)).cloned().collect();
        let counted = Some(MOST_COUNTED);
        let read = Read { fields, max_rows: counted, expected_rows: counted, ..read };
        let (mut pages, mut is_all) = (request.source.read(read), true);
        while let Some(page) = pages.next().await {
            let page = page?;
            matching.records += page.rows.num_rows() as u64;
            is_all &= !page.capped;
        }
        matching.is_exact = is_all && matching.records < MOST_COUNTED;
        Ok(matching)
    }

    /// Looks at the first `rows` records of the one object of a request: whether its key tells them apart.
    pub async fn uniqueness(&self, request: &Request, rows: u64) -> Result<Uniqueness> {
        let read = self.whole(request).await?;
        let fields = read.fields.iter().filter(|field| read.key.contains(&field.api)).cloned().collect();
        let read = Read { fields, max_rows: Some(rows), expected_rows: Some(rows), ..read };
        let (mut pages, mut found) =
            (request.source.read(read), Uniqueness { is_all: true, ..Uniqueness::default() });
        let mut seen: HashMap<String, u64> = HashMap::new();
        'pages: while let Some(page) = pages.next().await {
            let page = page?;
            found.is_all &= !page.capped;
            for row in 0..page.rows.num_rows() {
                if found.records == rows {
                    found.is_all = false;
                    break 'pages;
                }
                found.records += 1;
                match page.rows.columns().iter().any(|column| column.is_null(row)) {
                    true => found.nulls += 1,
                    false => *seen.entry(record(&page.rows, row)).or_default() += 1,
                }
            }
        }
        let mut repeated: Vec<_> = seen.into_iter().filter(|(_, count)| *count > 1).collect();
        repeated.sort();
        found.duplicates = repeated.iter().map(|(_, count)| count).sum();
        found.repeated = repeated.into_iter().take(MOST_SHOWN).map(|(values, _)| values).collect();
        Ok(found)
    }

    /// A read of everything that the one object of a request is to have.
    async fn whole(&self, request: &Request) -> Result<Read> {
        let object = request.objects.first().ok_or_else(|| Error::internal("a check of no object"))?;
        let ahead = Ahead::look(self, request, object).await?;
        Ok(Read { what: What::Full, max_rows: None, ..ahead.read()? })
    }
}
