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
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::version::Snapshot;
use crate::error::{Error, Kind};

/// Enough of the end of a file to hold its footer and page index in most cases.
const FOOTER_HINT: usize = 64 * 1024;

/// Opens files for a scan of one table.
#[derive(Debug)]
pub(crate) struct ScanFiles {
    inner: CachedParquetFileReaderFactory,
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
        let table = snapshot.folder.name.clone();
        ScanFiles { inner: CachedParquetFileReaderFactory::new(store, cache), table, _snapshot: snapshot }
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
        let path = file.object_meta.location.to_string();
        let hint = metadata_size_hint.or(Some(FOOTER_HINT));
        let inner = self.inner.create_reader(partition_index, file, hint, metrics)?;
        Ok(Box::new(ScanFile { inner, path, table: self.table.clone() }))
    }
}

struct ScanFile {
    inner: Box<dyn AsyncFileReader + Send>,
    path: String,
    table: Arc<str>,
}

impl ScanFile {
    /// The failure with the names a person needs. The stored data is not what the log promises.
    fn explain(path: &str, table: &str, error: ParquetError) -> ParquetError {
        let text = error.to_string();
        let missing =
            text.contains("NotFound") || text.contains("not found") || text.contains("No such file");
        let what = match missing {
            true => format!("stored file `{path}` of `{table}` is missing"),
            false => format!("stored file `{path}` of `{table}` cannot be read: {text}"),
        };
        let error = Error::new(Kind::Corrupt, what)
            .with_hint("run a full sync of the object, or restore the file from a backup")
            .with_source(error);
        ParquetError::External(Box::new(error))
    }
}

impl AsyncFileReader for ScanFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let ScanFile { inner, path, table } = self;
        async move { inner.get_bytes(range).await.map_err(|e| Self::explain(path, table, e)) }.boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        let ScanFile { inner, path, table } = self;
        async move { inner.get_byte_ranges(ranges).await.map_err(|e| Self::explain(path, table, e)) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let ScanFile { inner, path, table } = self;
        async move { inner.get_metadata(options).await.map_err(|e| Self::explain(path, table, e)) }.boxed()
    }
}
