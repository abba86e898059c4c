//! Finding the rows of an erased key, and writing the files that hold them again without them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use arrow::datatypes::Schema;
use bytes::Bytes;
use object_store::ObjectStoreExt;
use roaring::RoaringTreemap;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::history::{History, Replaced, Replacement};
use super::{Erasure, KeyPart};
use crate::error::Result;
use crate::snapshot::dv::{Deleted, Descriptor, VectorFile};
use crate::snapshot::failure;
use crate::snapshot::find::{Window, positions};
use crate::snapshot::keys::Keys;
use crate::snapshot::lane::Layout;
use crate::snapshot::parquet_read::{FileReader, Footers};
use crate::snapshot::parquet_write::{FileWriter, Folder, NewFile};
use crate::snapshot::table::Shared;
use crate::snapshot::tuning::Tuning;

/// What was found and made.
#[derive(Default)]
pub(super) struct Found {
    pub(super) replaced: Replaced,
    pub(super) rows: u64,
    pub(super) unchecked: u64,
}

/// Writes the files that replace those with rows of the key. Nothing refers to them yet.
pub(super) async fn replacements(
    shared: &Arc<Shared>,
    history: History,
    erasure: &Erasure,
) -> Result<(History, Found)> {
    let (folder, footers) = (shared.folder.clone(), shared.footers.clone());
    let (id, key) = (erasure.id, erasure.key.clone());
    let work = tokio::task::spawn_blocking(move || -> Result<_> {
        let mut found = Found::default();
        for path in history.data_files() {
            let rewriter = Rewriter { folder: &folder, footers: &footers, id, path: &path };
            let Some(reader) = rewriter.open(&history)? else { continue };
            let Some(rows) = rewriter.rows(&reader, &key)? else {
                found.unchecked += 1;
                continue;
            };
            if rows.is_empty() {
                continue;
            }
            let file = rewriter.write(&reader, &rows)?;
            let vectors = history
                .vectors_of(&path)
                .into_iter()
                .map(|old| Ok((old.clone(), rewriter.vector(&old, &rows)?)));
            let vectors = vectors.collect::<Result<_>>()?;
            found.rows += rows.len();
            found.replaced.insert(path.clone(), Replacement { file, vectors });
        }
        Ok((history, found))
    });
    work.await.map_err(failure::task)?
}

struct Rewriter<'a> {
    folder: &'a Folder,
    footers: &'a Footers,
    id: i64,
    path: &'a str,
}

