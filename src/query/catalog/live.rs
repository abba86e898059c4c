//! The catalog of a release: its rows, made when they are asked for first, and ways to find some of them.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int16Type, Int64Type};
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use parking_lot::Mutex;

use super::facts::{CatalogFacts, CatalogTable, Readers};
use super::shape::{Shape, shape};
use super::{SCHEMA, archive, rows};
use crate::error::Error;
use crate::model::Grant;
use crate::query::verb::VerbSignature;

/// Everything that is the same for all sessions that read one release. Never changes.
pub(in crate::query) struct Catalog {
    /// The SQL database.
    pub(super) company: String,
    pub(super) facts: CatalogFacts,
    pub(super) procedures: Vec<VerbSignature>,
    /// Bytes of tables, once somebody has asked for sizes.
    sizes: OnceLock<HashMap<u32, u64>>,
    relations: Mutex<HashMap<&'static str, Arc<[RecordBatch]>>>,
    indexes: Mutex<HashMap<(&'static str, &'static str), Arc<Index>>>,
    texts: Mutex<HashMap<&'static str, Texts>>,
    /// Rows that are those of a role, the newest first.
    of_roles: Mutex<Vec<(OfRole, Arc<[RecordBatch]>)>>,
}

/// Texts that belong to numbers.
type Texts = Arc<HashMap<i64, Vec<String>>>;

/// A view and the role that sees it so.
type OfRole = (&'static str, String);

/// Bytes of the views of roles that are kept.
const KEPT_OF_ROLES: usize = 32 << 20;

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the catalog of {}", self.company)
    }
}

/// Where in the rows of a relation each value of a column is.
enum Index {
    Numbers(HashMap<i64, Vec<(usize, usize)>>),
    Texts(HashMap<String, Vec<(usize, usize)>>),
}

/// What is looked for.
#[derive(Clone, Copy)]
pub(super) enum Key<'a> {
    Number(i64),
    Text(&'a str),
}

impl From<i64> for Key<'_> {
    fn from(number: i64) -> Self {
        Key::Number(number)
    }
}

impl<'a> From<&'a str> for Key<'a> {
    fn from(text: &'a str) -> Self {
        Key::Text(text)
    }
}

/// One row of a relation.
#[derive(Clone)]
pub(super) struct Row {
    batches: Arc<[RecordBatch]>,
    batch: usize,
    row: usize,
}

impl Row {
    fn value(&self, column: &str) -> Option<&Arc<dyn Array>> {
        self.batches.get(self.batch)?.column_by_name(column).filter(|array| !array.is_null(self.row))
    }

    /// A whole number; `None` when NULL.
    pub(super) fn int(&self, column: &str) -> Option<i64> {
        let array = self.value(column)?;
        match array.data_type() {
            DataType::Int64 => Some(array.as_primitive::<Int64Type>().value(self.row)),
            _ => {
                let wide = cast(&array.slice(self.row, 1), &DataType::Int64).ok()?;
                Some(wide.as_primitive::<Int64Type>().value(0))
            }
        }
    }

    /// The number of something; 0 when there is none.
    pub(super) fn oid(&self, column: &str) -> i64 {
        self.int(column).unwrap_or_default()
    }

    /// Text; empty when NULL.
    pub(super) fn text(&self, column: &str) -> &str {
        let array = self.value(column).and_then(|array| array.as_string_opt::<i32>());
        array.map_or("", |array| array.value(self.row))
    }

    /// Whether it is true.
    pub(super) fn is(&self, column: &str) -> bool {
        let array = self.value(column).and_then(|array| array.as_boolean_opt());
        array.is_some_and(|array| array.value(self.row))
    }

    /// Numbers of an array; none when NULL.
    pub(super) fn ints(&self, column: &str) -> Vec<i64> {
        let Some(array) = self.value(column).and_then(|array| array.as_list_opt::<i32>()) else {
            return Vec::new();
        };
        let values = array.value(self.row);
        match values.data_type() {
            DataType::Int16 => {
                values.as_primitive::<Int16Type>().values().iter().map(|n| i64::from(*n)).collect()
            }
            DataType::Int64 => values.as_primitive::<Int64Type>().values().to_vec(),
            _ => Vec::new(),
        }
    }

