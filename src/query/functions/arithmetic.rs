//! `+`, `-`, `*` and `%` on numbers: exact on integers and numerics, an error in place of a wrong result.

use std::any::Any;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum};
use arrow::compute::kernels::{cast, numeric};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::number::{digits_of, division_by_zero, is_float, is_numeric, numeric_type, out_of_range};
use crate::error::{Error, Kind};

/// Metadata of a numeric field whose digits after the point differ from value to value.
pub(in crate::query) const VARIABLE: &str = "tributary.variable";

/// Operators in a row, evaluated from left to right. They are one function however many they are: the planner takes
/// time with the cube of the nesting.
#[derive(Debug)]
pub(in crate::query) struct Arithmetic {
    ops: Vec<Operator>,
    /// The type it was made with.
    result: Option<DataType>,
    /// Short, but another one for other operands; made once, because the planner asks for it all the time.
    name: String,
    signature: Signature,
}

impl PartialEq for Arithmetic {
    fn eq(&self, other: &Self) -> bool {
        self.ops == other.ops
    }
}

impl Eq for Arithmetic {}

impl Hash for Arithmetic {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ops.hash(state);
    }
}

impl Arithmetic {
    fn new(ops: Vec<Operator>, result: Option<DataType>, operands: u64) -> Self {
        let signature = Signature::any(ops.len() + 1, Volatility::Immutable);
        Arithmetic { name: format!("calculation_{operands:016x}"), ops, result, signature }
    }

    /// `left op right`; a calculation on the left is prolonged.
    pub(in crate::query) fn call(op: Operator, left: Expr, right: Expr, result: Option<DataType>) -> Expr {
        let left_digest = digest(&left);
        let known = match &left {
            Expr::ScalarFunction(function) => downcast(function).map(|arithmetic| arithmetic.ops.clone()),
            _ => None,
        };
        let (mut ops, mut args) = match (known, left) {
            (Some(ops), Expr::ScalarFunction(function)) => (ops, function.args),
            (_, left) => (Vec::new(), vec![left]),
        };
        let mut hasher = DefaultHasher::new();
        (op, left_digest, digest(&right)).hash(&mut hasher);
        ops.push(op);
        args.push(right);
        ScalarUDF::from(Arithmetic::new(ops, result, hasher.finish())).call(args)
    }
}

/// The type of a calculation as it was made.
pub(in crate::query) fn known_type(expr: &Expr) -> Option<DataType> {
    match expr {
        Expr::ScalarFunction(function) => downcast(function)?.result.clone(),
        _ => None,
    }
}

fn downcast(function: &ScalarFunction) -> Option<&Arithmetic> {
    let function: &dyn Any = function.func.inner().as_ref();
    function.downcast_ref()
}

fn digest_text(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn digest(expr: &Expr) -> u64 {
    if let Expr::ScalarFunction(function) = expr
        && let Some(arithmetic) = downcast(function)
    {
        return digest_text(&arithmetic.name);
    }
    let mut hasher = DefaultHasher::new();
    expr.hash(&mut hasher);
    hasher.finish()
}

/// The type of `left op right` for numbers; `None` when one of them is no number.
pub(in crate::query) fn result_type(op: Operator, left: &DataType, right: &DataType) -> Option<DataType> {
    if is_float(left) || is_float(right) {
        let both_small = *left == DataType::Float32 && *right == DataType::Float32;
        let is_number = |t: &DataType| is_float(t) || digits_of(t).is_some();
        return (is_number(left) && is_number(right)).then_some(if both_small {
            DataType::Float32
        } else {
            DataType::Float64
        });
    }
    let ((left_whole, left_scale), (right_whole, right_scale)) = (digits_of(left)?, digits_of(right)?);
    if !is_numeric(left) && !is_numeric(right) {
        let width = left_whole.max(right_whole);
        return Some(match width {
            ..=5 => DataType::Int16,
            ..=10 => DataType::Int32,
            _ => DataType::Int64,
        });
    }
    let scale = left_scale.max(right_scale);
    Some(match op {
        Operator::Multiply => numeric_type(left_whole + right_whole, left_scale + right_scale, scale),
        Operator::Modulo => numeric_type(left_whole.max(right_whole), scale, scale),
        _ => numeric_type(left_whole.max(right_whole) + 1, scale, scale),
    })
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema_name(&self, _: &[Expr]) -> Result<String> {
        Ok(self.name.clone())
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        let Some((first, rest)) = args.split_first() else { return Ok(self.name.clone()) };
        let mut text = format!("({first}");
        for (op, arg) in self.ops.iter().zip(rest) {
            text.push_str(&format!(" {op} {arg}"));
        }
        Ok(text + ")")
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let mut result = types[0].clone();
        for (op, right) in self.ops.iter().zip(&types[1..]) {
            result = result_type(*op, &result, right)
                .ok_or_else(|| Error::internal(format!("{op} of {result} and {right}")))?;
        }
        Ok(result)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let data_type = self.return_type(&types)?;
        let is_variable = args.arg_fields.iter().any(|field| field.metadata().contains_key(VARIABLE));
        let field = Field::new("calculation", data_type, true);
        Ok(Arc::new(if is_variable { variable(field) } else { field }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut values = args.args.into_iter();
        let Some(mut result) = values.next() else { return Err(Error::internal("no operands").into()) };
        for (op, right) in self.ops.iter().zip(values) {
            result = apply(*op, &result, &right)?;
        }
        Ok(result)
    }
}

fn apply(op: Operator, left: &ColumnarValue, right: &ColumnarValue) -> Result<ColumnarValue> {
    let (left_type, right_type) = (left.data_type(), right.data_type());
    let target = result_type(op, &left_type, &right_type)
        .ok_or_else(|| Error::internal(format!("{op} of {left_type} and {right_type}")))?;
    let is_null = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(value) if value.is_null());
    if is_null(left) || is_null(right) {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from(&target)?));
    }
    let array = compute(op, &operand(left, &target)?, &operand(right, &target)?, &target)?;
    Ok(match (left, right) {
        (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)) => {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
        }
        _ => ColumnarValue::Array(array),
    })
}

