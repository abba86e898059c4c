//! Reading a version in a query: a plain Parquet scan whose deletion vectors are row selections, or masks after it
//! where many rows were deleted. Of one key, the row itself is read. Corrected rows are left out of the scan in the same
//! way, and come from memory beside it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{
    ColumnStatistics, Constraint, Constraints, Result, Statistics, internal_datafusion_err,
};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use object_store::ObjectMeta;
use parquet::arrow::arrow_reader::RowSelection;
use roaring::RoaringTreemap;

use super::difference::Part;
use super::dv::{mask_without, selected, without};
use super::live::{LiveRows, file_number, has_many_gaps, numbered};
use super::lookup::{key_of, look_up};
use super::overlay::Overlay;
use super::parquet_scan::ScanFiles;
use super::spec::schema_of;
use super::verified_store::VerifiedStore;
use super::version::{Snapshot, TableFile};
use crate::model::{FieldType, ObjectField};

/// A version of a table as a query sees it.
pub(crate) struct SnapshotTable {
    snapshot: Arc<Snapshot>,
    /// Under the names of SQL.
    schema: SchemaRef,
    /// The same columns under the names on disk.
    stored: SchemaRef,
    columns: Vec<(String, FieldType)>,
    parts: Vec<Part>,
    /// Whether the parts are all rows of the version.
    is_whole: bool,
    /// The unique fields: what is grouped by them has one row a group.
    constraints: Constraints,
    overlay: Option<Arc<Overlay>>,
}

/// The corrected rows of a scan.
struct Corrected {
    /// Those of its columns.
    rows: RecordBatch,
    /// Where they are, by path.
    hidden: HashMap<String, RoaringTreemap>,
}

impl std::fmt::Debug for SnapshotTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotTable({} version {})", self.snapshot.folder.name, self.snapshot.version())
    }
}

impl SnapshotTable {
    /// All rows of a version.
    pub(crate) fn new(snapshot: Arc<Snapshot>, fields: &[ObjectField]) -> Self {
        let parts: Vec<Part> = snapshot.files.iter().map(|file| (file.clone(), None)).collect();
        SnapshotTable { is_whole: true, ..Self::part(snapshot, fields, &parts) }
    }

    /// Some rows of a version.
    pub(crate) fn part(snapshot: Arc<Snapshot>, fields: &[ObjectField], parts: &[Part]) -> Self {
        let columns = |name: fn(&ObjectField) -> &String| -> Vec<_> {
            fields.iter().map(|field| (name(field).clone(), field.data_type.clone())).collect()
        };
        let parts = parts.iter().filter(|(file, _)| file.live() > 0).cloned().collect();
        let (schema, columns) = (schema_of(&columns(|field| &field.name)), columns(|field| &field.column));
        let stored = schema_of(&columns);
        let key = (0..fields.len()).filter(|at| fields[*at].key_position.is_some()).collect::<Vec<_>>();
        let keys = if key.is_empty() { Vec::new() } else { vec![Constraint::PrimaryKey(key)] };
        let constraints = Constraints::new_unverified(keys);
        SnapshotTable {
            schema,
            stored,
            columns,
            parts,
            is_whole: false,
            constraints,
            overlay: None,
            snapshot,
        }
    }

    /// The same rows with corrections. Of some rows of a version, all records of the overlay are among them.
    pub(crate) fn corrected(self, overlay: Option<Arc<Overlay>>) -> Self {
        SnapshotTable { overlay, ..self }
    }

    /// The rows that are not as on disk; `None` where the query sees no difference.
    async fn corrections(&self, projection: Option<&Vec<usize>>) -> Result<Option<Corrected>> {
        let Some(overlay) = &self.overlay else { return Ok(None) };
        let stored = project(&self.stored, projection)?;
        // A filter of the query reads its columns.
        if self.is_whole && !overlay.touches(&stored) {
            return Ok(None);
        }
        let (overlay, snapshot) = (overlay.clone(), self.snapshot.clone());
        let work = move || {
            let found = overlay.find(&snapshot)?;
            let (rows, records) = overlay.read(&snapshot, &found, &stored)?;
            let rows = overlay.correct(&rows, &records)?;
            let hidden = found.iter().map(|part| (part.file.path.clone(), part.rows())).collect();
            Ok(Corrected { rows, hidden })
        };
        blocking(work).await.map(Some)
    }

