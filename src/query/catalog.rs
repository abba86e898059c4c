//! `pg_catalog`: what drivers ask about types. Read-only rows that are the same for everybody.
//!
//! `pg_range`, `pg_enum`, `pg_class` and `pg_attribute` have no rows: there are neither ranges, enums nor composite
//! types. Tables and their columns are listed in `tributary.object` and `tributary.field`.

mod prune;
mod regtype;
mod types;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float32Array, Int16Array, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, TableReference};
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;

pub(super) use self::prune::prune;
pub(super) use self::regtype::{cast, to_regtype};
pub use self::types::type_name;
pub(super) use self::types::type_oid;
use self::types::{Listed, listed};
use super::PG_TYPE;

/// The schema of the catalog. As in PostgreSQL its tables are found without it too.
pub(super) const SCHEMA: &str = "pg_catalog";
/// Its oid.
const NAMESPACE: i64 = 11;
/// The oid of the role that owns everything.
const OWNER: i64 = 10;

/// The table of the catalog that a name means, if it means one.
pub(super) fn table(name: &TableReference) -> Result<Option<Arc<dyn TableProvider>>> {
    if name.schema().is_some_and(|schema| schema != SCHEMA) {
        return Ok(None);
    }
    let none = Vec::<i64>::new;
    let columns = match name.table() {
        "pg_type" => types_columns(&listed()),
        "pg_namespace" => vec![
            oids("oid", vec![NAMESPACE]),
            texts("nspname", "name", vec![SCHEMA.to_string()]),
            oids("nspowner", vec![OWNER]),
        ],
        "pg_range" => {
            vec![oids("rngtypid", none()), oids("rngsubtype", none()), oids("rngmultitypid", none())]
        }
        "pg_enum" => vec![
            oids("oid", none()),
            oids("enumtypid", none()),
            plain("enumsortorder", Arc::new(Float32Array::from(Vec::<f32>::new()))),
            texts("enumlabel", "name", Vec::new()),
        ],
        "pg_class" => vec![
            oids("oid", none()),
            texts("relname", "name", Vec::new()),
            oids("relnamespace", none()),
            oids("reltype", none()),
            texts("relkind", "char", Vec::new()),
        ],
        "pg_attribute" => vec![
            oids("attrelid", none()),
            texts("attname", "name", Vec::new()),
            oids("atttypid", none()),
            smallints("attnum", Vec::new()),
            booleans("attnotnull", Vec::new()),
            booleans("attisdropped", Vec::new()),
        ],
        _ => return Ok(None),
    };
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
    Ok(Some(Arc::new(CatalogTable { rows })))
}

type Column = (Field, ArrayRef);

fn types_columns(types: &[Listed]) -> Vec<Column> {
    let all = |value: fn(&Listed) -> i64| types.iter().map(value).collect::<Vec<_>>();
    let text = |value: fn(&Listed) -> &str| types.iter().map(|listed| value(listed).to_string()).collect();
    let owned = |value: fn(&Listed) -> String| types.iter().map(value).collect::<Vec<_>>();
    let flag = |value: fn(&Listed) -> bool| types.iter().map(value).collect::<Vec<_>>();
    let integers = |number| Arc::new(Int32Array::from(vec![number; types.len()]));
    vec![
        oids("oid", all(|listed| listed.oid)),
        texts("typname", "name", owned(|listed| listed.name.clone())),
        oids("typnamespace", all(|_| NAMESPACE)),
        oids("typowner", all(|_| OWNER)),
        smallints("typlen", types.iter().map(|listed| listed.size).collect()),
        booleans("typbyval", flag(|listed| listed.by_value)),
        texts("typtype", "char", text(|listed| listed.kind)),
        texts("typcategory", "char", text(|listed| listed.category)),
        booleans("typispreferred", flag(|listed| listed.is_preferred)),
        booleans("typisdefined", flag(|_| true)),
        texts("typdelim", "char", text(|_| ",")),
        oids("typrelid", all(|_| 0)),
        oids("typelem", all(|listed| listed.element)),
        oids("typarray", all(|listed| listed.array)),
        texts("typinput", "text", owned(|listed| listed.function("in"))),
        texts("typoutput", "text", owned(|listed| listed.function("out"))),
        texts("typreceive", "text", owned(|listed| listed.function("recv"))),
        texts("typsend", "text", owned(|listed| listed.function("send"))),
        booleans("typnotnull", flag(|_| false)),
        oids("typbasetype", all(|_| 0)),
        plain("typtypmod", integers(-1)),
        plain("typndims", integers(0)),
    ]
}

fn named(name: &str, pg_type: &str, array: ArrayRef) -> Column {
    let metadata = [(PG_TYPE.to_string(), pg_type.to_string())].into();
    (Field::new(name, array.data_type().clone(), false).with_metadata(metadata), array)
}

fn plain(name: &str, array: ArrayRef) -> Column {
    (Field::new(name, array.data_type().clone(), false), array)
}

fn oids(name: &str, values: Vec<i64>) -> Column {
    named(name, "oid", Arc::new(Int64Array::from(values)))
}

fn texts(name: &str, pg_type: &str, values: Vec<String>) -> Column {
    named(name, pg_type, Arc::new(StringArray::from(values)))
}

fn smallints(name: &str, values: Vec<i16>) -> Column {
    plain(name, Arc::new(Int16Array::from(values)))
}

fn booleans(name: &str, values: Vec<bool>) -> Column {
    plain(name, Arc::new(BooleanArray::from(values)))
}

/// A table whose rows are known when a statement is planned.
#[derive(Debug)]
struct CatalogTable {
    rows: RecordBatch,
}

#[async_trait]
impl TableProvider for CatalogTable {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = vec![self.rows.clone()];
        Ok(MemorySourceConfig::try_new_exec(&[rows], self.rows.schema(), projection.cloned())?)
    }
}
