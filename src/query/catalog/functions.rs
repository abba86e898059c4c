//! Functions that answer from the catalog.
//!
//! Each is a line of a table: name, number of arguments, type of the result, and a function from the values of one
//! row to the answer. As in PostgreSQL most are strict: NULL for an argument gives NULL.

mod definitions;
mod names;
mod privileges;
mod sets;
mod sizes;
mod various;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::scope::Scope;
use crate::error::{Error, Kind};
use crate::query::PG_TYPE;

pub(super) use self::names::{of_oid, oid_of, reg_name, type_text};
pub(in crate::query) use self::sets::COLUMNS;
pub(in crate::query) use self::various::ENCODINGS;

/// A value of an argument or an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    /// The elements of an array as text.
    Texts(Vec<Option<String>>),
    Ints(Vec<i64>),
    /// Rows of several columns.
    Rows(Vec<Vec<Value>>),
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    pub(super) fn is_null(&self) -> bool {
        *self == Value::Null
    }

    /// A number; 0 where it is none.
    pub(super) fn int(&self) -> i64 {
        match self {
            Value::Int(number) => *number,
            Value::Text(text) => text.trim().parse().unwrap_or_default(),
            _ => 0,
        }
    }

    /// A text; empty where it is none.
    pub(super) fn str(&self) -> &str {
        match self {
            Value::Text(text) => text,
            _ => "",
        }
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        text.map_or(Value::Null, Value::Text)
    }
}

/// The type of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    Bool,
    Int4,
    Int8,
    /// Number of something, under the name of its type.
    Oid(&'static str),
    Text,
    /// Text under the name of another type.
    Named(&'static str),
    Names,
    Texts,
    Int4s,
    /// Rows with columns of these names.
    Rows(&'static [(&'static str, Gives)]),
}

impl Gives {
    fn data_type(self) -> DataType {
        let list = |element| DataType::List(Arc::new(Field::new_list_field(element, true)));
        match self {
            Gives::Bool => DataType::Boolean,
            Gives::Int4 => DataType::Int32,
            Gives::Int8 | Gives::Oid(_) => DataType::Int64,
            Gives::Text | Gives::Named(_) => DataType::Utf8,
            Gives::Names | Gives::Texts => list(DataType::Utf8),
            Gives::Int4s => list(DataType::Int32),
            Gives::Rows(columns) => {
                let fields = columns.iter().map(|(name, gives)| gives.field(name));
                list(DataType::Struct(fields.collect::<Fields>()))
            }
        }
    }

    fn pg_type(self) -> Option<&'static str> {
        match self {
            Gives::Oid(name) | Gives::Named(name) => Some(name),
            Gives::Names => Some("_name"),
            _ => None,
        }
    }

    pub(super) fn field(self, name: &str) -> Field {
        let metadata = self.pg_type().map(|told| (PG_TYPE.to_string(), told.to_string()));
        Field::new(name, self.data_type(), true).with_metadata(metadata.into_iter().collect())
    }

    fn array(self, values: &[Value]) -> Result<ArrayRef> {
        let number = |value: &Value| match value {
            Value::Int(number) => Some(*number),
            _ => None,
        };
        Ok(match self {
            Gives::Bool => Arc::new(BooleanArray::from_iter(values.iter().map(|value| match value {
                Value::Bool(value) => Some(*value),
                _ => None,
            }))),
            Gives::Int4 => Arc::new(Int32Array::from_iter(
                values.iter().map(|value| number(value).and_then(|number| i32::try_from(number).ok())),
            )),
            Gives::Int8 | Gives::Oid(_) => Arc::new(Int64Array::from_iter(values.iter().map(number))),
            Gives::Text | Gives::Named(_) => {
                Arc::new(StringArray::from_iter(values.iter().map(|value| match value {
                    Value::Text(text) => Some(text.as_str()),
                    _ => None,
                })))
            }
            Gives::Names | Gives::Texts => {
                let mut lists = ListBuilder::new(StringBuilder::new());
                for value in values {
                    lists.append_option(match value {
                        Value::Texts(texts) => Some(texts.clone()),
                        _ => None,
                    });
                }
                Arc::new(lists.finish())
            }
            Gives::Int4s => {
                let mut lists = ListBuilder::new(Int32Builder::new());
                for value in values {
                    lists.append_option(match value {
                        Value::Ints(numbers) => {
                            Some(numbers.iter().map(|number| i32::try_from(*number).ok()).collect::<Vec<_>>())
                        }
                        _ => None,
                    });
                }
                Arc::new(lists.finish())
            }
            Gives::Rows(columns) => rows(columns, values)?,
        })
    }
}