    /// Rows in memory under the names of SQL.
    fn in_memory(
        &self,
        rows: &RecordBatch,
        projection: Option<&Vec<usize>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = project(&self.schema, projection)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let rows = RecordBatch::try_new_with_options(schema.clone(), rows.columns().to_vec(), &options)?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![rows]], schema, None)?)
    }

    /// The row that `filters` ask for by its key, where they do.
    async fn row(
        &self,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let reads_columns = projection.is_none_or(|projection| !projection.is_empty());
        let key = match self.is_whole && reads_columns {
            true => key_of(&self.snapshot, &self.schema, &self.stored, filters),
            false => None,
        };
        let Some(key) = key else { return Ok(None) };
        let (snapshot, stored) = (self.snapshot.clone(), project(&self.stored, projection)?);
        let (overlay, is_local) = (self.overlay.clone(), self.snapshot.folder.is_local);
        let work = move || {
            let row = look_up(&snapshot, key.clone(), &stored)?;
            match overlay {
                Some(overlay) => overlay.correct_one(&key, row),
                None => Ok(row),
            }
        };
        let row = match is_local {
            // Another thread would take longer to wake than this takes.
            true => work().map_err(|error| DataFusionError::External(Box::new(error)))?,
            false => blocking(work).await?,
        };
        self.in_memory(&row, projection).map(Some)
    }
}

/// Runs what reads files outside of a scan.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> crate::error::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| internal_datafusion_err!("a lookup ended: {error}"))?;
    done.map_err(|error| DataFusionError::External(Box::new(error)))
}

fn project(schema: &SchemaRef, projection: Option<&Vec<usize>>) -> Result<SchemaRef> {
    Ok(match projection {
        Some(projection) => Arc::new(schema.project(projection)?),
        None => schema.clone(),
    })
}

/// A file as a scan takes it: what is known of it, and which of its rows are still there.
fn partitioned(
    snapshot: &Snapshot,
    (file, rows): &Part,
    hidden: Option<&RoaringTreemap>,
    columns: &[(String, FieldType)],
) -> PartitionedFile {
    let statistics = statistics(snapshot, file, columns);
    let visible;
    let rows = match (rows, hidden) {
        (rows, None) => rows.as_ref(),
        (Some(rows), Some(hidden)) => {
            visible = rows - hidden;
            Some(&visible)
        }
        (None, Some(hidden)) => {
            let mut statistics = statistics.to_inexact();
            statistics.num_rows = Precision::Exact(file.live().saturating_sub(hidden.len()) as usize);
            let selection = without(&gone(file, Some(hidden)), file.stats.rows);
            return scanned(snapshot, file, Some(selection)).with_statistics(Arc::new(statistics));
        }
    };
    let Some(rows) = rows else {
        // The selection of what is left may be large; a clone shares it.
        let scanned = file.scanned.get_or_init(|| {
            let deleted = file.deleted.as_ref();
            scanned(snapshot, file, deleted.map(|deleted| deleted.selection(file.stats.rows)))
        });
        return scanned.clone().with_statistics(Arc::new(statistics));
    };
    let mut statistics = statistics.to_inexact();
    statistics.num_rows = Precision::Exact(rows.len() as usize);
    let selection = selected(rows, file.stats.rows);
    scanned(snapshot, file, Some(selection)).with_statistics(Arc::new(statistics))
}

/// The rows of a file that a scan leaves out.
fn gone(file: &TableFile, hidden: Option<&RoaringTreemap>) -> RoaringTreemap {
    let mut gone = file.deleted.as_ref().map(|deleted| deleted.rows.clone()).unwrap_or_default();
    if let Some(hidden) = hidden {
        gone |= hidden;
    }
    gone
}

/// A file as a scan takes it that numbers its rows: deleted ones are among them.
fn numbered_file(
    snapshot: &Snapshot,
    file: &TableFile,
    number: u16,
    columns: &[(String, FieldType)],
) -> PartitionedFile {
    let mut statistics = bounds(snapshot, file, columns);
    statistics.num_rows = Precision::Exact(file.stats.rows as usize);
    // Those of the two added columns.
    statistics.column_statistics.extend([ColumnStatistics::new_unknown(), ColumnStatistics::new_unknown()]);
    let mut scanned = scanned(snapshot, file, None);
    scanned.partition_values = vec![file_number(number)];
    scanned.statistics = Some(Arc::new(statistics));
    scanned
}

