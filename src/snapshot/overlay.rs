//! Corrections of single records on top of a version.
//!
//! A corrected record must not be judged by what is on disk: statistics, Bloom filters and filters in the scan would
//! drop it for its old value, or keep it for it. So a scan leaves its row out, as if it were deleted, and gives the
//! corrected row from memory beside it. Which rows those are is looked up once for each file.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_empty_array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{concat, take, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::ScalarValue;
use parking_lot::Mutex;
use roaring::RoaringTreemap;

use super::failure;
use super::find::{Hit, Window, find_all, find_unsorted, read_rows};
use super::keys::Keys;
use super::lane::Layout;
use super::lookup::may_have;
use super::version::{Snapshot, TableFile};
use crate::error::{Error, Result};
use crate::model::{FieldType, ObjectField};

/// What is kept in memory of the columns of corrected records; what is beyond is read again when it is asked for.
const KEPT_BYTES: usize = 64 << 20;
/// Files of which is known where the records are. Versions that nobody reads any more leave some behind.
const KEPT_FILES: usize = 4096;

/// What one column of one record holds instead.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Stored name of the column.
    pub column: String,
    /// In the type in which the column is read.
    pub value: ScalarValue,
}

/// Corrections of some records.
pub struct Overlay {
    key: Vec<String>,
    records: Window,
    keys: Keys,
    /// Which record each of the keys given is.
    places: Vec<usize>,
    patches: Vec<Patch>,
    found: Mutex<HashMap<String, Arc<Hits>>>,
    kept: Mutex<usize>,
}

impl std::fmt::Debug for Overlay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Overlay({} records)", self.records.rows())
    }
}

/// One column of the corrected records.
struct Patch {
    column: String,
    /// Which records are corrected in it.
    is_set: BooleanArray,
    values: ArrayRef,
}

/// Where records are in a file, deleted rows among them, and what is known of them.
struct Hits {
    hits: Vec<Hit>,
    columns: Mutex<HashMap<String, ArrayRef>>,
}

/// The records in one file of a version.
pub(crate) struct InFile {
    pub(crate) file: Arc<TableFile>,
    known: Arc<Hits>,
    /// Which of the hits are not deleted.
    live: Vec<u32>,
}

impl InFile {
    /// The rows that a scan has to leave out.
    pub(crate) fn rows(&self) -> RoaringTreemap {
        self.live.iter().filter_map(|at| self.known.hits.get(*at as usize)).map(|hit| hit.position).collect()
    }
}

impl Overlay {
    /// Corrections of the records with these keys, one row for each of `cells`; where two are of the same column of the
    /// same record the later one counts. Without a cell a record is only kept apart. The columns of `keys` are those of
    /// the key of the versions to be corrected, under their stored names, with their types, in that order.
    pub fn new(keys: &RecordBatch, cells: &[Option<Cell>]) -> Result<Self> {
        if keys.num_rows() != cells.len() || keys.num_columns() == 0 {
            return Err(Error::internal("corrections and their keys do not go together"));
        }
        let key: Vec<String> = keys.schema().fields().iter().map(|field| field.name().clone()).collect();
        let encoder = Keys::new(&keys.schema(), &key)?;
        let encoded = encoder.rows(keys)?;
        let mut order: Vec<u32> = (0..keys.num_rows() as u32).collect();
        order.sort_by(|a, b| encoded.row(*a as usize).cmp(&encoded.row(*b as usize)));
        let (mut places, mut firsts) = (vec![0; cells.len()], Vec::<u32>::new());
        for row in order {
            let is_new =
                firsts.last().is_none_or(|last| encoded.row(*last as usize) != encoded.row(row as usize));
            if is_new {
                firsts.push(row);
            }
            places[row as usize] = firsts.len() - 1;
        }
        let records = take_record_batch(keys, &UInt32Array::from(firsts)).map_err(failure::arrow)?;
        let patches = patches(cells, &places, records.num_rows())?;
        Ok(Overlay {
            records: Window::new(&encoder, records)?,
            keys: encoder,
            key,
            places,
            patches,
            found: Mutex::default(),
            kept: Mutex::default(),
        })
    }

    /// Whether it corrects one of the columns of `stored`.
    pub(crate) fn touches(&self, stored: &Schema) -> bool {
        self.patches.iter().any(|patch| stored.index_of(&patch.column).is_ok())
    }

