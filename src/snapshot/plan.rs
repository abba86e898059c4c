//! The files of a version to be: what a merge, a comparison or a compaction writes and takes away.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use object_store::ObjectStoreExt;
use roaring::RoaringTreemap;

use super::delta::{Entries, FileAction};
use super::dv::{Deleted, VectorFile};
use super::failure;
use super::lane::{FILE_ROWS, Layout};
use super::parquet_write::{FileWriter, NewFile};
use super::sorted::Location;
use super::spec::Counts;
use super::tuning::Tuning;
use super::version::TableFile;
use crate::error::Result;

/// What happens to a file of the table.
pub(crate) enum FileChange {
    /// More of its rows are deleted.
    Vector(Arc<Deleted>),
    /// None of its rows is left.
    Remove,
}

/// A change worked out against one version, its files written.
#[derive(Default)]
pub(crate) struct Plan {
    /// Everything the table has now goes, and what was staged takes its place.
    pub(crate) replaces: bool,
    pub(crate) added: Vec<NewFile>,
    pub(crate) changes: Vec<(Arc<TableFile>, FileChange)>,
    pub(crate) vector_file: Option<String>,
    pub(crate) counts: Counts,
}

impl Plan {
    /// Whether the rows of the table stay as they are.
    pub(crate) fn is_empty(&self) -> bool {
        !self.replaces && self.added.is_empty() && self.changes.is_empty()
    }

    /// Says in a commit what happens to the files.
    pub(crate) fn put(&self, entries: &mut Entries) {
        for (file, change) in &self.changes {
            remove(entries, file);
            if let FileChange::Vector(deleted) = change {
                // The bounds still hold for what is left, but it may not reach them any more.
                let stats = file.stats_text.replace(r#""tightBounds":true"#, r#""tightBounds":false"#);
                entries.add(&FileAction {
                    path: &file.path,
                    size: file.size,
                    modified: file.modified,
                    stats: Some(&stats),
                    deleted: Some(&deleted.descriptor),
                    checksums: file.checksums.as_deref(),
                });
            }
        }
        self.added.iter().for_each(|file| add(entries, file));
    }

    /// Paths of the files written for it.
    pub(crate) fn paths(&self) -> impl Iterator<Item = String> + use<'_> {
        self.added.iter().map(|file| file.path.clone()).chain(self.vector_file.clone())
    }
}

pub(crate) fn add(entries: &mut Entries, file: &NewFile) {
    entries.add(&FileAction {
        path: &file.path,
        size: file.size,
        modified: file.modified,
        stats: Some(&file.stats),
        deleted: None,
        checksums: Some(&file.checksums),
    });
}

pub(crate) fn remove(entries: &mut Entries, file: &TableFile) {
    entries.remove(&FileAction {
        path: &file.path,
        size: file.size,
        modified: file.modified,
        stats: None,
        deleted: file.deleted.as_ref().map(|deleted| &deleted.descriptor),
        checksums: None,
    });
}

/// Writes the files of a plan. All calls block.
pub(crate) struct PlanWriter<'a> {
    layout: &'a Layout,
    /// The files of the version that the plan starts from.
    files: &'a [Arc<TableFile>],
    folder: &'static str,
    file_rows: u64,
    tuning: Tuning,
    /// Rows to delete, by index of the file.
    deleted: BTreeMap<usize, RoaringTreemap>,
    open: Option<FileWriter>,
    pub(crate) plan: Plan,
}

impl<'a> PlanWriter<'a> {
    /// Lets `work` fill a plan of changes to `files`. When it fails, nothing that it wrote stays.
    pub(crate) fn fill(mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<Plan> {
        let filled = work(&mut self).and_then(|()| self.complete());
        match filled {
            Ok(()) => Ok(self.plan),
            Err(error) => {
                self.forget();
                Err(error)
            }
        }
    }

    /// A plan whose new rows become files of `runs`.
    pub(crate) fn runs(layout: &'a Layout, files: &'a [Arc<TableFile>], tuning: Tuning) -> Self {
        PlanWriter {
            layout,
            files,
            folder: "runs",
            file_rows: FILE_ROWS,
            tuning,
            deleted: BTreeMap::new(),
            open: None,
            plan: Plan::default(),
        }
    }

    /// A plan whose new rows become base files of about `file_rows` rows.
    pub(crate) fn base(
        layout: &'a Layout,
        files: &'a [Arc<TableFile>],
        tuning: Tuning,
        file_rows: u64,
    ) -> Self {
        PlanWriter { folder: "base", file_rows, ..Self::runs(layout, files, tuning) }
    }

    /// Adds rows, which come in the order of their keys.
    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        if self.open.as_ref().is_some_and(|file| file.rows() >= self.file_rows) {
            self.close()?;
        }
        let file = match &mut self.open {
            Some(file) => file,
            None => self.open.insert(self.layout.file(self.folder, &self.tuning)?),
        };
        file.write(rows)
    }

    /// Deletes a row.
    pub(crate) fn delete(&mut self, row: Location) {
        self.deleted.entry(row.file).or_default().insert(row.position);
    }

    /// Removes a file with all its rows.
    pub(crate) fn remove(&mut self, file: &Arc<TableFile>) {
        self.plan.changes.push((file.clone(), FileChange::Remove));
    }

    /// Gives up what was written so far.
    pub(crate) fn forget(&mut self) {
        if let Some(file) = self.open.take() {
            file.abandon();
        }
        let folder = &self.layout.folder;
        folder.runtime.block_on(folder.delete(self.plan.paths().collect::<Vec<_>>()));
        self.plan.added.clear();
        self.plan.changes.clear();
        self.plan.vector_file = None;
        self.plan.counts.bytes_written = 0;
        self.deleted.clear();
    }

    fn close(&mut self) -> Result<()> {
        if let Some(file) = self.open.take() {
            let file = file.finish()?;
            self.plan.counts.bytes_written += file.size;
            self.plan.added.push(file);
        }
        Ok(())
    }

    fn complete(&mut self) -> Result<()> {
        self.close()?;
        self.write_vectors()
    }

    /// Writes the deletion vectors: what was deleted before and what is deleted now.
    fn write_vectors(&mut self) -> Result<()> {
        let mut file = VectorFile::new();
        let mut any = false;
        for (index, mut rows) in std::mem::take(&mut self.deleted) {
            let old = &self.files[index];
            if let Some(deleted) = &old.deleted {
                rows |= &deleted.rows;
            }
            let change = if rows.len() == old.stats.rows {
                FileChange::Remove
            } else {
                any = true;
                FileChange::Vector(file.add(rows)?)
            };
            self.plan.changes.push((old.clone(), change));
        }
        if any {
            let folder = &self.layout.folder;
            let path = file.path();
            let bytes = Bytes::from(file.into_bytes());
            self.plan.counts.bytes_written += bytes.len() as u64;
            self.plan.vector_file = Some(path.clone());
            let full = folder.path(&path);
            let put = folder.store.put(&full, bytes.into());
            let what = format!("cannot write `{path}` of `{}`", folder.name);
            folder.runtime.block_on(put).map_err(|e| failure::store(&what, e))?;
        }
        Ok(())
    }
}
