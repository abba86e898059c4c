//! How a query reads the files of a version: footers from the shared cache, failures by name.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

use super::failure;
use super::parquet_read::FOOTER_HINT;
use super::verified_store::REPAIR;
use super::version::Snapshot;
use crate::error::Kind;

/// Opens files for a scan of one table.
#[derive(Debug)]
pub(crate) struct ScanFiles {
    inner: CachedParquetFileReaderFactory,
    store: Arc<dyn ObjectStore>,
    table: Arc<str>,
    /// Held for as long as the scan may open files: they must not be deleted meanwhile.
    _snapshot: Arc<Snapshot>,
}

impl ScanFiles {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        cache: Arc<FileMetadataCache>,
        snapshot: Arc<Snapshot>,
    ) -> Self {
        let inner = CachedParquetFileReaderFactory::new(store.clone(), cache);
        ScanFiles { inner, store, table: snapshot.folder.name.clone(), _snapshot: snapshot }
    }
}

impl ParquetFileReaderFactory for ScanFiles {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let (path, size) = (file.object_meta.location.to_string(), file.object_meta.size);
        let hint = metadata_size_hint.or(Some(FOOTER_HINT));
        let inner = self.inner.create_reader(partition_index, file, hint, metrics)?;
        Ok(Box::new(ScanFile { inner, store: self.store.clone(), size, path, table: self.table.clone() }))
    }
}

struct ScanFile {
    inner: Box<dyn AsyncFileReader + Send>,
    store: Arc<dyn ObjectStore>,
    size: u64,
    path: String,
    table: Arc<str>,
}

impl ScanFile {
    /// The failure with the names a person needs.
    fn explain(path: &str, table: &str, error: ParquetError) -> ParquetError {
        let error = failure::parquet(&format!("cannot read `{path}` of `{table}`"), error);
        let error = match error.kind() {
            Kind::Corrupt => error.with_hint(REPAIR),
            _ => error,
        };
        ParquetError::External(Box::new(error))
    }
}

impl AsyncFileReader for ScanFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let ScanFile { inner, path, table, .. } = self;
        async move { inner.get_bytes(range).await.map_err(|e| Self::explain(path, table, e)) }.boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        let ScanFile { inner, path, table, .. } = self;
        async move { inner.get_byte_ranges(ranges).await.map_err(|e| Self::explain(path, table, e)) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let ScanFile { inner, path, table, store, size } = self;
        // The scan asks for the footer first and would then read the page index itself, every time anew: past the
        // cache, which keeps both once they are asked for together.
        let options = options.cloned().unwrap_or_default().with_page_index_policy(PageIndexPolicy::Optional);
        async move {
            let error = match inner.get_metadata(Some(&options)).await {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            // The reader below keeps only the words of what the store said, so it is asked again.
            let end = size.saturating_sub(FOOTER_HINT as u64)..*size;
            match store.get_range(&Path::from(path.as_str()), end).await {
                Ok(_) => Err(Self::explain(path, table, error)),
                Err(cause) => Err(Self::explain(path, table, ParquetError::External(Box::new(cause)))),
            }
        }
        .boxed()
    }
}