    /// Where the records are in a version. Blocks.
    pub(crate) fn find(&self, snapshot: &Snapshot) -> Result<Vec<InFile>> {
        if self.key != snapshot.key() {
            // Their key is not the key any more: they cannot be told.
            return Ok(Vec::new());
        }
        let layout = Layout::of(snapshot)?;
        let mut found = Vec::new();
        for file in snapshot.files.iter().filter(|file| file.live() > 0 && self.records.may_be_in(file)) {
            let known = self.hits(snapshot, &layout, file)?;
            let deleted = file.deleted.as_ref();
            let is_live = |hit: &Hit| deleted.is_none_or(|deleted| !deleted.rows.contains(hit.position));
            let live: Vec<u32> =
                (0..).zip(&known.hits).filter(|(_, hit)| is_live(hit)).map(|(at, _)| at).collect();
            if !live.is_empty() {
                found.push(InFile { file: file.clone(), known, live });
            }
        }
        Ok(found)
    }

    fn hits(&self, snapshot: &Snapshot, layout: &Layout, file: &TableFile) -> Result<Arc<Hits>> {
        if let Some(known) = self.found.lock().get(&file.path) {
            return Ok(known.clone());
        }
        let reader = file.open(&snapshot.folder, &snapshot.footers)?;
        let is_alone = self.records.rows() == 1;
        let lacks = |filter: &_| !may_have(filter, &self.records.batch);
        // What another program wrote may not be sorted.
        let mut hits = match file.checksums.is_some() {
            true if is_alone && reader.filter(&layout.key[0])?.is_some_and(lacks) => Vec::new(),
            true => find_all(layout, &reader, file, &self.records)?,
            false => find_unsorted(layout, &reader, &self.records)?,
        };
        hits.sort_by_key(|hit| hit.position);
        let hits = Arc::new(Hits { hits, columns: Mutex::default() });
        let mut found = self.found.lock();
        if found.len() >= KEPT_FILES {
            found.clear();
            *self.kept.lock() = 0;
        }
        found.insert(file.path.clone(), hits.clone());
        Ok(hits)
    }

