//! What was read for a table and is not committed: pieces of a read that may be gone on with. They lie in a folder of
//! the table's own that no version names. A vacuum removes them when they are too old to be of use.

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;

use super::checksum;
use super::failure;
use super::table::Table;
use crate::error::{Error, Kind, Result};
use crate::model::Micros;

/// Their folder.
pub(crate) const KEPT: &str = "kept/";
/// For how long pieces stay. What a read is gone on with is younger.
pub(crate) const KEPT_FOR: Micros = 25 * 3_600_000_000;

/// A piece of rows as it was kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KeptRows {
    name: String,
    rows: u64,
    crc32: u32,
}

impl Table {
    /// Keeps rows, which have one schema, under a name.
    pub async fn keep_rows(&self, name: &str, batches: &[RecordBatch]) -> Result<KeptRows> {
        let mut bytes = Vec::new();
        if let Some(first) = batches.first() {
            let mut writer = StreamWriter::try_new(&mut bytes, &first.schema()).map_err(failure::arrow)?;
            for batch in batches {
                writer.write(batch).map_err(failure::arrow)?;
            }
            writer.finish().map_err(failure::arrow)?;
        }
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let kept = KeptRows { name: name.to_string(), rows, crc32: crc32fast::hash(&bytes) };
        self.put_kept(name, bytes.into()).await?;
        Ok(kept)
    }

    /// The rows of a piece.
    ///
    /// # Errors
    /// `Corrupt` when it is missing or not as it was kept.
    pub async fn kept_rows(&self, piece: &KeptRows) -> Result<Vec<RecordBatch>> {
        let bytes = self.get_kept(&piece.name).await?;
        if crc32fast::hash(&bytes) != piece.crc32 {
            return Err(self.damaged(&piece.name));
        }
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let reader = StreamReader::try_new(&bytes[..], None).map_err(failure::arrow)?;
        reader.collect::<Result<_, _>>().map_err(failure::arrow)
    }

    /// Keeps a value, in place of an older one of that name.
    pub async fn keep(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let what = format!("cannot keep `{name}` of `{}`", self.shared.folder.name);
        let text = serde_json::to_string(value).map_err(|e| Error::internal(what.clone()).with_source(e))?;
        let sealed = checksum::seal_object(&text).ok_or_else(|| Error::internal(what))?;
        self.put_kept(name, sealed.into()).await
    }

    /// A value that was kept.
    ///
    /// # Errors
    /// As [`Table::kept_rows`].
    pub async fn kept<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let bytes = self.get_kept(name).await?;
        if !checksum::is_sealed_object(&bytes) {
            return Err(self.damaged(name));
        }
        serde_json::from_slice(&bytes).map_err(|error| self.damaged(name).with_source(error))
    }

    /// The names of all that is kept, sorted.
    pub async fn kept_names(&self) -> Result<Vec<String>> {
        let folder = &self.shared.folder;
        let root = folder.path(KEPT);
        let listed = folder.store.list(Some(&root)).try_collect::<Vec<_>>().await;
        let what = format!("cannot list what is kept of `{}`", folder.name);
        let listed = listed.map_err(|error| failure::store(&what, error))?;
        let mut names: Vec<_> =
            listed.iter().filter_map(|file| file.location.filename().map(str::to_string)).collect();
        names.sort();
        Ok(names)
    }

    /// Removes all that is kept.
    pub async fn drop_kept(&self) -> Result<()> {
        let folder = &self.shared.folder;
        for name in self.kept_names().await? {
            match folder.store.delete(&folder.path(&format!("{KEPT}{name}"))).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => {
                    return Err(failure::store(&format!("cannot clean up `{}`", folder.name), error));
                }
            }
        }
        Ok(())
    }

    async fn put_kept(&self, name: &str, bytes: Bytes) -> Result<()> {
        let folder = &self.shared.folder;
        let put = folder.store.put(&folder.path(&format!("{KEPT}{name}")), bytes.into()).await;
        put.map(|_| ())
            .map_err(|error| failure::store(&format!("cannot keep rows of `{}`", folder.name), error))
    }

    async fn get_kept(&self, name: &str) -> Result<Bytes> {
        let folder = &self.shared.folder;
        let what = format!("cannot read what is kept of `{}`", folder.name);
        let found = folder.store.get(&folder.path(&format!("{KEPT}{name}"))).await;
        async { found?.bytes().await }.await.map_err(|error| failure::store(&what, error))
    }

    fn damaged(&self, name: &str) -> Error {
        let what = format!("`{name}`, kept of a read of `{}`, is damaged", self.shared.folder.name);
        Error::new(Kind::Corrupt, what).with_hint("sync again: everything is read anew")
    }
}
