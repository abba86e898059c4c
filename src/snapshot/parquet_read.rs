//! Reading Parquet files of a table outside of queries: to look up keys, and to merge.

use std::collections::{BTreeSet, VecDeque};
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
use parquet::arrow::ARROW_SCHEMA_META_KEY;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::arrow::{ProjectionMask, async_reader::ParquetRecordBatchStream};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    FileMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder, RowGroupMetaData,
};
use parquet::schema::types::{SchemaDescriptor, Type};

use super::checksum::Checksums;
use super::failure;
use super::pages::KeyPages;
use super::parquet_write::{Folder, NewFile};
use super::verified_store::VerifiedStore;
use crate::error::{Error, Result};

/// Enough of the end of a file to hold its footer and page index in most cases.
pub(crate) const FOOTER_HINT: usize = 256 * 1024;
/// Rows read at once.
const BATCH_ROWS: usize = 8192;

/// What is known of files lately looked into. Files never change, so an entry is always right.
#[derive(Debug, Default)]
pub(crate) struct Footers {
    known: Mutex<VecDeque<(Path, Arc<Footer>)>>,
}

/// What is known of one file. Of its page index only what somebody needed is parsed: that of all columns takes longer than
/// to look for some keys.
#[derive(Debug)]
struct Footer {
    /// Without a page index.
    plain: ArrowReaderMetadata,
    /// Of the columns that the file is sorted by, with their page index.
    sorted_by: ArrowReaderMetadata,
    /// Which columns of the file those are.
    columns: Vec<usize>,
    /// Of all columns, with where their pages are.
    located: OnceLock<ArrowReaderMetadata>,
    /// The Bloom filter of the first key column, where the file has one.
    filter: OnceLock<Option<Sbbf>>,
    /// The pages of the first key column.
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
    source: StoreFile,
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
        let source = StoreFile { store, path, size };
        let footer = match footers.get(&source.path) {
            Some(footer) => footer,
            None => {
                let footer = folder.wait(source.footer());
                let footer = Arc::new(footer.map_err(|e| failure::parquet(&what(folder, &source.path), e))?);
                footers.put(source.path.clone(), footer.clone());
                footer
            }
        };
        Ok(FileReader { folder: folder.clone(), source, footer })
    }

    /// Schema of the file.
    pub(crate) fn schema(&self) -> &SchemaRef {
        self.footer.plain.schema()
    }

    /// What the footer tells, without a page index.
    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        self.footer.plain.metadata()
    }

    /// The same as if the file had only the columns that it is sorted by, with their page index. A file of another program
    /// has all of them.
    pub(crate) fn sorted_by(&self) -> &ArrowReaderMetadata {
        &self.footer.sorted_by
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
                let mut builder = self.builder(&self.footer.plain);
                let filter = self.folder.wait(builder.get_row_group_column_bloom_filter(0, place));
                filter.map_err(|e| self.failed(e))?
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

    fn builder(&self, metadata: &ArrowReaderMetadata) -> ParquetRecordBatchStreamBuilder<StoreFile> {
        ParquetRecordBatchStreamBuilder::new_with_metadata(self.source.clone(), metadata.clone())
    }

    fn failed(&self, error: ParquetError) -> Error {
        failure::parquet(&what(&self.folder, &self.source.path), error)
    }

    /// Reads `columns`, and only the pages that hold a row of `selection`.
    pub(crate) fn read(&self, columns: &[usize], selection: Option<RowSelection>) -> Result<Batches> {
        let footer = &self.footer;
        let place = |column: &usize| footer.columns.iter().position(|sorted_by| sorted_by == column);
        let (metadata, columns) = match (&selection, columns.iter().map(place).collect::<Option<Vec<_>>>()) {
            (None, _) => (&footer.plain, columns.to_vec()),
            (Some(_), Some(places)) => (&footer.sorted_by, places),
            (Some(_), None) => (self.located()?, columns.to_vec()),
        };
        let mask = ProjectionMask::roots(metadata.parquet_schema(), columns);
        let mut builder = self.builder(metadata).with_batch_size(BATCH_ROWS).with_projection(mask);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        let stream = builder.build().map_err(|e| self.failed(e))?;
        Ok(Batches { folder: self.folder.clone(), path: self.source.path.clone(), stream })
    }

    fn located(&self) -> Result<&ArrowReaderMetadata> {
        if let Some(known) = self.footer.located.get() {
            return Ok(known);
        }
        let plain = self.metadata().clone();
        let located = self.folder.wait(async { arrow(self.source.located(plain).await?) });
        let located = located.map_err(|e| self.failed(e))?;
        Ok(self.footer.located.get_or_init(|| located))
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
#[derive(Clone)]
struct StoreFile {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

impl StoreFile {
    async fn range(&self, range: Range<u64>) -> parquet::errors::Result<Bytes> {
        self.store.get_range(&self.path, range).await.map_err(external)
    }

    async fn ranges(&self, ranges: &[Range<u64>]) -> parquet::errors::Result<Vec<Bytes>> {
        self.store.get_ranges(&self.path, ranges).await.map_err(external)
    }

    async fn footer(&self) -> parquet::errors::Result<Footer> {
        let end = self.size.saturating_sub(FOOTER_HINT as u64)..self.size;
        let bytes = self.range(end.clone()).await?;
        let mut decoder = ParquetMetaDataPushDecoder::try_new(self.size)?;
        decoder.push_range(end.clone(), bytes.clone())?;
        let plain = self.decode(decoder.with_page_index_policy(PageIndexPolicy::Skip)).await?;
        let (columns, sorted_by) = sorted_by(&plain)?;
        let mut decoder = ParquetMetaDataPushDecoder::try_new_with_metadata(self.size, sorted_by)?;
        decoder.push_range(end, bytes)?;
        let sorted_by = self.decode(decoder.with_page_index_policy(PageIndexPolicy::Optional)).await?;
        Ok(Footer {
            plain: arrow(plain)?,
            sorted_by: arrow(sorted_by)?,
            columns,
            located: OnceLock::new(),
            filter: OnceLock::new(),
            key_pages: OnceLock::new(),
        })
    }

    /// Adds to a footer where pages are.
    async fn located(&self, footer: ParquetMetaData) -> parquet::errors::Result<ParquetMetaData> {
        let decoder = ParquetMetaDataPushDecoder::try_new_with_metadata(self.size, footer)?
            .with_column_index_policy(PageIndexPolicy::Skip)
            .with_offset_index_policy(PageIndexPolicy::Optional);
        self.decode(decoder).await
    }

    /// Reads what the decoder asks for beyond what it was given.
    async fn decode(
        &self,
        mut decoder: ParquetMetaDataPushDecoder,
    ) -> parquet::errors::Result<ParquetMetaData> {
        loop {
            match decoder.try_decode()? {
                DecodeResult::Data(metadata) => return Ok(metadata),
                DecodeResult::NeedsData(ranges) => {
                    let found = self.ranges(&ranges).await?;
                    decoder.push_ranges(ranges, found)?;
                }
                DecodeResult::Finished => return Err(ParquetError::EOF("the footer ends early".into())),
            }
        }
    }
}

/// The columns that a file is sorted by, and what its footer would be if it had no others. Where it does not tell, or says
/// of all columns at once which types they have, that is all of it.
fn sorted_by(footer: &ParquetMetaData) -> parquet::errors::Result<(Vec<usize>, ParquetMetaData)> {
    let file = footer.file_metadata();
    let mut said = file.key_value_metadata().into_iter().flatten();
    let tells_types = said.any(|said| said.key == ARROW_SCHEMA_META_KEY);
    let sorting = footer.row_groups().first().and_then(|group| group.sorting_columns());
    let columns = sorting.into_iter().flatten().filter_map(|column| usize::try_from(column.column_idx).ok());
    let fields = file.schema().get_fields();
    let columns: BTreeSet<usize> = columns.filter(|column| *column < fields.len() && !tells_types).collect();
    if columns.is_empty() || fields.len() != file.schema_descr().num_columns() {
        return Ok(((0..fields.len()).collect(), footer.clone()));
    }
    let kept = fields.iter().enumerate().filter(|(place, _)| columns.contains(place));
    let kept = kept.map(|(_, field)| field.clone()).collect();
    let schema = Type::group_type_builder(file.schema().name()).with_fields(kept).build()?;
    let schema = Arc::new(SchemaDescriptor::new(Arc::new(schema)));
    let groups = footer.row_groups().iter().map(|group| {
        let kept = group.columns().iter().enumerate().filter(|(place, _)| columns.contains(place));
        RowGroupMetaData::builder(schema.clone())
            .set_num_rows(group.num_rows())
            .set_total_byte_size(group.total_byte_size())
            .set_column_metadata(kept.map(|(_, column)| column.clone()).collect())
            .build()
    });
    let groups = groups.collect::<parquet::errors::Result<_>>()?;
    let file = FileMetaData::new(file.version(), file.num_rows(), None, None, schema, None);
    Ok((columns.into_iter().collect(), ParquetMetaData::new(file, groups)))
}

fn arrow(metadata: ParquetMetaData) -> parquet::errors::Result<ArrowReaderMetadata> {
    ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new())
}

impl AsyncFileReader for StoreFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.range(range).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move { self.ranges(&ranges).await }.boxed()
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
