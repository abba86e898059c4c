//! The values of one row on their way into a function, and what comes out of it.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal256Builder,
    Float64Builder, Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, ListArray, StringBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Field, FieldRef, Float32Type, Float64Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};

use crate::error::{Error, Result};
use crate::query::Zone;
use crate::query::functions::interval::Span;
use crate::query::functions::number::{self, Number, is_numeric};

/// What a function gives.
#[derive(Debug, Clone)]
pub(in crate::query) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Number(Number),
    Text(String),
    Bytes(Vec<u8>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds: of the day, or since 1970.
    Micros(i64),
    Span(Span),
    List(Vec<Value>),
    /// A row of an argument, as it is.
    Array(ArrayRef),
}

impl Value {
    pub(in crate::query) fn text(text: impl Into<String>) -> Result<Value> {
        Ok(Value::Text(text.into()))
    }

    pub(in crate::query) fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Value {
        Value::List(texts.into_iter().map(|text| Value::Text(text.into())).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

/// A call of a function for a batch of rows.
pub(in crate::query) struct Call<'a> {
    pub(in crate::query) name: &'static str,
    arrays: Vec<ArrayRef>,
    is_constant: Vec<bool>,
    fields: &'a [FieldRef],
    pub(in crate::query) zone: Zone,
    /// What was worked out from a text that many rows share.
    kept: RefCell<HashMap<String, Rc<dyn Any>>>,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        name: &'static str,
        arrays: Vec<ArrayRef>,
        is_constant: Vec<bool>,
        fields: &'a [FieldRef],
        zone: Zone,
    ) -> Self {
        Call { name, arrays, is_constant, fields, zone, kept: RefCell::default() }
    }

    pub(super) fn row(&self, row: usize) -> Args<'_> {
        Args { call: self, row }
    }
}

/// The arguments of one row.
pub(in crate::query) struct Args<'a> {
    pub(in crate::query) call: &'a Call<'a>,
    row: usize,
}