/// A file of which only the selected rows count.
fn scanned(snapshot: &Snapshot, file: &TableFile, selection: Option<RowSelection>) -> PartitionedFile {
    let scanned = PartitionedFile::from(ObjectMeta {
        location: snapshot.folder.path(&file.path),
        last_modified: chrono::DateTime::from_timestamp_micros(file.modified).unwrap_or_default(),
        size: file.size,
        e_tag: None,
        version: None,
    });
    match selection {
        Some(selection) => scanned.with_extension(ParquetRowSelection::new(selection)),
        None => scanned,
    }
}

/// What is known of the rows that are left: their number. Bounds are exact unless rows were deleted.
fn statistics(snapshot: &Snapshot, file: &TableFile, columns: &[(String, FieldType)]) -> Statistics {
    let mut statistics = bounds(snapshot, file, columns);
    if file.deleted.is_some() {
        statistics = statistics.to_inexact();
    }
    statistics.num_rows = Precision::Exact(file.live() as usize);
    statistics
}

/// What is known of the columns of a file, with what was deleted of it.
fn bounds(snapshot: &Snapshot, file: &TableFile, columns: &[(String, FieldType)]) -> Statistics {
    let column_statistics = columns.iter().map(|(name, data_type)| {
        let mut column = ColumnStatistics::new_unknown();
        let stored = snapshot.columns().iter().find(|(known, _)| known == name);
        let known = match (stored, file.stats.columns.get(name)) {
            (Some((_, stored)), Some(known)) if stored == data_type => known,
            _ => return column,
        };
        if let Some((min, max)) = &known.bounds {
            column.min_value = Precision::Exact(min.clone());
            column.max_value = Precision::Exact(max.clone());
        }
        if let Some(nulls) = known.nulls {
            column.null_count = Precision::Exact(nulls as usize);
        }
        column
    });
    Statistics {
        num_rows: Precision::Absent,
        total_byte_size: Precision::Inexact(file.size as usize),
        column_statistics: column_statistics.collect(),
    }
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.constraints)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(row) = self.row(projection, filters).await? {
            return Ok(row);
        }
        let corrected = self.corrections(projection).await?;
        let hidden = corrected.as_ref().map(|corrected| &corrected.hidden);
        let scan = match self.parts.is_empty() {
            true => Arc::new(EmptyExec::new(project(&self.schema, projection)?)),
            false => self.files(state, projection, filters, limit, hidden)?,
        };
        match corrected {
            Some(corrected) if corrected.rows.num_rows() > 0 => {
                UnionExec::try_new(vec![scan, self.in_memory(&corrected.rows, projection)?])
            }
            _ => Ok(scan),
        }
    }
}

