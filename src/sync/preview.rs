//! A look at the first records that a sync would read. Nothing is kept of them.

use futures::StreamExt;

use super::ahead::Ahead;
use super::erased::Suppression;
use super::transfer::record;
use super::{Request, Syncer};
use crate::error::{Error, Result};
use crate::source::{Read, What};

/// What a source gives for the definition of an object.
#[derive(Debug, Default)]
pub struct Preview {
    /// Records as JSON objects.
    pub records: Vec<String>,
    /// What is worth telling: what the source is told of the filter, fields that are gone.
    pub notes: Vec<String>,
}

impl Syncer {
    /// Reads at most `rows` records of the one object of a request.
    pub async fn preview(&self, request: &Request, rows: usize) -> Result<Preview> {
        let object = request.objects.first().ok_or_else(|| Error::internal("a preview of no object"))?;
        let ahead = Ahead::look(self, request, object).await?;
        let limit = Some(rows as u64);
        // So few that no source starts a job for them.
        let read = Read { what: What::Full, max_rows: limit, expected_rows: limit, ..ahead.read()? };
        let mut preview = Preview { notes: ahead.warnings.clone(), ..Preview::default() };
        preview.notes.extend(request.source.notes(&read).await?);
        let erasures = self.state.erasures_of(object.connection_id, &object.api).await?;
        let erased = Suppression::new(&self.digester, &ahead.object, &read.fields, erasures)?;
        let mut pages = request.source.read(read);
        while let Some(page) = pages.next().await {
            let found = match &erased {
                Some(erased) => erased.keep(page?.rows)?.0,
                None => page?.rows,
            };
            let room = rows - preview.records.len();
            preview.records.extend((0..found.num_rows().min(room)).map(|row| record(&found, row)));
            if preview.records.len() == rows {
                break;
            }
        }
        Ok(preview)
    }
}