impl Args<'_> {
    fn at(&self, index: usize) -> usize {
        if self.call.is_constant[index] { 0 } else { self.row }
    }

    /// How many there are.
    pub(in crate::query) fn count(&self) -> usize {
        self.call.arrays.len()
    }

    pub(in crate::query) fn is_given(&self, index: usize) -> bool {
        index < self.count()
    }

    pub(in crate::query) fn is_null(&self, index: usize) -> bool {
        let array = &self.call.arrays[index];
        *array.data_type() == DataType::Null || array.is_null(self.at(index))
    }

    pub(super) fn has_null(&self) -> bool {
        (0..self.count()).any(|index| self.is_null(index))
    }

    /// Whether an argument is a constant that has no type of its own.
    pub(in crate::query) fn is_unknown(&self, index: usize) -> bool {
        let (array, field, row) = self.any(index);
        match (array.data_type(), self.call.is_constant[index]) {
            (DataType::Null, _) => true,
            (DataType::Utf8, true) => {
                array.is_valid(row) && !field.metadata().contains_key(crate::query::PG_TYPE)
            }
            _ => false,
        }
    }

    /// The array of an argument and the row in it.
    pub(in crate::query) fn any(&self, index: usize) -> (&ArrayRef, &Field, usize) {
        (&self.call.arrays[index], &self.call.fields[index], self.at(index))
    }

    pub(in crate::query) fn text(&self, index: usize) -> &str {
        self.call.arrays[index].as_string::<i32>().value(self.at(index))
    }

    /// A text that may be left out.
    pub(in crate::query) fn text_or<'b>(&'b self, index: usize, default: &'b str) -> &'b str {
        if self.is_given(index) { self.text(index) } else { default }
    }

    pub(in crate::query) fn bool(&self, index: usize) -> bool {
        self.call.arrays[index].as_boolean().value(self.at(index))
    }

    pub(in crate::query) fn bool_or(&self, index: usize, default: bool) -> bool {
        if self.is_given(index) { self.bool(index) } else { default }
    }

    /// `integer` or `bigint`.
    pub(in crate::query) fn int(&self, index: usize) -> i64 {
        let array = &self.call.arrays[index];
        match array.data_type() {
            DataType::Int32 => array.as_primitive::<Int32Type>().value(self.at(index)).into(),
            _ => array.as_primitive::<Int64Type>().value(self.at(index)),
        }
    }

    pub(in crate::query) fn int_or(&self, index: usize, default: i64) -> i64 {
        if self.is_given(index) { self.int(index) } else { default }
    }

    pub(in crate::query) fn float(&self, index: usize) -> f64 {
        let array = &self.call.arrays[index];
        match array.data_type() {
            DataType::Float32 => array.as_primitive::<Float32Type>().value(self.at(index)).into(),
            _ => array.as_primitive::<Float64Type>().value(self.at(index)),
        }
    }

    pub(in crate::query) fn number(&self, index: usize) -> Result<Number> {
        Number::from_array(&self.call.arrays[index], self.at(index))
            .ok_or_else(|| Error::internal("an argument is no number"))
    }

    pub(in crate::query) fn bytes(&self, index: usize) -> &[u8] {
        self.call.arrays[index].as_binary::<i32>().value(self.at(index))
    }

    pub(in crate::query) fn date(&self, index: usize) -> i32 {
        self.call.arrays[index].as_primitive::<Date32Type>().value(self.at(index))
    }

    /// Microseconds of a `time`, `timestamp` or `timestamptz`.
    pub(in crate::query) fn micros(&self, index: usize) -> i64 {
        let array = &self.call.arrays[index];
        match array.data_type() {
            DataType::Time64(_) => array.as_primitive::<Time64MicrosecondType>().value(self.at(index)),
            _ => array.as_primitive::<TimestampMicrosecondType>().value(self.at(index)),
        }
    }

    pub(in crate::query) fn span(&self, index: usize) -> Span {
        Span::of_arrow(
            self.call.arrays[index].as_primitive::<IntervalMonthDayNanoType>().value(self.at(index)),
        )
    }

    /// The elements of an array.
    pub(in crate::query) fn list(&self, index: usize) -> ArrayRef {
        self.call.arrays[index].as_list::<i32>().value(self.at(index))
    }

    pub(in crate::query) fn texts(&self, index: usize) -> Vec<Option<String>> {
        self.list(index).as_string::<i32>().iter().map(|text| text.map(str::to_string)).collect()
    }

    /// What `make` makes of a key; made once for a batch of rows.
    pub(in crate::query) fn kept<T: 'static>(
        &self,
        key: &str,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<Rc<T>> {
        if let Some(found) = self.call.kept.borrow().get(key).cloned() {
            if let Ok(found) = found.downcast::<T>() {
                return Ok(found);
            }
        }
        let made = Rc::new(make()?);
        let mut kept = self.call.kept.borrow_mut();
        // Keys may come from a column.
        if kept.len() > 64 {
            kept.clear();
        }
        kept.insert(key.to_string(), made.clone());
        Ok(made)
    }
}

/// Stands for a numeric of exactly the digits that come out.
pub(super) const EXACT: DataType = DataType::Decimal256(0, 0);

/// The type of a column of one number, built as [`EXACT`].
pub(super) fn digits(array: &ArrayRef) -> Option<DataType> {
    (is_numeric(array.data_type())).then(|| array.data_type().clone())
}

fn unfit() -> Error {
    Error::internal("a function gave a value of another type than it says")
}

/// The column of the results.
/// As [`build`]; rows of arguments are taken as they are.
pub(super) fn build_or_take(to: &DataType, values: impl Iterator<Item = Result<Value>>) -> Result<ArrayRef> {
    let values = values.collect::<Result<Vec<_>>>()?;
    let takes = values.iter().any(|value| matches!(value, Value::Array(_)));
    let values = values.into_iter().map(Ok);
    // The elements of an array come one by one, too.
    match takes && !matches!(to, DataType::List(_)) {
        true => rows(to, values),
        false => build(to, values),
    }
}

