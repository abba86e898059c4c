//! Writing one Parquet file to the store while its rows come, in bounded memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::execution::object_store::ObjectStoreUrl;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::properties::WriterProperties;
use tokio::runtime::Handle;

use super::checksum::{Checksums, Summing};
use super::failure;
use super::stats;
use crate::error::Result;
use crate::model::{Micros, now_micros};

/// Parts of a larger upload; also the size up to which a file is put at once.
const PART: usize = 5 * 1024 * 1024;
/// Parts on their way at the same time.
const PARTS_IN_FLIGHT: usize = 2;

/// Where a table's files go, and how to get there from a thread that may block.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The table's folder in the store.
    pub(crate) root: Path,
    /// Local folder for rows set aside.
    pub(crate) spill: Arc<PathBuf>,
    pub(crate) runtime: Handle,
    /// Whether the files are on a disk of this machine: small parts of them are there at once.
    pub(crate) is_local: bool,
    /// Address of the store for scans.
    pub(crate) url: ObjectStoreUrl,
    /// `connection/object id`, for messages.
    pub(crate) name: Arc<str>,
}

impl Folder {
    /// The full path of a file of the table.
    pub(crate) fn path(&self, relative: &str) -> Path {
        Path::from(format!("{}/{relative}", self.root))
    }

    /// Waits for a read on a thread that may block, or on one of the threads of a runtime.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let polled = {
            let _runtime = self.runtime.enter();
            work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        match polled {
            Poll::Ready(read) => read,
            Poll::Pending => tokio::task::block_in_place(|| self.runtime.block_on(work)),
        }
    }

    /// Deletes files that no version refers to. What stays is found by the next vacuum.
    pub(crate) async fn delete(&self, paths: impl IntoIterator<Item = String>) {
        for path in paths {
            if let Err(error) = self.store.delete(&self.path(&path)).await {
                tracing::debug!(path, %error, "an abandoned file stays until the next vacuum");
            }
        }
    }
}

/// A complete Parquet file that no version refers to yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewFile {
    /// Relative to the table.
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) rows: u64,
    pub(crate) modified: Micros,
    /// Statistics as the log keeps them, JSON.
    pub(crate) stats: String,
    pub(crate) checksums: Arc<Checksums>,
}

/// A Parquet file being written. All calls block; they belong on a blocking thread.
pub(crate) struct FileWriter {
    folder: Folder,
    path: String,
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    upload: Option<WriteMultipart>,
    summing: Summing,
    size: u64,
    rows: u64,
}

impl FileWriter {
    /// A new file in `kind`, which is `base` or `runs`.
    pub(crate) fn new(
        folder: &Folder,
        kind: &str,
        schema: &SchemaRef,
        properties: WriterProperties,
    ) -> Result<Self> {
        Self::named(folder, format!("{kind}/part-{}.parquet", uuid::Uuid::new_v4()), schema, properties)
    }