impl SnapshotTable {
    /// The rows that are read from files: all but those in `hidden`, by path.
    fn files(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
        hidden: Option<&HashMap<String, RoaringTreemap>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let hidden_in = |file: &TableFile| hidden.and_then(|hidden| hidden.get(&file.path));
        let masks = self.masks(projection, hidden_in);
        let files: Vec<_> = match &masks {
            Some(_) => {
                let files = self.parts.iter().zip(0..);
                files
                    .map(|((file, _), number)| numbered_file(&self.snapshot, file, number, &self.columns))
                    .collect()
            }
            None => {
                let part = |part: &Part| partitioned(&self.snapshot, part, hidden_in(&part.0), &self.columns);
                self.parts.iter().map(part).collect()
            }
        };
        let schema = match &masks {
            Some(_) => numbered(&self.stored),
            None => self.stored.clone().into(),
        };
        let all_columns = schema.table_schema().clone();
        let options = TableParquetOptions {
            global: state.config().options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        // A filter in the scan decides page by page what is read of the other columns. Where there are none, it is
        // cheaper behind the scan.
        let pushdown = self.reads_others(projection, filters);
        let url = self.snapshot.folder.url.clone();
        let store = state.runtime_env().object_store(&url)?;
        let table = self.snapshot.folder.name.clone();
        let store = VerifiedStore::new(store, table, self.snapshot.known.clone());
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let readers = ScanFiles::new(store, cache, self.snapshot.clone());
        let source = ParquetSource::new(schema)
            .with_table_parquet_options(options)
            .with_pushdown_filters(pushdown)
            .with_parquet_file_reader_factory(Arc::new(readers));
        let source: Arc<dyn FileSource> = Arc::new(source);
        let source = match self.projection(projection, &all_columns) {
            Some(projection) => source
                .try_pushdown_projection(&projection)?
                .ok_or_else(|| internal_datafusion_err!("Parquet files take no projection"))?,
            None => source,
        };
        let merge = |files: &mut dyn Iterator<Item = &PartitionedFile>| {
            let known: Vec<_> = files.filter_map(|file| file.statistics.as_deref()).collect();
            Statistics::try_merge_iter(known, &all_columns)
        };
        let groups = FileGroup::new(files.clone()).split_files(state.config().target_partitions());
        let groups = groups.into_iter().map(|group| {
            let statistics = merge(&mut group.iter())?;
            Ok(group.with_statistics(Arc::new(statistics)))
        });
        let scan = FileScanConfigBuilder::new(url, source)
            .with_file_groups(groups.collect::<Result<Vec<_>>>()?)
            .with_statistics(merge(&mut files.iter())?);
        let Some(masks) = masks else {
            return Ok(DataSourceExec::from_data_source(scan.with_limit(limit).build()));
        };
        let scan = DataSourceExec::from_data_source(scan.build());
        Ok(Arc::new(LiveRows::new(masks, !filters.is_empty()).of(scan, limit)?))
    }

    /// What is left of each file, where masks tell that better than selections do: in a table with many deleted rows.
    /// Files of other programs do not number their row groups.
    fn masks<'a>(
        &'a self,
        projection: Option<&Vec<usize>>,
        hidden: impl Fn(&'a TableFile) -> Option<&'a RoaringTreemap>,
    ) -> Option<Vec<Option<BooleanBuffer>>> {
        let has_gaps = |(file, _): &'a Part| {
            let deleted = file.deleted.as_ref().map_or(0, |deleted| deleted.rows.len());
            has_many_gaps(deleted + hidden(file).map_or(0, RoaringTreemap::len), file.stats.rows)
        };
        // Without columns rows are only counted, which needs no scan.
        let suits = self.is_whole
            && projection.is_none_or(|projection| !projection.is_empty())
            && u16::try_from(self.parts.len()).is_ok()
            && self.parts.iter().any(has_gaps)
            && self.parts.iter().all(|(file, _)| file.checksums.is_some());
        let mask = |(file, _): &'a Part| match hidden(file) {
            Some(hidden) => Some(mask_without(&gone(file, Some(hidden)), file.stats.rows)),
            None => file.deleted.as_ref().map(|deleted| deleted.mask(file.stats.rows)),
        };
        suits.then(|| self.parts.iter().map(mask).collect())
    }

    /// Stored columns as SQL calls them, and after them those that the scan adds to them, of `all`; `None` when that
    /// is all of them under the same names.
    fn projection(&self, projection: Option<&Vec<usize>>, all: &Schema) -> Option<ProjectionExprs> {
        if projection.is_none() && self.schema == self.stored {
            return None;
        }
        let own = self.stored.fields().len();
        let column = |index: usize| {
            let stored = Column::new(all.field(index).name(), index);
            let name = if index < own { self.schema.field(index).name() } else { all.field(index).name() };
            ProjectionExpr::new(Arc::new(stored), name)
        };
        let added = own..all.fields().len();
        Some(match projection {
            Some(indices) => ProjectionExprs::new(indices.iter().copied().chain(added).map(column)),
            None => ProjectionExprs::new((0..own).chain(added).map(column)),
        })
    }

    /// Whether the query reads columns that its filters do not need.
    fn reads_others(&self, projection: Option<&Vec<usize>>, filters: &[Expr]) -> bool {
        let filtered: HashSet<&str> =
            filters.iter().flat_map(Expr::column_refs).map(|column| column.name.as_str()).collect();
        let is_other = |index: usize| !filtered.contains(self.schema.field(index).name().as_str());
        match projection {
            Some(projection) => projection.iter().copied().any(is_other),
            None => (0..self.schema.fields().len()).any(is_other),
        }
    }
}
