//! The relations of `pg_catalog` and `information_schema`: their columns as PostgreSQL 15 has them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};

use crate::query::PG_TYPE;

/// Key in the metadata of a field that overrides the type modifier told to the client.
const MODIFIER: &str = "pg.typmod";

/// One line a relation: schema, name, kind, columns as `name:type`, with `!` where NULL is not allowed.
const RELATIONS: &str = include_str!("data/relations.tsv");

/// A relation that every PostgreSQL has.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) schema: &'static str,
    pub(super) name: &'static str,
    columns: Vec<(&'static str, &'static str, bool)>,
    arrow: std::sync::OnceLock<SchemaRef>,
}

/// By name: the two schemas have hardly one in common.
static SHAPES: LazyLock<HashMap<&'static str, Vec<Shape>>> = LazyLock::new(|| {
    let shape = |line: &'static str| {
        let mut parts = line.split('\t');
        let (schema, name, _kind, columns) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let columns = columns.split(' ').filter_map(|column| {
            let (name, data_type) = column.split_once(':')?;
            Some((name, data_type.trim_end_matches('!'), !data_type.ends_with('!')))
        });
        Some(Shape { schema, name, columns: columns.collect(), arrow: Default::default() })
    };
    let mut shapes: HashMap<_, Vec<_>> = HashMap::new();
    for shape in RELATIONS.lines().filter_map(shape) {
        shapes.entry(shape.name).or_default().push(shape);
    }
    shapes
});

/// The relation of that name.
pub(super) fn shape(schema: &str, name: &str) -> Option<&'static Shape> {
    // Asked for every table of every statement: the common answer is no, and costs nothing.
    if schema == super::SCHEMA && !name.starts_with("pg_") {
        return None;
    }
    SHAPES.get(name)?.iter().find(|shape| shape.schema == schema)
}

impl Shape {
    /// Its columns. A number of something is a 64-bit integer here; what the client is told is in the metadata.
    pub(super) fn arrow(&self) -> SchemaRef {
        let fields = || {
            self.columns.iter().map(|(name, data_type, nullable)| {
                let (arrow, told) = arrow_type(data_type);
                let mut field = Field::new(*name, arrow, *nullable || self.schema != super::SCHEMA);
                let mut metadata = HashMap::new();
                if let Some(told) = told {
                    metadata.insert(PG_TYPE.to_string(), told.to_string());
                }
                let modifier = match *data_type {
                    "yes_or_no" => Some("7"),
                    "time_stamp" => Some("2"),
                    "numeric" => Some("-1"),
                    _ => None,
                };
                if let Some(modifier) = modifier {
                    metadata.insert(MODIFIER.to_string(), modifier.to_string());
                }
                field.set_metadata(metadata);
                field
            })
        };
        Arc::clone(self.arrow.get_or_init(|| Arc::new(Schema::new(fields().collect::<Vec<_>>()))))
    }

    /// The place of a column.
    pub(super) fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|(name, ..)| *name == column)
    }
}

/// How values of a type are kept, and what the type is called where that does not tell it.
fn arrow_type(name: &'static str) -> (DataType, Option<&'static str>) {
    let plain = |data_type| (data_type, None);
    match name {
        "bool" => plain(DataType::Boolean),
        "int2" => plain(DataType::Int16),
        "int4" | "cardinal_number" => plain(DataType::Int32),
        "int8" => plain(DataType::Int64),
        "float4" => plain(DataType::Float32),
        "float8" => plain(DataType::Float64),
        "numeric" => plain(DataType::Decimal128(38, 0)),
        "bytea" => plain(DataType::Binary),
        "text" => plain(DataType::Utf8),
        "interval" => plain(DataType::Interval(IntervalUnit::MonthDayNano)),
        "timestamptz" | "time_stamp" => plain(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        "oid" | "xid" | "cid" | "regproc" | "regtype" => (DataType::Int64, Some(name)),
        "sql_identifier" => (DataType::Utf8, Some("name")),
        "character_data" | "yes_or_no" => (DataType::Utf8, Some("varchar")),
        "int2vector" => (list(DataType::Int16), Some(name)),
        "oidvector" => (list(DataType::Int64), Some(name)),
        array if array.starts_with('_') => {
            let (element, told) = arrow_type(array.trim_start_matches('_'));
            (list(element), told.map(|_| array))
        }
        other => (DataType::Utf8, Some(other)),
    }
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, true)))
}
