//! Reading Parquet files of a table outside of queries: to look up keys, and to merge.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use parquet::DecodeResult;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::arrow::{ProjectionMask, async_reader::ParquetRecordBatchStream};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder};

use super::checksum::Checksums;
use super::failure;
use super::pages::KeyPages;
use super::parquet_write::{Folder, NewFile};
use super::verified_store::VerifiedStore;
use crate::error::Result;

/// Enough of the end of a file to hold its footer and page index in most cases.
pub(crate) const FOOTER_HINT: usize = 256 * 1024;
/// Rows read at once.
const BATCH_ROWS: usize = 8192;

/// What is known of files lately looked into. Files never change, so an entry is always right.
#[derive(Debug, Default)]
pub(crate) struct Footers {
    known: Mutex<VecDeque<(Path, Arc<Footer>)>>,
}

/// What is known of one file.
#[derive(Debug)]
struct Footer {
    metadata: ArrowReaderMetadata,
    /// The Bloom filter of the first key column, where the file has one, once somebody needed it.
    filter: OnceLock<Option<Sbbf>>,
    /// The pages of the first key column, once somebody needed them.
    key_pages: OnceLock<Arc<KeyPages>>,
}

impl Footers {
    const KEPT: usize = 128;

    fn get(&self, path: &Path) -> Option<Arc<Footer>> {
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
    }

    fn put(&self, path: Path, footer: Arc<Footer>) {
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
    footer: Arc<Footer>,
}

impl NewFile {
    /// Opens it for reading. Blocks.
    pub(crate) fn open(&self, folder: &Folder, footers: &Footers) -> Result<FileReader> {
        FileReader::open(folder, footers, &self.path, self.size, Some(&self.checksums))
    }
}

impl FileReader {
    /// Reads the footer with the page index of the key, or finds it among those known.
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
                let footer = folder.wait(source.footer(size)).map_err(|e| failure::parquet(&what, e))?;
                let metadata = ArrowReaderMetadata::try_new(Arc::new(footer), ArrowReaderOptions::new())
                    .map_err(|e| failure::parquet(&what, e))?;
                let footer =
                    Arc::new(Footer { metadata, filter: OnceLock::new(), key_pages: OnceLock::new() });
                footers.put(path.clone(), footer.clone());
                footer
            }
        };
        Ok(FileReader { folder: folder.clone(), store, path, footer })
    }

    /// Schema of the file.
    pub(crate) fn schema(&self) -> &SchemaRef {
        self.footer.metadata.schema()
    }

    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        self.footer.metadata.metadata()
    }

    /// The Bloom filter over the first key column, `first`, of a file of one row group; `None` where there is none.
    pub(crate) fn filter(&self, first: &str) -> Result<Option<&Sbbf>> {
        if let Some(known) = self.footer.filter.get() {
            return Ok(known.as_ref());
        }
        let columns = self.metadata().file_metadata().schema_descr().columns();
        let place = columns.iter().position(|column| column.path().parts() == [first]);
        let filter = match place {
            Some(place) if self.metadata().num_row_groups() == 1 => {
                let read = async |mut builder: ParquetRecordBatchStreamBuilder<StoreFile>| {
                    builder.get_row_group_column_bloom_filter(0, place).await
                };
                let filter = self.folder.wait(read(self.builder()));
                filter.map_err(|e| failure::parquet(&what(&self.folder, &self.path), e))?
            }
            _ => None,
        };
        Ok(self.footer.filter.get_or_init(|| filter).as_ref())
    }

    /// The pages of the first key column as they are known, where those are the `right` ones, else as they are `read`.
    pub(crate) fn key_pages(
        &self,
        is_right: impl Fn(&KeyPages) -> bool,
        read: impl FnOnce() -> Result<KeyPages>,
    ) -> Result<Arc<KeyPages>> {
        if let Some(known) = self.footer.key_pages.get().filter(|known| is_right(known)) {
            return Ok(known.clone());
        }
        let pages = Arc::new(read()?);
        // Somebody else may have been quicker, which is as good.
        self.footer.key_pages.set(pages.clone()).ok();
        Ok(pages)
    }

    fn builder(&self) -> ParquetRecordBatchStreamBuilder<StoreFile> {
        let source = StoreFile { store: self.store.clone(), path: self.path.clone() };
        ParquetRecordBatchStreamBuilder::new_with_metadata(source, self.footer.metadata.clone())
    }

    /// Reads `columns`, and only the pages that hold a row of `selection`.
    pub(crate) fn read(&self, columns: &[usize], selection: Option<RowSelection>) -> Result<Batches> {
        let mask =
            ProjectionMask::roots(self.metadata().file_metadata().schema_descr(), columns.iter().copied());
        let mut builder = self.builder().with_batch_size(BATCH_ROWS).with_projection(mask);
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
        let next = self.folder.wait(self.stream.next())?;
        Some(next.map_err(|e| failure::parquet(&what(&self.folder, &self.path), e)))
    }
}

/// The bytes of an object as the Parquet reader asks for them.
struct StoreFile {
    store: Arc<dyn ObjectStore>,
    path: Path,
}

impl StoreFile {
    /// Reads the footer, and of the page index what keys are looked up by: the bounds of other columns are most of it.
    async fn footer(&mut self, size: u64) -> parquet::errors::Result<ParquetMetaData> {
        let range = size.saturating_sub(FOOTER_HINT as u64)..size;
        let end = (range.clone(), self.get_bytes(range).await?);
        let decoder = ParquetMetaDataPushDecoder::try_new(size)?;
        let footer = self.decode(decoder.with_page_index_policy(PageIndexPolicy::Skip), &end).await?;
        let decoder = ParquetMetaDataPushDecoder::try_new_with_metadata(size, without_other_bounds(footer)?)?;
        self.decode(decoder.with_page_index_policy(PageIndexPolicy::Optional), &end).await
    }

    async fn decode(
        &mut self,
        mut decoder: ParquetMetaDataPushDecoder,
        (range, end): &(Range<u64>, Bytes),
    ) -> parquet::errors::Result<ParquetMetaData> {
        decoder.push_range(range.clone(), end.clone())?;
        loop {
            match decoder.try_decode()? {
                DecodeResult::Data(metadata) => return Ok(metadata),
                DecodeResult::NeedsData(ranges) => {
                    let found = self.get_byte_ranges(ranges.clone()).await?;
                    decoder.push_ranges(ranges, found)?;
                }
                DecodeResult::Finished => return Err(ParquetError::EOF("the footer ends early".into())),
            }
        }
    }
}

/// Takes out where to find the bounds of pages in columns that the file is not sorted by.
fn without_other_bounds(footer: ParquetMetaData) -> parquet::errors::Result<ParquetMetaData> {
    let mut footer = footer.into_builder();
    for group in footer.take_row_groups() {
        let Some(sorted_by) = group.sorting_columns().cloned() else {
            footer = footer.add_row_group(group);
            continue;
        };
        let mut group = group.into_builder();
        let columns = group.take_columns().into_iter().zip(0..).map(|(column, place)| {
            match sorted_by.iter().any(|sorting| sorting.column_idx == place) {
                true => Ok(column),
                false => {
                    column.into_builder().set_column_index_offset(None).set_column_index_length(None).build()
                }
            }
        });
        let columns = columns.collect::<parquet::errors::Result<_>>()?;
        footer = footer.add_row_group(group.set_column_metadata(columns).build()?);
    }
    Ok(footer.build())
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