pub(super) fn build(to: &DataType, values: impl Iterator<Item = Result<Value>>) -> Result<ArrayRef> {
    macro_rules! plain {
        ($builder:expr, $pattern:pat => $value:expr) => {{
            let mut builder = $builder;
            for value in values {
                match value? {
                    Value::Null => builder.append_null(),
                    $pattern => builder.append_value($value),
                    _ => return Err(unfit()),
                }
            }
            Ok(Arc::new(builder.finish()))
        }};
    }
    let out_of_range = |word: &'static str| move |_| number::out_of_range(word);
    match to {
        DataType::Boolean => plain!(BooleanBuilder::new(), Value::Bool(value) => value),
        DataType::Int32 => plain!(
            Int32Builder::new(), Value::Int(value) => i32::try_from(value).map_err(out_of_range("integer"))?
        ),
        DataType::Int64 => plain!(Int64Builder::new(), Value::Int(value) => value),
        DataType::Float64 => plain!(Float64Builder::new(), Value::Float(value) => value),
        DataType::Utf8 => plain!(StringBuilder::new(), Value::Text(value) => value),
        DataType::Binary => plain!(BinaryBuilder::new(), Value::Bytes(value) => value),
        DataType::Date32 => plain!(Date32Builder::new(), Value::Date(value) => value),
        DataType::Time64(_) => plain!(Time64MicrosecondBuilder::new(), Value::Micros(value) => value),
        DataType::Timestamp(..) => plain!(
            TimestampMicrosecondBuilder::new().with_data_type(to.clone()), Value::Micros(value) => value
        ),
        DataType::Interval(_) => plain!(
            IntervalMonthDayNanoBuilder::new(), Value::Span(value) => value.arrow()?
        ),
        exact if *exact == EXACT => {
            let value = values.into_iter().next().unwrap_or(Ok(Value::Null))?;
            match value {
                Value::Number(number) => {
                    let data_type = number.data_type().ok_or_else(|| number::out_of_range("numeric"))?;
                    number::build(&data_type, std::iter::once(Ok(Some(number))))
                }
                Value::Null => Ok(Arc::new(Decimal256Builder::new().finish())),
                _ => Err(unfit()),
            }
        }
        numeric if is_numeric(numeric) => {
            let numbers = values.map(|value| match value? {
                Value::Null => Ok(None),
                Value::Number(number) => Ok(Some(number)),
                _ => Err(unfit()),
            });
            number::build(numeric, numbers)
        }
        DataType::List(element) => lists(element, values),
        other => rows(other, values),
    }
}

fn lists(element: &FieldRef, values: impl Iterator<Item = Result<Value>>) -> Result<ArrayRef> {
    let (mut flat, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    let mut ready = Vec::new();
    for value in values {
        match value? {
            Value::Null => {
                lengths.push(0);
                valid.push(false);
            }
            Value::List(items) => {
                lengths.push(items.len());
                valid.push(true);
                flat.extend(items.into_iter().map(Ok));
            }
            Value::Array(array) => {
                lengths.push(array.len());
                valid.push(true);
                ready.push(array);
            }
            _ => return Err(unfit()),
        }
    }
    let internal = |error: arrow::error::ArrowError| Error::internal("a list").with_source(error);
    let elements = match ready.is_empty() {
        true => build(element.data_type(), flat.into_iter())?,
        false if flat.is_empty() => {
            let parts: Vec<&dyn Array> = ready.iter().map(AsRef::as_ref).collect();
            arrow::compute::concat(&parts).map_err(internal)?
        }
        false => return Err(unfit()),
    };
    let offsets = OffsetBuffer::from_lengths(lengths);
    let list = ListArray::try_new(element.clone(), offsets, elements, Some(NullBuffer::from(valid)));
    Ok(Arc::new(list.map_err(internal)?))
}

/// Rows of arguments, as they are.
fn rows(to: &DataType, values: impl Iterator<Item = Result<Value>>) -> Result<ArrayRef> {
    let mut parts = Vec::new();
    for value in values {
        parts.push(match value? {
            Value::Null => new_null_array(to, 1),
            Value::Array(array) => array,
            _ => return Err(unfit()),
        });
    }
    if parts.is_empty() {
        return Ok(new_null_array(to, 0));
    }
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    arrow::compute::concat(&parts).map_err(|error| Error::internal("rows").with_source(error))
}
