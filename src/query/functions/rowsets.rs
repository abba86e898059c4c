//! What the planner needs to take arrays apart into rows and to make arrays of rows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray, UInt32Array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::query::PG_TYPE;

/// Name of the function that puts the elements of arrays side by side, each row with its place. No statement can
/// contain it.
pub(in crate::query) const NUMBERED: &str = "\u{1f}numbered";
/// Name of the function that gives an empty array for NULL.
pub(in crate::query) const EMPTY_FOR_NULL: &str = "\u{1f}empty_for_null";
/// Name of the part of [`NUMBERED`] with the place, from 1 on.
pub(in crate::query) const PLACE: &str = "place";

/// Name of the part of [`NUMBERED`] with the element of an array.
pub(in crate::query) fn part(array: usize) -> String {
    format!("part{array}")
}

/// Both functions.
pub(in crate::query) fn all() -> [ScalarUDF; 2] {
    [
        ScalarUDF::from(Sets { name: NUMBERED, signature: Signature::variadic_any(Volatility::Immutable) }),
        ScalarUDF::from(Sets { name: EMPTY_FOR_NULL, signature: Signature::any(1, Volatility::Immutable) }),
    ]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sets {
    name: &'static str,
    signature: Signature,
}

/// The element of an array with what is told of its type.
fn element(field: &Field) -> Field {
    let inner = match field.data_type() {
        DataType::List(inner) => inner.as_ref().clone(),
        _ => Field::new("element", DataType::Null, true),
    };
    let told = match field.metadata().get(PG_TYPE).map(String::as_str) {
        Some("oidvector") => Some("oid".to_string()),
        Some("int2vector") | None => None,
        Some(array) => array.strip_prefix('_').map(str::to_string),
    };
    match told {
        Some(told) => inner.with_metadata([(PG_TYPE.to_string(), told)].into()),
        None => inner,
    }
}

fn row_fields(arguments: &[FieldRef]) -> Fields {
    let parts = arguments
        .iter()
        .enumerate()
        .map(|(place, field)| element(field).with_name(part(place)).with_nullable(true));
    parts.chain([Field::new(PLACE, DataType::Int64, false)]).collect()
}

impl ScalarUDFImpl for Sets {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let fields: Vec<_> =
            types.iter().map(|data_type| Arc::new(Field::new("", data_type.clone(), true))).collect();
        Ok(match self.name {
            NUMBERED => {
                DataType::List(Arc::new(Field::new_list_field(DataType::Struct(row_fields(&fields)), true)))
            }
            _ => types.first().cloned().unwrap_or(DataType::Null),
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(match self.name {
            NUMBERED => {
                let rows = DataType::Struct(row_fields(args.arg_fields));
                Arc::new(Field::new(
                    self.name,
                    DataType::List(Arc::new(Field::new_list_field(rows, true))),
                    true,
                ))
            }
            // With what the metadata tells of the type.
            _ => Arc::new(args.arg_fields[0].as_ref().clone().with_nullable(false)),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays: Vec<ArrayRef> =
            args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Result<_>>()?;
        Ok(ColumnarValue::Array(match self.name {
            NUMBERED => numbered(&arrays, args.return_field.data_type(), args.number_rows)?,
            _ => empty_for_null(&arrays[0])?,
        }))
    }
}

/// Arrays side by side; a shorter one is followed by NULLs. NULL is an array without elements.
fn numbered(arrays: &[ArrayRef], result: &DataType, rows: usize) -> Result<ArrayRef> {
    let DataType::List(row) = result else { return Ok(new_null_array(result, rows)) };
    let DataType::Struct(fields) = row.data_type() else { return Ok(new_null_array(result, rows)) };
    let lists: Vec<Option<&ListArray>> = arrays.iter().map(|array| array.as_list_opt::<i32>()).collect();
    let length =
        |list: &ListArray, row: usize| if list.is_null(row) { 0 } else { list.value_length(row) as usize };
    let lengths: Vec<usize> = (0..rows)
        .map(|row| lists.iter().flatten().map(|list| length(list, row)).max().unwrap_or(0))
        .collect();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(fields.len());
    for (list, field) in lists.iter().zip(fields) {
        let Some(list) = list else {
            columns.push(new_null_array(field.data_type(), lengths.iter().sum()));
            continue;
        };
        let offsets = list.value_offsets();
        let places = (0..rows).flat_map(|row| {
            let (from, own) = (offsets[row] as u32, length(list, row));
            (0..lengths[row]).map(move |place| (place < own).then(|| from + place as u32))
        });
        columns.push(take(list.values(), &places.collect::<UInt32Array>(), None)?);
    }
    let places = lengths.iter().flat_map(|length| 1..=*length as i64);
    columns.push(Arc::new(Int64Array::from_iter_values(places)));
    let values = StructArray::try_new(fields.clone(), columns, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(row), offsets, Arc::new(values), None)?))
}

fn empty_for_null(array: &ArrayRef) -> Result<ArrayRef> {
    let Some(list) = array.as_list_opt::<i32>().filter(|list| list.null_count() > 0) else {
        return Ok(Arc::clone(array));
    };
    // The elements behind a NULL are nobody's: they are left out.
    let rows = 0..list.len();
    let length = |row: usize| if list.is_null(row) { 0 } else { list.value_length(row) as usize };
    let offsets = list.value_offsets();
    let kept = rows.clone().flat_map(|row| {
        let from = offsets[row] as u32;
        (0..length(row)).map(move |place| from + place as u32)
    });
    let values = take(list.values(), &kept.collect::<UInt32Array>(), None)?;
    let offsets = OffsetBuffer::from_lengths(rows.map(length));
    let DataType::List(field) = list.data_type() else { return Ok(Arc::clone(array)) };
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, None)?))
}
