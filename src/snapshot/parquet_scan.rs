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
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

use super::parquet_read::FOOTER_HINT;
use crate::error::{Error, Kind};

/// Opens files for a scan of one table.
#[derive(Debug)]
pub(crate) struct ScanFiles {
    inner: CachedParquetFileReaderFactory,
    table: Arc<str>,
}

impl ScanFiles {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, cache: Arc<FileMetadataCache>, table: Arc<str>) -> Self {
        ScanFiles { inner: CachedParquetFileReaderFactory::new(store, cache), table }
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
        // The scan asks for the footer first and would then read the page index itself, every time anew: past the
        // cache, which keeps both once they are asked for together.
        let options = options.cloned().unwrap_or_default().with_page_index_policy(PageIndexPolicy::Optional);
        async move { inner.get_metadata(Some(&options)).await.map_err(|e| Self::explain(path, table, e)) }
            .boxed()
    }
}