    /// The records that were found, with the columns of `stored`, as they are on disk; and which record each row is.
    /// Blocks.
    pub(crate) fn read(
        &self,
        snapshot: &Snapshot,
        found: &[InFile],
        stored: &SchemaRef,
    ) -> Result<(RecordBatch, Vec<u32>)> {
        let mut rows = Vec::new();
        let mut columns: Vec<Vec<ArrayRef>> = stored.fields().iter().map(|_| Vec::new()).collect();
        for part in found {
            let live = UInt32Array::from(part.live.clone());
            for (column, array) in columns.iter_mut().zip(self.columns(snapshot, part, stored)?) {
                column.push(take(&array, &live, None).map_err(failure::arrow)?);
            }
            let record = |at: &u32| part.known.hits.get(*at as usize).map(|hit| hit.row as u32);
            rows.extend(part.live.iter().filter_map(record));
        }
        let columns = columns.iter().zip(stored.fields()).map(|(parts, field)| match parts.as_slice() {
            [] => Ok(new_empty_array(field.data_type())),
            parts => concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>()).map_err(failure::arrow),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let columns = columns.collect::<Result<_>>()?;
        let batch = RecordBatch::try_new_with_options(stored.clone(), columns, &options);
        Ok((batch.map_err(failure::arrow)?, rows))
    }

    /// Columns of all rows of a file that are known, deleted ones among them.
    fn columns(&self, snapshot: &Snapshot, part: &InFile, stored: &SchemaRef) -> Result<Vec<ArrayRef>> {
        let name = |at: usize| format!("{} {}", stored.field(at).name(), stored.field(at).data_type());
        let mut known: Vec<Option<ArrayRef>> = {
            let columns = part.known.columns.lock();
            (0..stored.fields().len()).map(|at| columns.get(&name(at)).cloned()).collect()
        };
        let missing: Vec<usize> = (0..known.len()).filter(|at| known[*at].is_none()).collect();
        if !missing.is_empty() {
            let schema = Arc::new(stored.project(&missing).map_err(failure::arrow)?);
            let layout = Layout { schema, ..Layout::of(snapshot)? };
            let reader = part.file.open(&snapshot.folder, &snapshot.footers)?;
            let read = read_rows(&layout, &reader, &part.known.hits)?;
            for (at, array) in missing.into_iter().zip(read.columns()) {
                self.keep(part, name(at), array);
                known[at] = Some(array.clone());
            }
        }
        known.into_iter().map(|array| array.ok_or_else(|| Error::internal("a column was not read"))).collect()
    }

    fn keep(&self, part: &InFile, name: String, array: &ArrayRef) {
        let mut kept = self.kept.lock();
        let bytes = array.get_array_memory_size();
        if *kept + bytes <= KEPT_BYTES {
            *kept += bytes;
            part.known.columns.lock().insert(name, array.clone());
        }
    }

    /// Puts the corrections into rows as they are on disk; `records` tells which record each of them is.
    pub(crate) fn correct(&self, rows: &RecordBatch, records: &[u32]) -> Result<RecordBatch> {
        let records = UInt32Array::from(records.to_vec());
        let mut columns = rows.columns().to_vec();
        for patch in &self.patches {
            let Ok(at) = rows.schema_ref().index_of(&patch.column) else { continue };
            if columns[at].data_type() != patch.values.data_type() {
                return Err(Error::internal(format!(
                    "column `{}` is corrected in another type",
                    patch.column
                )));
            }
            let is_set = take(&patch.is_set, &records, None).map_err(failure::arrow)?;
            let values = take(&patch.values, &records, None).map_err(failure::arrow)?;
            let is_set = arrow::array::AsArray::as_boolean(&is_set);
            columns[at] = zip(is_set, &values, &columns[at]).map_err(failure::arrow)?;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(rows.schema(), columns, &options).map_err(failure::arrow)
    }

    /// The one row of `key`, which was found on disk, corrected where it is to be.
    pub(crate) fn correct_one(&self, key: &RecordBatch, row: RecordBatch) -> Result<RecordBatch> {
        let names = key.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        if names != self.key || row.num_rows() != 1 {
            return Ok(row);
        }
        let key = self.keys.rows(key)?;
        match self.records.place_of(key.row(0)) {
            Some(record) => self.correct(&row, &[record as u32]),
            None => Ok(row),
        }
    }

    /// The records of a version as they are on disk, under the names of SQL, and for each of the keys given to
    /// [`Overlay::new`] in which row it is; `None` when the version has no such record.
    pub async fn uncorrected(
        self: &Arc<Self>,
        snapshot: &Arc<Snapshot>,
        fields: &[ObjectField],
    ) -> Result<(RecordBatch, Vec<Option<usize>>)> {
        let (overlay, snapshot) = (self.clone(), snapshot.clone());
        let columns = |name: fn(&ObjectField) -> &String| -> Vec<(String, FieldType)> {
            fields.iter().map(|field| (name(field).clone(), field.data_type.clone())).collect()
        };
        let (named, stored) = (columns(|field| &field.name), columns(|field| &field.column));
        let work = move || {
            let stored = super::spec::schema_of(&stored);
            let (rows, records) = overlay.read(&snapshot, &overlay.find(&snapshot)?, &stored)?;
            let by_record: HashMap<usize, usize> =
                records.iter().enumerate().map(|(row, record)| (*record as usize, row)).collect();
            let places = overlay.places.iter().map(|record| by_record.get(record).copied()).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
            let schema = super::spec::schema_of(&named);
            let rows = RecordBatch::try_new_with_options(schema, rows.columns().to_vec(), &options);
            Ok((rows.map_err(failure::arrow)?, places))
        };
        tokio::task::spawn_blocking(work).await.map_err(failure::task)?
    }
}

fn patches(cells: &[Option<Cell>], places: &[usize], records: usize) -> Result<Vec<Patch>> {
    let mut by_column: HashMap<&str, Vec<Option<&ScalarValue>>> = HashMap::new();
    for (cell, place) in cells.iter().zip(places) {
        let Some(cell) = cell else { continue };
        by_column.entry(&cell.column).or_insert_with(|| vec![None; records])[*place] = Some(&cell.value);
    }
    let patch = |(column, values): (&str, Vec<Option<&ScalarValue>>)| {
        let wrong = |error| Error::internal("a correction has no value").with_source(error);
        let data_type = values.iter().flatten().next().map(|value| value.data_type());
        let data_type = data_type.ok_or_else(|| Error::internal("a corrected column has no type"))?;
        let null = ScalarValue::try_from(&data_type).map_err(wrong)?;
        let is_set = values.iter().map(|value| Some(value.is_some())).collect();
        let values = values.into_iter().map(|value| value.unwrap_or(&null).clone());
        let values = ScalarValue::iter_to_array(values).map_err(wrong)?;
        Ok(Patch { column: column.to_string(), is_set, values })
    };
    by_column.into_iter().map(patch).collect()
}