    /// A new file with that path, relative to the table.
    pub(crate) fn named(
        folder: &Folder,
        path: String,
        schema: &SchemaRef,
        properties: WriterProperties,
    ) -> Result<Self> {
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options)
            .map_err(|e| failure::parquet(&format!("cannot write a file of `{}`", folder.name), e))?;
        Ok(FileWriter {
            folder: folder.clone(),
            path,
            schema: schema.clone(),
            writer,
            pending: Vec::new(),
            pending_bytes: 0,
            upload: None,
            summing: Summing::default(),
            size: 0,
            rows: 0,
        })
    }

    /// Rows written so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(|e| failure::parquet(&self.what(), e))?;
        self.drain()
    }

    /// Writes the footer and waits until the store has everything.
    pub(crate) fn finish(mut self) -> Result<NewFile> {
        let metadata = self.writer.finish().map_err(|e| failure::parquet(&self.what(), e))?;
        self.drain()?;
        let what = self.what();
        let runtime = self.folder.runtime.clone();
        match self.upload.take() {
            Some(mut upload) => {
                self.put_pending(&mut upload);
                runtime.block_on(upload.finish()).map_err(|e| failure::store(&what, e))?;
            }
            None => {
                let path = self.folder.path(&self.path);
                let payload = PutPayload::from_iter(self.pending.drain(..));
                let put = self.folder.store.put(&path, payload);
                runtime.block_on(put).map_err(|e| failure::store(&what, e))?;
            }
        }
        Ok(NewFile {
            stats: stats::of_file(&self.schema, &metadata)?,
            path: self.path,
            checksums: Arc::new(self.summing.finish()),
            size: self.size,
            rows: self.rows,
            modified: now_micros(),
        })
    }

    /// Gives up: nothing of the file stays.
    pub(crate) fn abandon(mut self) {
        if let Some(upload) = self.upload.take()
            && let Err(error) = self.folder.runtime.block_on(upload.abort())
        {
            tracing::debug!(path = self.path, %error, "an abandoned upload stays until the store drops it");
        }
    }

    /// Hands encoded bytes on to the store.
    fn drain(&mut self) -> Result<()> {
        let encoded = self.writer.inner_mut();
        if encoded.is_empty() {
            return Ok(());
        }
        let encoded = Bytes::from(std::mem::take(encoded));
        self.size += encoded.len() as u64;
        self.summing.add(&encoded);
        self.pending_bytes += encoded.len();
        self.pending.push(encoded);
        if self.pending_bytes < PART {
            return Ok(());
        }
        let what = self.what();
        let runtime = self.folder.runtime.clone();
        let mut upload = match self.upload.take() {
            Some(upload) => upload,
            None => {
                let path = self.folder.path(&self.path);
                let started = runtime.block_on(self.folder.store.put_multipart(&path));
                let started = started.map_err(|e| failure::store(&what, e))?;
                WriteMultipart::new_with_chunk_size(started, PART)
            }
        };
        self.put_pending(&mut upload);
        let waited = runtime.block_on(upload.wait_for_capacity(PARTS_IN_FLIGHT));
        self.upload = Some(upload);
        waited.map_err(|e| failure::store(&what, e))
    }

    /// Gives what waits to the upload. What fills a part with what the upload has kept is spawned at once, which needs
    /// the runtime at hand.
    fn put_pending(&mut self, upload: &mut WriteMultipart) {
        let _runtime = self.folder.runtime.enter();
        self.pending_bytes = 0;
        self.pending.drain(..).for_each(|part| upload.put(part));
    }

    fn what(&self) -> String {
        format!("cannot write `{}` of `{}`", self.path, self.folder.name)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryArray, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use object_store::memory::InMemory;
    use parquet::basic::Compression;
    use rand::rngs::StdRng;
    use rand::{RngCore, SeedableRng};

    use super::*;
    use crate::snapshot::thread::Thread;

    #[tokio::test(flavor = "multi_thread")]
    async fn files_end_anywhere_in_a_part_on_a_thread_outside_of_the_runtime() {
        let folder = Folder {
            store: Arc::new(InMemory::new()),
            root: Path::from("table"),
            spill: Arc::default(),
            runtime: Handle::current(),
            is_local: true,
            url: ObjectStoreUrl::local_filesystem(),
            name: "crm/deal".into(),
        };
        let schema: SchemaRef = Schema::new(vec![Field::new("bytes", DataType::Binary, false)]).into();
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .set_max_row_group_row_count(Some(8))
            .build();
        let mut value = vec![0; 1 << 20];
        StdRng::seed_from_u64(3).fill_bytes(&mut value);
        let thread = Thread::start("writes").unwrap();
        for rows in 1..=20 {
            let values = BinaryArray::from_iter_values((0..rows).map(|_| &value));
            let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(values)]).unwrap();
            let mut writer =
                FileWriter::named(&folder, format!("{rows}"), &schema, properties.clone()).unwrap();
            let written = thread.run(move || {
                writer.write(&batch)?;
                writer.finish()
            });
            let written = written.await.unwrap().unwrap();
            let stored = folder.store.head(&folder.path(&written.path)).await.unwrap();
            assert_eq!((written.rows, written.size), (rows, stored.size));
            assert!(written.size > rows << 20);
        }
    }
}