/// The field with the mark of [`VARIABLE`] digits.
pub(in crate::query) fn variable(field: Field) -> Field {
    field.with_metadata([(VARIABLE.to_string(), String::new())].into())
}

/// A side of the operator: a column or a constant, in the family of the result.
enum Side {
    Column(ArrayRef),
    Constant(arrow::array::Scalar<ArrayRef>),
}

impl Datum for Side {
    fn get(&self) -> (&dyn Array, bool) {
        match self {
            Side::Column(array) => (array.as_ref(), false),
            Side::Constant(scalar) => scalar.get(),
        }
    }
}

fn operand(value: &ColumnarValue, target: &DataType) -> Result<Side> {
    let array = match value {
        ColumnarValue::Array(array) => array.clone(),
        ColumnarValue::Scalar(scalar) => scalar.to_array()?,
    };
    let wanted = match (target, array.data_type()) {
        (DataType::Decimal128(..), from) => match digits_of(from) {
            Some((whole, scale)) if !is_numeric(from) => DataType::Decimal128(whole as u8, scale as i8),
            _ => from.clone(),
        },
        (DataType::Decimal256(..), from) => match digits_of(from) {
            Some((whole, scale)) => DataType::Decimal256((whole as u8 + scale as u8).max(1), scale as i8),
            None => from.clone(),
        },
        (other, _) => other.clone(),
    };
    let array = if *array.data_type() == wanted { array } else { cast::cast(&array, &wanted)? };
    Ok(match value {
        ColumnarValue::Array(_) => Side::Column(array),
        ColumnarValue::Scalar(_) => Side::Constant(arrow::array::Scalar::new(array)),
    })
}

fn compute(op: Operator, left: &Side, right: &Side, target: &DataType) -> Result<ArrayRef> {
    if let (Operator::Multiply, DataType::Decimal256(..)) = (op, target) {
        return multiply_wide(left, right, target);
    }
    if is_float(target) && matches!(op, Operator::Divide | Operator::Modulo) && has_zero(right) {
        return Err(division_by_zero().into());
    }
    let result = match op {
        Operator::Plus => numeric::add(left, right),
        Operator::Minus => numeric::sub(left, right),
        Operator::Multiply => numeric::mul(left, right),
        Operator::Divide => numeric::div(left, right),
        _ => numeric::rem(left, right),
    };
    let array = result.map_err(|error| arrow_error(error, target))?;
    if is_float(target) {
        check_floats(&array, left, right)?;
    }
    if array.data_type() == target {
        Ok(array)
    } else {
        Ok(cast::cast_with_options(&array, target, &strict())?)
    }
}

fn strict() -> cast::CastOptions<'static> {
    cast::CastOptions { safe: false, ..Default::default() }
}

/// The product's scale may be less than the sum of the scales: beyond 76 digits the last ones are rounded away.
fn multiply_wide(left: &Side, right: &Side, target: &DataType) -> Result<ArrayRef> {
    use super::number::{Number, build};
    let ((left, left_one), (right, right_one)) = (left.get(), right.get());
    let rows = if left_one { right.len() } else { left.len() };
    let numbers = (0..rows).map(|row| {
        let left = Number::from_array(left, if left_one { 0 } else { row });
        let right = Number::from_array(right, if right_one { 0 } else { row });
        Ok(left.zip(right).map(|(l, r)| Number::new(l.unscaled * r.unscaled, l.scale + r.scale)))
    });
    Ok(build(target, numbers)?)
}

fn has_zero(side: &Side) -> bool {
    let (array, _) = side.get();
    match array.data_type() {
        DataType::Float32 => array.as_primitive::<Float32Type>().iter().any(|v| v == Some(0.0)),
        _ => array.as_primitive::<Float64Type>().iter().any(|v| v == Some(0.0)),
    }
}

/// PostgreSQL refuses an infinite result of finite operands.
fn check_floats(result: &ArrayRef, left: &Side, right: &Side) -> Result<()> {
    let infinite = |array: &dyn Array| match array.data_type() {
        DataType::Float32 => {
            array.as_primitive::<Float32Type>().iter().any(|v| v.is_some_and(f32::is_infinite))
        }
        _ => array.as_primitive::<Float64Type>().iter().any(|v| v.is_some_and(f64::is_infinite)),
    };
    if infinite(result) && !infinite(left.get().0) && !infinite(right.get().0) {
        let error = Error::new(Kind::Data, "value out of range: overflow").with_sqlstate("22003");
        return Err(error.into());
    }
    Ok(())
}

fn arrow_error(error: arrow::error::ArrowError, target: &DataType) -> Error {
    match error {
        arrow::error::ArrowError::DivideByZero => division_by_zero(),
        other => out_of_range(type_word(target)).with_source(other),
    }
}

/// The word PostgreSQL has for a type in its messages.
pub(in crate::query) fn type_word(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        DataType::Int64 => "bigint",
        DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Decimal128(..) | DataType::Decimal256(..) => "numeric",
        _ => "value",
    }
}