    /// Texts of an array; `None` when NULL.
    pub(super) fn texts(&self, column: &str) -> Option<Vec<String>> {
        let values = self.value(column)?.as_list_opt::<i32>()?.value(self.row);
        let values = values.as_string_opt::<i32>()?;
        Some(values.iter().map(|value| value.unwrap_or_default().to_string()).collect())
    }
}

impl Catalog {
    pub(in crate::query) fn new(company: &str, facts: CatalogFacts, procedures: Vec<VerbSignature>) -> Self {
        Catalog {
            company: company.to_string(),
            facts,
            procedures,
            sizes: OnceLock::new(),
            relations: Mutex::default(),
            indexes: Mutex::default(),
            texts: Mutex::default(),
            of_roles: Mutex::default(),
        }
    }

    /// All rows of a relation that are the same for everybody.
    pub(super) fn relation(&self, shape: &'static Shape) -> Result<Arc<[RecordBatch]>> {
        if let Some(known) = self.relations.lock().get(shape.name) {
            return Ok(Arc::clone(known));
        }
        let is_measured = self.sizes().is_some();
        let batches = archive::rows(shape)?.into_iter().chain(rows::of(self, shape)?);
        let mut batches: Vec<_> = batches.filter(|batch| batch.num_rows() > 0).collect();
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(shape.arrow()));
        }
        let batches: Arc<[RecordBatch]> = batches.into();
        let mut relations = self.relations.lock();
        // Somebody may have measured the tables meanwhile.
        if is_measured == self.sizes().is_some() {
            relations.insert(shape.name, Arc::clone(&batches));
        }
        drop(relations);
        Ok(batches)
    }

    /// All rows of a relation of `pg_catalog`.
    pub(super) fn all(&self, relation: &'static str) -> Result<Vec<Row>> {
        let batches = self.relation(known(relation)?)?;
        let rows = batches.iter().enumerate().flat_map(|(batch, rows)| {
            let batches = Arc::clone(&batches);
            (0..rows.num_rows()).map(move |row| Row { batches: Arc::clone(&batches), batch, row })
        });
        Ok(rows.collect())
    }

    /// The rows of a relation of `pg_catalog` with a value in a column.
    pub(super) fn find_all<'k>(
        &self,
        relation: &'static str,
        column: &'static str,
        key: impl Into<Key<'k>>,
    ) -> Result<Vec<Row>> {
        let batches = self.relation(known(relation)?)?;
        let index = self.indexes.lock().get(&(relation, column)).cloned();
        let index = match index {
            Some(index) => index,
            None => {
                let index = Arc::new(Index::new(&batches, column));
                self.indexes.lock().insert((relation, column), Arc::clone(&index));
                index
            }
        };
        let found = match (&*index, key.into()) {
            (Index::Numbers(places), Key::Number(number)) => places.get(&number),
            (Index::Texts(places), Key::Text(text)) => places.get(text),
            _ => None,
        };
        let row =
            |(batch, row): &(usize, usize)| Row { batches: Arc::clone(&batches), batch: *batch, row: *row };
        Ok(found.into_iter().flatten().map(row).collect())
    }

    /// The first of them.
    pub(super) fn find<'k>(
        &self,
        relation: &'static str,
        column: &'static str,
        key: impl Into<Key<'k>>,
    ) -> Result<Option<Row>> {
        Ok(self.find_all(relation, column, key)?.into_iter().next())
    }

    /// The rows of a view as a role sees it, where they are kept.
    pub(super) fn of_role(&self, key: &OfRole) -> Option<Arc<[RecordBatch]>> {
        let kept = self.of_roles.lock();
        kept.iter().find(|(known, _)| known == key).map(|(_, rows)| Arc::clone(rows))
    }

    /// Keeps them.
    pub(super) fn keep_of_role(&self, key: OfRole, rows: Arc<[RecordBatch]>) -> Arc<[RecordBatch]> {
        let mut kept = self.of_roles.lock();
        kept.retain(|(known, _)| *known != key);
        kept.insert(0, (key, Arc::clone(&rows)));
        let bytes = |rows: &[RecordBatch]| rows.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        let mut total = 0;
        kept.retain(|(_, rows)| {
            total += bytes(rows);
            total <= KEPT_OF_ROLES
        });
        rows
    }

    /// Texts that belong to numbers.
    pub(super) fn texts(&self, name: &'static str) -> Result<Arc<HashMap<i64, Vec<String>>>> {
        if let Some(known) = self.texts.lock().get(name) {
            return Ok(Arc::clone(known));
        }
        let texts = Arc::new(archive::texts(name)?);
        self.texts.lock().insert(name, Arc::clone(&texts));
        Ok(texts)
    }

    /// The name of a schema.
    pub(super) fn schema_name(&self, oid: i64) -> Result<String> {
        let row = self.find("pg_namespace", "oid", oid)?;
        Ok(row.map(|row| row.text("nspname").to_string()).unwrap_or_default())
    }

    /// The number of a schema; 0 where there is none of that name.
    pub(super) fn schema_oid(&self, name: &str) -> Result<i64> {
        Ok(self.find("pg_namespace", "nspname", name)?.map(|row| row.oid("oid")).unwrap_or_default())
    }

    /// The table that an oid belongs to.
    pub(super) fn table(&self, oid: i64) -> Option<&CatalogTable> {
        self.facts.tables.iter().find(|table| i64::from(table.oid) == oid)
    }

    /// Whether a login may read a table.
    pub(super) fn may_read(&self, role: &str, is_admin: bool, table: &CatalogTable) -> bool {
        let covers = |grant: &Grant| grant.user == role && grant.covers(&table.schema, &table.name);
        match table.readers {
            _ if is_admin => true,
            Readers::Everybody => true,
            Readers::Admins => false,
            Readers::Granted => self.facts.grants.iter().any(covers),
        }
    }

    /// Those who may read a table because it was granted to them.
    pub(super) fn readers(&self, table: &CatalogTable) -> Vec<&str> {
        let roles = self.facts.roles.iter().filter(|role| !role.is_admin);
        let granted = table.readers == Readers::Granted;
        let names = roles.map(|role| role.name.as_str());
        names.filter(|role| granted && self.may_read(role, false, table)).collect()
    }

    /// Those who may read a column because it was granted to them by itself.
    pub(super) fn readers_of(&self, table: &CatalogTable, column: &str) -> Vec<&str> {
        let roles = self.facts.roles.iter().filter(|role| !role.is_admin);
        let is_granted = |role: &str| {
            let of_role = self.facts.grants.iter().filter(|grant| grant.user == role);
            of_role.into_iter().any(|grant| grant.names(&table.schema, &table.name, column))
        };
        let granted = table.readers == Readers::Granted;
        roles.map(|role| role.name.as_str()).filter(|role| granted && is_granted(role)).collect()
    }

    /// Notes how many bytes tables take up. Counts once.
    pub(in crate::query) fn set_sizes(&self, sizes: HashMap<u32, u64>) {
        self.sizes.get_or_init(|| sizes);
        // What was made without them is made anew.
        self.relations.lock().remove("pg_class");
        self.indexes.lock().retain(|(relation, _), _| *relation != "pg_class");
    }

    /// Bytes of tables, where somebody has asked before.
    pub(in crate::query) fn sizes(&self) -> Option<&HashMap<u32, u64>> {
        self.sizes.get()
    }

    /// The objects of the release with the oids of their tables.
    pub(in crate::query) fn objects(&self) -> Vec<(u32, usize)> {
        self.facts.tables.iter().filter_map(|table| Some((table.oid, table.object?))).collect()
    }
}

fn known(relation: &'static str) -> Result<&'static Shape> {
    let missing = || Error::internal(format!("pg_catalog has no {relation}")).into();
    shape(SCHEMA, relation).ok_or_else(missing)
}

impl Index {
    fn new(batches: &[RecordBatch], column: &str) -> Self {
        let arrays: Vec<_> = batches.iter().filter_map(|batch| batch.column_by_name(column)).collect();
        let (mut numbers, mut texts): (HashMap<_, Vec<_>>, HashMap<_, Vec<_>>) = Default::default();
        for (batch, array) in arrays.into_iter().enumerate() {
            if let Some(array) = array.as_primitive_opt::<Int64Type>() {
                for (row, number) in array.iter().enumerate() {
                    numbers.entry(number.unwrap_or_default()).or_default().push((batch, row));
                }
            } else if let Some(array) = array.as_string_opt::<i32>() {
                for (row, text) in array.iter().enumerate() {
                    texts.entry(text.unwrap_or_default().to_string()).or_default().push((batch, row));
                }
            }
        }
        if texts.is_empty() { Index::Numbers(numbers) } else { Index::Texts(texts) }
    }
}
