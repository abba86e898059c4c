//! Functions of arrays whose results are not those of the planner's own.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, UInt32Array};
use arrow::compute::kernels::cast;
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{nullif, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result as PlanResult, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::row::{Args, Definition, Type, Value};
use crate::error::{Error, Kind, Result};

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::new("array_dims", &[Type::AnyArray], Type::Text, |args| {
        let bounds: String = lengths(&args.list(0)).iter().map(|length| format!("[1:{length}]")).collect();
        Ok(if bounds.is_empty() { Value::Null } else { Value::Text(bounds) })
    }),
    Definition::new("trim_array", &[Type::AnyArray, Type::Int4], Type::Same(0), |args| {
        let (list, count) = (args.list(0), args.int(1));
        match usize::try_from(count).ok().and_then(|count| list.len().checked_sub(count)) {
            Some(rest) => Ok(Value::Array(list.slice(0, rest))),
            None => {
                let what = format!("number of elements to trim must be between 0 and {}", list.len());
                Err(Error::new(Kind::Data, what).with_sqlstate("2202E"))
            }
        }
    }),
    Definition::new("array_fill", &[Type::Any, Type::Int4s], Type::ArrayOf(0), fill),
    Definition::new("array_fill", &[Type::Any, Type::Int4s, Type::Int4s], Type::ArrayOf(0), fill),
];

/// Elements of each dimension; none of an empty array.
fn lengths(list: &ArrayRef) -> Vec<usize> {
    let mut all = Vec::new();
    let mut list = Arc::clone(list);
    while !list.is_empty() {
        all.push(list.len());
        list = match list.as_list_opt::<i32>() {
            Some(inner) => inner.value(0),
            None => break,
        };
    }
    all
}

/// Elements that an array may be filled with.
const MAX_ELEMENTS: i64 = 1 << 20;

fn fill(args: &Args<'_>) -> Result<Value> {
    let sizes = args.list(1);
    let sizes = sizes.as_primitive::<arrow::datatypes::Int32Type>();
    if args.is_given(2) && *args.list(2).as_primitive::<arrow::datatypes::Int32Type>().values() != [1] {
        let what = "array_fill with lower bounds other than 1 is not supported";
        return Err(Error::new(Kind::Unsupported, what));
    }
    let [size] = **sizes.values() else {
        let what = format!("array_fill of {} dimensions is not supported", sizes.len());
        return Err(Error::new(Kind::Unsupported, what).with_hint("arrays that are made have one dimension"));
    };
    if !(0..=MAX_ELEMENTS).contains(&i64::from(size)) {
        let what = format!("array size exceeds the maximum allowed ({MAX_ELEMENTS})");
        return Err(Error::new(Kind::Limit, what).with_sqlstate("54000"));
    }
    let (value, _, row) = args.any(0);
    let places = UInt32Array::from(vec![row as u32; size as usize]);
    let filled = take(value, &places, None);
    Ok(Value::Array(filled.map_err(|error| Error::internal("an array").with_source(error))?))
}

/// Functions of the planner that count in 64 bits where PostgreSQL counts in 32.
pub(super) const COUNTING: &[&str] =
    &["array_length", "array_ndims", "array_position", "array_positions", "cardinality"];

/// The function with results of 32 bits.
pub(super) fn counting(inner: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Counting { inner }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Counting {
    inner: Arc<ScalarUDF>,
}

fn narrow(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(element) | DataType::LargeList(element) => {
            let element = element.as_ref().clone().with_data_type(DataType::Int32);
            DataType::List(Arc::new(element))
        }
        _ => DataType::Int32,
    }
}

impl ScalarUDFImpl for Counting {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> PlanResult<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> PlanResult<DataType> {
        self.inner.return_type(types).map(|data_type| narrow(&data_type))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        let field = self.inner.return_field_from_args(args)?;
        Ok(Arc::new(Field::new(self.name(), narrow(field.data_type()), true)))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let to = args.return_field.data_type().clone();
        let fields = args.arg_fields.clone();
        let scalars: Vec<Option<&ScalarValue>> = vec![None; fields.len()];
        let own = ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &scalars };
        args.return_field = self.inner.return_field_from_args(own)?;
        // An empty array has no dimensions, so that none of them has a length.
        let is_length = self.name() == "array_length";
        Ok(match self.inner.invoke_with_args(args)? {
            ColumnarValue::Array(array) => {
                let counts = cast::cast(&array, &to)?;
                let none = Int32Array::new_scalar(0);
                ColumnarValue::Array(match is_length {
                    true => nullif(&counts, &eq(&counts, &none)?)?,
                    false => counts,
                })
            }
            ColumnarValue::Scalar(value) => match value.cast_to(&to)? {
                ScalarValue::Int32(Some(0)) if is_length => ColumnarValue::Scalar(ScalarValue::Int32(None)),
                count => ColumnarValue::Scalar(count),
            },
        })
    }
}
