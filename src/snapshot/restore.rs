//! Going back: the rows, the watermark and the columns of an earlier version become the newest.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::delta::{Entries, FileAction, TableState};
use super::log::{self, Landed};
use super::plan::remove;
use super::prepared::ATTEMPTS;
use super::table::Table;
use super::version::{Snapshot, TableFile};
use crate::error::{Error, Kind, Result};
use crate::model::now_micros;

impl Table {
    /// Makes what version `version` holds the newest version again, with its watermark, under the given run and fence.
    /// Nothing is rewritten: the commit names the files of then. A table that has those rows already stays as it is.
    ///
    /// # Errors
    /// `NotFound` for a version that does not exist, `Conflict` when a newer fence has written.
    pub async fn restore(&self, version: i64, run_id: i64, fence: i64) -> Result<Arc<Snapshot>> {
        let shared = self.shared();
        for attempt in 1..=ATTEMPTS {
            let old = self.at(version).await?;
            let Some(newest) = shared.refresh().await? else {
                return Err(Error::internal("a table with versions has none"));
            };
            if newest.content() == old.content() {
                return Ok(newest);
            }
            if fence < newest.fence() {
                let what = format!("`{}` was meanwhile written by another worker", shared.folder.name);
                return Err(
                    Error::new(Kind::Conflict, what).with_hint("look at its newest run, then try again")
                );
            }
            let next = newest.version() + 1;
            match log::commit(&shared.folder, next, entries(&newest, &old, run_id, fence)?).await? {
                Landed::Ours => return shared.committed(next).await,
                Landed::Lost => {
                    let pause = rand::random_range(0..=10 * attempt.min(20));
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            }
        }
        let what = format!("`{}` is written by others all the time", shared.folder.name);
        Err(Error::new(Kind::Conflict, what).with_hint("try again"))
    }
}

fn entries(newest: &Snapshot, old: &Snapshot, run_id: i64, fence: i64) -> Result<Entries> {
    let state = TableState {
        run: run_id,
        fence,
        timestamp_ntz: newest.state.timestamp_ntz || old.state.timestamp_ntz,
        content: None,
        swept: newest.state.swept,
        ..old.state.clone()
    };
    let mut entries = Entries::new("RESTORE", now_micros());
    if newest.state.columns != state.columns {
        entries.metadata(&state.table, &state.columns);
    }
    entries.state(&state)?;
    let place = |file: &Arc<TableFile>| {
        (file.path.clone(), file.deleted.as_ref().map(|deleted| deleted.descriptor.clone()))
    };
    let (had, has): (HashSet<_>, HashSet<_>) =
        (old.files.iter().map(place).collect(), newest.files.iter().map(place).collect());
    newest
        .files
        .iter()
        .filter(|file| !had.contains(&place(file)))
        .for_each(|file| remove(&mut entries, file));
    for file in old.files.iter().filter(|file| !has.contains(&place(file))) {
        entries.add(&FileAction {
            path: &file.path,
            size: file.size,
            modified: file.modified,
            stats: Some(&file.stats_text),
            deleted: file.deleted.as_ref().map(|deleted| &deleted.descriptor),
            checksums: file.checksums.as_deref(),
        });
    }
    Ok(entries)
}