fn rows(columns: &'static [(&'static str, Gives)], values: &[Value]) -> Result<ArrayRef> {
    let none = Vec::new();
    let of = |value: &Value| match value {
        Value::Rows(rows) => rows.clone(),
        _ => none.clone(),
    };
    let lists: Vec<Vec<Vec<Value>>> = values.iter().map(of).collect();
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
    let nulls = arrow::buffer::NullBuffer::from_iter(values.iter().map(|value| !value.is_null()));
    let fields: Fields = columns.iter().map(|(name, gives)| gives.field(name)).collect();
    let arrays = columns.iter().enumerate().map(|(place, (_, gives))| {
        let column = lists.iter().flatten().map(|row| row.get(place).cloned().unwrap_or(Value::Null));
        gives.array(&column.collect::<Vec<_>>())
    });
    let count = lists.iter().map(Vec::len).sum();
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    let elements = StructArray::try_new_with_length(fields.clone(), arrays, None, count)?;
    let field = Arc::new(Field::new_list_field(DataType::Struct(fields), true));
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(elements), Some(nulls))?))
}

/// What a function does with the values of a row.
pub(super) type Body = fn(&Scope, &[Value]) -> Result<Value>;

/// A function.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    /// The least and the greatest number of arguments.
    pub(super) arguments: (usize, usize),
    pub(super) gives: Gives,
    /// Whether NULL for an argument gives NULL.
    pub(super) strict: bool,
    pub(super) body: Body,
}

/// A strict function.
pub(super) const fn spec(name: &'static str, arguments: (usize, usize), gives: Gives, body: Body) -> Spec {
    Spec { name, arguments, gives, strict: true, body }
}

fn find(name: &str) -> Option<&'static Spec> {
    let all = [
        definitions::ALL,
        names::ALL,
        privileges::ALL,
        sets::ALL,
        sizes::ALL,
        various::ALL,
        various::COUNTERS,
    ];
    all.into_iter().flatten().find(|spec| spec.name == name)
}

/// Whether the catalog has to be read for a function of that name.
pub(in crate::query) fn is_function(name: &str) -> bool {
    find(name).is_some()
}

/// Whether the answer of a function of that name depends on the files of tables.
pub(super) fn is_size(name: &str) -> bool {
    sizes::NAMES.contains(&name)
}

/// The function of that name.
pub(in crate::query) fn function(name: &str, scope: &Scope) -> Option<ScalarUDF> {
    find(name).map(|spec| call(spec, scope))
}

fn call(spec: &'static Spec, scope: &Scope) -> ScalarUDF {
    let signature = match spec.arguments.1 {
        0 => Signature::nullary(Volatility::Stable),
        _ if spec.arguments.0 == 0 => {
            let some = (1..=spec.arguments.1).map(datafusion::logical_expr::TypeSignature::Any);
            let all = [datafusion::logical_expr::TypeSignature::Nullary].into_iter().chain(some);
            Signature::one_of(all.collect(), Volatility::Stable)
        }
        _ => {
            let counts = spec.arguments.0..=spec.arguments.1;
            let all = counts.map(datafusion::logical_expr::TypeSignature::Any);
            Signature::one_of(all.collect(), Volatility::Stable)
        }
    };
    CatalogFunction { spec, scope: scope.clone(), signature }.into()
}

