//! One value of a source into the Arrow column of its field.
//!
//! The type of a column is decided by metadata, never by looking at values. A value arrives as the text of its JSON
//! or as the text of a CSV cell, and numbers stay text until they are digits of a decimal: nothing passes through a
//! float that is not one. What does not fit is NULL, counted, and one of them is kept for people to see.

mod number;
mod text;
mod time;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder, Int16Builder,
    Int32Builder, Int64Builder, ListBuilder, StringBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::datatypes::{DataType, Field};

use crate::model::FieldType;
use crate::source::Misfit;

pub(crate) use text::string;
pub(crate) use time::timestamp;

/// Longest text that is kept.
const MAX_TEXT: usize = 16 << 20;

/// A value as it arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell<'a> {
    /// The text of a JSON value.
    Json(&'a str),
    /// The text of a CSV cell.
    Csv(&'a str),
}

/// Why a value is NULL in the column.
enum Fit<T> {
    Value(T),
    /// It is NULL or empty at the source too.
    Null,
    /// It does not fit.
    Misfit,
}

impl<T> From<Option<T>> for Fit<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Fit::Misfit, Fit::Value)
    }
}

/// A column being filled.
pub(crate) struct Column {
    name: String,
    builder: Builder,
    misfits: u64,
    sample: Option<String>,
    /// Whether a replacement character may be the trace of broken bytes.
    is_doubting: bool,
}

enum Builder {
    Text(StringBuilder),
    Bool(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    List(ListBuilder<StringBuilder>),
    /// A type that no value of these sources can be.
    Never(usize, DataType),
}

impl Column {
    /// An empty column for about `rows` values.
    pub(crate) fn new(name: &str, data_type: &FieldType, rows: usize) -> Self {
        let arrow = data_type.arrow();
        let builder = match data_type {
            FieldType::Text => Builder::Text(StringBuilder::with_capacity(rows, rows * 16)),
            FieldType::Boolean => Builder::Bool(BooleanBuilder::with_capacity(rows)),
            FieldType::Int16 => Builder::Int16(Int16Builder::with_capacity(rows)),
            FieldType::Int32 => Builder::Int32(Int32Builder::with_capacity(rows)),
            FieldType::Int64 => Builder::Int64(Int64Builder::with_capacity(rows)),
            FieldType::Float32 => Builder::Float32(Float32Builder::with_capacity(rows)),
            FieldType::Float64 => Builder::Float64(Float64Builder::with_capacity(rows)),
            FieldType::Decimal(precision, scale) => Builder::Decimal(
                Decimal128Builder::with_capacity(rows).with_data_type(arrow),
                *precision,
                *scale,
            ),
            FieldType::Date => Builder::Date(Date32Builder::with_capacity(rows)),
            FieldType::Timestamp | FieldType::TimestampTz => {
                Builder::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(arrow))
            }
            FieldType::List(element) if **element == FieldType::Text => {
                let element = Arc::new(Field::new("element", DataType::Utf8, true));
                Builder::List(ListBuilder::with_capacity(StringBuilder::new(), rows).with_field(element))
            }
            FieldType::List(_) | FieldType::Bytes => Builder::Never(0, arrow),
        };
        Column { name: name.to_string(), builder, misfits: 0, sample: None, is_doubting: false }
    }

    /// Counts texts with replacement characters as misfits: the answer had bytes that are no UTF-8.
    pub(crate) fn doubting(self, is_doubting: bool) -> Self {
        Column { is_doubting, ..self }
    }

