//! Reading Parquet files of a table outside of queries: to look up keys, and to merge.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::arrow::{ProjectionMask, async_reader::ParquetRecordBatchStream};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::checksum::Checksums;
use super::failure;
use super::parquet_write::{Folder, NewFile};
use super::verified_store::VerifiedStore;
use crate::error::Result;

/// Enough of the end of a file to hold its footer and page index in most cases.
pub(crate) const FOOTER_HINT: usize = 256 * 1024;
/// Rows read at once.
const BATCH_ROWS: usize = 8192;

/// Footers of files lately looked into. Files never change, so an entry is always right.
#[derive(Debug, Default)]
pub(crate) struct Footers {
    known: Mutex<VecDeque<(Path, Arc<ParquetMetaData>)>>,
    /// Bloom filters of the first key column, where a file has one.
    filters: Mutex<VecDeque<(Path, Option<Arc<Sbbf>>)>>,
}

impl Footers {
    const KEPT: usize = 128;

    fn get(&self, path: &Path) -> Option<Arc<ParquetMetaData>> {
        let mut known = self.known.lock();
        let position = known.iter().position(|(known, _)| known == path)?;
        let entry = known.remove(position)?;
        let footer = entry.1.clone();
        known.push_back(entry);
        Some(footer)
    }

    /// Drops what is known of a file that is deleted.
    pub(crate) fn forget(&self, path: &Path) {
        self.known.lock().retain(|(known, _)| known != path);
        self.filters.lock().retain(|(known, _)| known != path);
    }

    /// The Bloom filter over a column of a file of one row group; `None` where there is none. Blocks.
    pub(crate) fn filter(&self, reader: &FileReader, column: usize) -> Result<Option<Arc<Sbbf>>> {
        let known = self.filters.lock().iter().find(|(known, _)| *known == reader.path).cloned();
        if let Some((_, filter)) = known {
            return Ok(filter);
        }
        let filter = match reader.metadata().num_row_groups() {
            1 => reader.filter(column)?.map(Arc::new),
            _ => None,
        };
        let mut filters = self.filters.lock();
        while filters.len() >= Self::KEPT {
            filters.pop_front();
        }
        filters.push_back((reader.path.clone(), filter.clone()));
        Ok(filter)
    }

    fn put(&self, path: Path, footer: Arc<ParquetMetaData>) {
        let mut known = self.known.lock();
        while known.len() >= Self::KEPT {
            known.pop_front();
        }
        known.push_back((path, footer));
    }
}

/// A file of a table, opened for reading on a blocking thread.
pub(crate) struct FileReader {
    folder: Folder,
    /// Gives out only what is as it was written.
    store: Arc<dyn ObjectStore>,
    path: Path,
    metadata: ArrowReaderMetadata,
}

impl NewFile {
    /// Opens it for reading. Blocks.
    pub(crate) fn open(&self, folder: &Folder, footers: &Footers) -> Result<FileReader> {
        FileReader::open(folder, footers, &self.path, self.size, Some(&self.checksums))
    }
}

impl FileReader {
    /// Reads the footer with its page index, or finds it among those known.
    pub(crate) fn open(
        folder: &Folder,
        footers: &Footers,
        path: &str,
        size: u64,
        checksums: Option<&Arc<Checksums>>,
    ) -> Result<Self> {
        let path = folder.path(path);
        let known = checksums.map(|checksums| (path.clone(), checksums.clone()));
        let known = Arc::new(known.into_iter().collect());
        let store = VerifiedStore::new(folder.store.clone(), folder.name.clone(), known);
        let what = what(folder, &path);
        let footer = match footers.get(&path) {
            Some(footer) => footer,
            None => {
                let mut source = StoreFile { store: store.clone(), path: path.clone() };
                let footer = folder.runtime.block_on(
                    ParquetMetaDataReader::new()
                        .with_page_index_policy(PageIndexPolicy::Optional)
                        .with_prefetch_hint(Some(FOOTER_HINT))
                        .load_and_finish(&mut source, size),
                );
                let footer = Arc::new(footer.map_err(|e| failure::parquet(&what, e))?);
                footers.put(path.clone(), footer.clone());
                footer
            }
        };
        let metadata = ArrowReaderMetadata::try_new(footer, ArrowReaderOptions::new())
            .map_err(|e| failure::parquet(&what, e))?;
        Ok(FileReader { folder: folder.clone(), store, path, metadata })
    }

    /// Schema of the file.
    pub(crate) fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// The place of a column that is no list among the columns as Parquet counts them.
    pub(crate) fn leaf(&self, name: &str) -> Option<usize> {
        let columns = self.metadata().file_metadata().schema_descr().columns();
        columns.iter().position(|column| column.path().parts() == [name])
    }

    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    /// Reads the Bloom filter over a column of the first row group.
    fn filter(&self, column: usize) -> Result<Option<Sbbf>> {
        let source = StoreFile { store: self.store.clone(), path: self.path.clone() };
        let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(source, self.metadata.clone());
        let filter = self.folder.runtime.block_on(builder.get_row_group_column_bloom_filter(0, column));
        filter.map_err(|e| failure::parquet(&what(&self.folder, &self.path), e))
    }

    /// Reads `columns`, and only the pages that hold a row of `selection`.
    pub(crate) fn read(&self, columns: &[usize], selection: Option<RowSelection>) -> Result<Batches> {
        let source = StoreFile { store: self.store.clone(), path: self.path.clone() };
        let mask =
            ProjectionMask::roots(self.metadata().file_metadata().schema_descr(), columns.iter().copied());
        let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(source, self.metadata.clone())
            .with_batch_size(BATCH_ROWS)
            .with_projection(mask);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        let stream = builder.build().map_err(|e| failure::parquet(&what(&self.folder, &self.path), e))?;
        Ok(Batches { folder: self.folder.clone(), path: self.path.clone(), stream })
    }
}

fn what(folder: &Folder, path: &Path) -> String {
    format!("cannot read `{path}` of `{}`", folder.name)
}

/// Batches of a file, read while blocking the calling thread.
pub(crate) struct Batches {
    folder: Folder,
    path: Path,
    stream: ParquetRecordBatchStream<StoreFile>,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.folder.runtime.block_on(self.stream.next())?;
        Some(next.map_err(|e| failure::parquet(&what(&self.folder, &self.path), e)))
    }
}

/// The bytes of an object as the Parquet reader asks for them.
struct StoreFile {
    store: Arc<dyn ObjectStore>,
    path: Path,
}

impl AsyncFileReader for StoreFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move { self.store.get_range(&self.path, range).await.map_err(external) }.boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        // Files are opened with a footer already read.
        async { Err(ParquetError::General("the footer is read beforehand".into())) }.boxed()
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}