impl Rewriter<'_> {
    /// `None` when the file is gone: no version that has it can be read any more.
    fn open(&self, history: &History) -> Result<Option<FileReader>> {
        let full = self.folder.path(self.path);
        match self.folder.runtime.block_on(self.folder.store.head(&full)) {
            Ok(meta) => {
                let checksums = history.checksums_of(self.path, meta.size);
                FileReader::open(self.folder, self.footers, self.path, meta.size, checksums.as_ref())
                    .map(Some)
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failure::store(&format!("cannot read `{}`", self.path), error)),
        }
    }

    /// Positions of the rows of `key`; `None` when the file lacks a column of it.
    fn rows(&self, reader: &FileReader, key: &[KeyPart]) -> Result<Option<RoaringTreemap>> {
        let stored = reader.schema();
        let (mut fields, mut values) = (Vec::new(), Vec::new());
        for part in key {
            let Some(field) = part.columns.iter().find_map(|name| stored.field_with_name(name).ok()) else {
                return Ok(None);
            };
            // A value that the file's narrower type cannot hold is in no row of it.
            let Some(value) = exactly(&part.value, field)? else { return Ok(Some(RoaringTreemap::new())) };
            fields.push(field.clone());
            values.push(value);
        }
        let names: Vec<_> = fields.iter().map(|field| field.name().clone()).collect();
        let schema = Arc::new(Schema::new(fields));
        let wanted = RecordBatch::try_new(schema.clone(), values).map_err(failure::arrow)?;
        let layout = Layout {
            folder: self.folder.clone(),
            staged: schema.clone(),
            keys: Arc::new(Keys::new(&schema, &names)?),
            key: names,
            schema,
        };
        let window = Window::new(&layout.keys, wanted)?;
        positions(&layout, reader, &window).map(Some)
    }

    /// The file again without `rows`; `None` when none is left.
    fn write(&self, reader: &FileReader, rows: &RoaringTreemap) -> Result<Option<NewFile>> {
        let schema = reader.schema().clone();
        let all: Vec<_> = (0..schema.fields().len()).collect();
        let sorted_by = reader.metadata().row_groups().first().and_then(|group| group.sorting_columns());
        let key: Vec<_> = sorted_by
            .into_iter()
            .flatten()
            .filter_map(|column| {
                schema.fields().get(column.column_idx as usize).map(|field| field.name().clone())
            })
            .collect();
        let mut writer: Option<FileWriter> = None;
        let mut position = 0;
        for batch in reader.read(&all, None)? {
            let batch = batch?;
            let end = position + batch.num_rows() as u64;
            let keep: BooleanArray = (position..end).map(|row| Some(!rows.contains(row))).collect();
            position = end;
            let kept = filter_record_batch(&batch, &keep).map_err(failure::arrow)?;
            if kept.num_rows() == 0 {
                continue;
            }
            let file = match &mut writer {
                Some(file) => file,
                None => {
                    let is_run = self.path.starts_with("runs/");
                    let properties = Tuning::of(&kept).properties(&schema, &key, is_run);
                    writer.insert(FileWriter::named(self.folder, self.new_path(), &schema, properties)?)
                }
            };
            file.write(&kept)?;
        }
        writer.map(FileWriter::finish).transpose()
    }

    /// The vector `old` for the file without `erased`; `None` when it deletes nothing any more. A vector that is
    /// gone belongs to versions that cannot be read: it stays as it is.
    fn vector(&self, old: &Descriptor, erased: &RoaringTreemap) -> Result<Option<Descriptor>> {
        let (store, root) = (&*self.folder.store, &self.folder.root);
        let Some(file) = old.path() else { return Ok(Some(old.clone())) };
        let runtime = &self.folder.runtime;
        match runtime.block_on(store.head(&self.folder.path(&file))) {
            Ok(_) => {}
            Err(object_store::Error::NotFound { .. }) => return Ok(Some(old.clone())),
            Err(error) => return Err(failure::store(&format!("cannot read `{file}`"), error)),
        }
        let deleted = runtime.block_on(Deleted::read(store, root, old))?;
        let left = deleted.rows.iter().filter(|row| !erased.contains(*row)).map(|row| row - erased.rank(row));
        let left: RoaringTreemap = left.collect();
        if left.is_empty() {
            return Ok(None);
        }
        let name = format!("{} {} {:?}", self.path, old.path_or_inline_dv, old.offset);
        let mut vectors = VectorFile::with_id(self.uuid(&name));
        let descriptor = vectors.add(left)?.descriptor.clone();
        let path = vectors.path();
        let full = self.folder.path(&path);
        let put = store.put(&full, Bytes::from(vectors.into_bytes()).into());
        runtime.block_on(put).map_err(|e| failure::store(&format!("cannot write `{path}`"), e))?;
        Ok(Some(descriptor))
    }

    fn new_path(&self) -> String {
        let kind = self.path.split('/').next().unwrap_or("base");
        format!("{kind}/part-{}.parquet", self.uuid(self.path))
    }

    /// The same for the same erasure and `name`.
    fn uuid(&self, name: &str) -> Uuid {
        let digest = Sha256::digest(format!("erasure {} of {name}", self.id));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// `value` in the type of `field`; `None` when that cannot hold it.
fn exactly(value: &ArrayRef, field: &arrow::datatypes::Field) -> Result<Option<ArrayRef>> {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let cast = |value: &ArrayRef, to| cast_with_options(value, to, &options).map_err(failure::arrow);
    if !arrow::compute::can_cast_types(value.data_type(), field.data_type()) {
        return Ok(None);
    }
    let narrow = cast(value, field.data_type())?;
    let same = narrow.null_count() == 0 && cast(&narrow, value.data_type())?.to_data() == value.to_data();
    Ok(same.then_some(narrow))
}