/// Answers of one batch that are remembered.
const REMEMBERED: usize = 512;

#[derive(Debug)]
struct CatalogFunction {
    spec: &'static Spec,
    scope: Scope,
    signature: Signature,
}

impl PartialEq for CatalogFunction {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.spec, other.spec) && Arc::ptr_eq(self.scope.catalog(), other.scope.catalog())
    }
}

impl Eq for CatalogFunction {}

impl Hash for CatalogFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.spec.name.hash(state);
    }
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        self.spec.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.spec.gives.data_type())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(self.spec.gives.field(self.spec.name)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let are_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let count = if are_constant { 1 } else { args.number_rows };
        let told = |field: &FieldRef| {
            field.metadata().get(PG_TYPE).map(String::as_str) == Some("int2vector")
                || field.metadata().get(PG_TYPE).map(String::as_str) == Some("oidvector")
        };
        let columns = args.args.iter().zip(&args.arg_fields);
        let columns = columns.map(|(arg, field)| Argument::new(arg, count, told(field)));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let mut answers = Vec::with_capacity(count);
        // The same type or schema is asked for again and again.
        let mut known: HashMap<Vec<Value>, Value> = HashMap::new();
        for row in 0..count {
            let values = columns.iter().map(|column| column.value(row)).collect::<Result<Vec<_>>>()?;
            if let Some(answer) = known.get(&values) {
                answers.push(answer.clone());
                continue;
            }
            let answer = match self.spec.strict && values.iter().any(Value::is_null) {
                true => Value::Null,
                false => (self.spec.body)(&self.scope, &values)?,
            };
            if known.len() < REMEMBERED {
                known.insert(values, answer.clone());
            }
            answers.push(answer);
        }
        let array = self.spec.gives.array(&answers)?;
        Ok(match are_constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?),
            false => ColumnarValue::Array(array),
        })
    }
}

/// The values of an argument, in the types that functions know.
enum Argument {
    Null,
    Bool(BooleanArray),
    Int(Int64Array),
    Text(StringArray),
    List(ListArray),
    /// An `int2vector` or `oidvector`.
    Vector(ListArray),
}

impl Argument {
    fn new(value: &ColumnarValue, count: usize, is_vector: bool) -> Result<Self> {
        let array = value.to_array(count)?;
        Ok(match array.data_type() {
            DataType::Null => Argument::Null,
            DataType::Boolean => Argument::Bool(array.as_boolean().clone()),
            DataType::List(_) if is_vector => Argument::Vector(array.as_list::<i32>().clone()),
            DataType::List(_) => Argument::List(array.as_list::<i32>().clone()),
            integer if integer.is_integer() => {
                Argument::Int(cast(&array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            _ => Argument::Text(cast(&array, &DataType::Utf8)?.as_string::<i32>().clone()),
        })
    }

    fn value(&self, row: usize) -> Result<Value> {
        Ok(match self {
            Argument::Bool(array) if !array.is_null(row) => Value::Bool(array.value(row)),
            Argument::Int(array) if !array.is_null(row) => Value::Int(array.value(row)),
            Argument::Text(array) if !array.is_null(row) => Value::text(array.value(row)),
            Argument::List(array) if !array.is_null(row) => {
                let values = cast(&array.value(row), &DataType::Utf8)?;
                let texts = values.as_string::<i32>().iter().map(|text| text.map(str::to_string));
                Value::Texts(texts.collect())
            }
            Argument::Vector(array) if !array.is_null(row) => {
                let values = cast(&array.value(row), &DataType::Int64)?;
                Value::Ints(values.as_primitive::<Int64Type>().values().to_vec())
            }
            _ => Value::Null,
        })
    }
}

/// 42704
fn undefined(what: String) -> datafusion::error::DataFusionError {
    Error::new(Kind::NotFound, what).with_sqlstate("42704").into()
}