    /// Appends a value; `None` where the record has none.
    pub(crate) fn append(&mut self, cell: Option<Cell<'_>>) {
        let Some(cell) = cell.filter(|cell| !cell.is_null()) else { return self.append_null() };
        macro_rules! append {
            ($builder:expr, $fit:expr) => {
                match $fit {
                    Fit::Value(value) => {
                        $builder.append_value(value);
                        true
                    }
                    Fit::Null => {
                        $builder.append_null();
                        true
                    }
                    Fit::Misfit => {
                        $builder.append_null();
                        false
                    }
                }
            };
        }
        let fits = match &mut self.builder {
            Builder::Text(builder) => {
                let (text, is_exact) = match cell {
                    Cell::Json(json) => text::text(json),
                    Cell::Csv(text) => text::clean(text),
                };
                let is_short = text.len() <= MAX_TEXT;
                let is_exact = is_exact && is_short && !(self.is_doubting && text.contains('\u{fffd}'));
                match is_short {
                    true => builder.append_value(text),
                    false => builder.append_null(),
                }
                is_exact
            }
            Builder::Bool(builder) => append!(
                builder,
                scalar(cell, |text| match text {
                    "true" | "True" | "TRUE" => Some(true),
                    "false" | "False" | "FALSE" => Some(false),
                    _ => None,
                })
            ),
            Builder::Int16(builder) => {
                append!(builder, scalar(cell, |text| number::integer(text)?.try_into().ok()))
            }
            Builder::Int32(builder) => {
                append!(builder, scalar(cell, |text| number::integer(text)?.try_into().ok()))
            }
            Builder::Int64(builder) => append!(builder, scalar(cell, number::integer)),
            Builder::Float32(builder) => append!(builder, scalar(cell, |text| text.parse::<f32>().ok())),
            Builder::Float64(builder) => append!(builder, scalar(cell, |text| text.parse::<f64>().ok())),
            Builder::Decimal(builder, precision, scale) => {
                append!(builder, scalar(cell, |text| number::decimal(text, *precision, *scale)))
            }
            Builder::Date(builder) => append!(builder, scalar(cell, time::date)),
            Builder::Timestamp(builder) => append!(builder, scalar(cell, time::timestamp)),
            Builder::List(builder) => match text::list(cell) {
                Some(elements) if elements.is_empty() && !cell.is_array() => {
                    builder.append_null();
                    true
                }
                Some(elements) => {
                    elements.iter().for_each(|element| builder.values().append_value(element));
                    builder.append(true);
                    true
                }
                None => {
                    builder.append_null();
                    false
                }
            },
            Builder::Never(rows, _) => {
                *rows += 1;
                false
            }
        };
        if !fits {
            self.misfits += 1;
            self.sample.get_or_insert_with(|| cell.text().chars().take(100).collect());
        }
    }

    fn append_null(&mut self) {
        match &mut self.builder {
            Builder::Text(builder) => builder.append_null(),
            Builder::Bool(builder) => builder.append_null(),
            Builder::Int16(builder) => builder.append_null(),
            Builder::Int32(builder) => builder.append_null(),
            Builder::Int64(builder) => builder.append_null(),
            Builder::Float32(builder) => builder.append_null(),
            Builder::Float64(builder) => builder.append_null(),
            Builder::Decimal(builder, ..) => builder.append_null(),
            Builder::Date(builder) => builder.append_null(),
            Builder::Timestamp(builder) => builder.append_null(),
            Builder::List(builder) => builder.append_null(),
            Builder::Never(rows, _) => *rows += 1,
        }
    }

    /// The column, and what did not fit into it.
    pub(crate) fn finish(mut self) -> (ArrayRef, Option<Misfit>) {
        let array: ArrayRef = match &mut self.builder {
            Builder::Text(builder) => Arc::new(builder.finish()),
            Builder::Bool(builder) => Arc::new(builder.finish()),
            Builder::Int16(builder) => Arc::new(builder.finish()),
            Builder::Int32(builder) => Arc::new(builder.finish()),
            Builder::Int64(builder) => Arc::new(builder.finish()),
            Builder::Float32(builder) => Arc::new(builder.finish()),
            Builder::Float64(builder) => Arc::new(builder.finish()),
            Builder::Decimal(builder, ..) => Arc::new(builder.finish()),
            Builder::Date(builder) => Arc::new(builder.finish()),
            Builder::Timestamp(builder) => Arc::new(builder.finish()),
            Builder::List(builder) => Arc::new(builder.finish()),
            Builder::Never(rows, data_type) => new_null_array(data_type, *rows),
        };
        let misfit = (self.misfits > 0).then(|| Misfit {
            field: self.name,
            count: self.misfits,
            sample: self.sample.unwrap_or_default(),
        });
        (array, misfit)
    }
}

/// A value that is a text, a number or a truth value; empty text is NULL.
fn scalar<T>(cell: Cell<'_>, parse: impl Fn(&str) -> Option<T>) -> Fit<T> {
    match cell {
        Cell::Csv(text) => parse(text.trim()).into(),
        Cell::Json(json) => match json.as_bytes().first() {
            Some(b'"') => {
                let text = string(json);
                match text.trim() {
                    "" => Fit::Null,
                    text => parse(text).into(),
                }
            }
            Some(b'{' | b'[') => Fit::Misfit,
            _ => parse(json).into(),
        },
    }
}

impl<'a> Cell<'a> {
    fn is_null(self) -> bool {
        match self {
            Cell::Json(json) => json == "null",
            Cell::Csv(text) => text.is_empty(),
        }
    }

    fn is_array(self) -> bool {
        matches!(self, Cell::Json(json) if json.starts_with('['))
    }

    /// The value as plain text.
    pub(crate) fn text(self) -> std::borrow::Cow<'a, str> {
        match self {
            Cell::Json(json) => text::text(json).0,
            Cell::Csv(text) => text.into(),
        }
    }
}

#[cfg(test)]
mod tests;
