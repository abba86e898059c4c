//! Arrays and records.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field};

use super::value::encoder;
use super::{Encoder, Format, Style, sized};
use crate::error::{Error, Kind, Result};
use crate::pg::types::{PgType, Scalar};

/// One dimension of an array column: where the elements of a row lie among those of the next level.
struct Level<'a> {
    range: Box<dyn Fn(usize) -> std::ops::Range<usize> + Send + Sync + 'a>,
    nulls: Option<NullBuffer>,
}

/// The levels of a list column and the closure for its innermost elements.
struct Lists<'a> {
    levels: Vec<Level<'a>>,
    element: PgType,
    nulls: Option<NullBuffer>,
    encode: Encoder<'a>,
}

pub(super) fn list<'a, O: OffsetSizeTrait>(
    array: &'a GenericListArray<O>,
    pg_type: PgType,
    format: Format,
    style: Style,
) -> Result<Encoder<'a>> {
    lists(levels_of(array), pg_type, format, style)
}

pub(super) fn fixed<'a>(
    array: &'a FixedSizeListArray,
    pg_type: PgType,
    format: Format,
    style: Style,
) -> Result<Encoder<'a>> {
    lists(level_of_fixed(array), pg_type, format, style)
}

fn levels_of<O: OffsetSizeTrait>(array: &GenericListArray<O>) -> (Level<'_>, &dyn Array) {
    let offsets = array.value_offsets();
    let range = move |row: usize| offsets[row].as_usize()..offsets[row + 1].as_usize();
    (Level { range: Box::new(range), nulls: array.nulls().cloned() }, array.values())
}

fn level_of_fixed(array: &FixedSizeListArray) -> (Level<'_>, &dyn Array) {
    let length = array.value_length() as usize;
    let range = move |row: usize| row * length..(row + 1) * length;
    (Level { range: Box::new(range), nulls: array.nulls().cloned() }, array.values())
}

fn lists<'a>(
    (first, values): (Level<'a>, &'a dyn Array),
    pg_type: PgType,
    format: Format,
    style: Style,
) -> Result<Encoder<'a>> {
    let (mut levels, mut values) = (vec![first], values);
    loop {
        let (level, inner) = match values.data_type() {
            DataType::List(_) => levels_of(values.as_list::<i32>()),
            DataType::LargeList(_) => levels_of(values.as_list::<i64>()),
            DataType::FixedSizeList(..) => level_of_fixed(values.as_fixed_size_list()),
            _ => break,
        };
        levels.push(level);
        values = inner;
    }
    let element = match pg_type.scalar {
        Scalar::Int2Vector => Scalar::Int2,
        Scalar::OidVector => Scalar::Oid,
        scalar => scalar,
    };
    let is_vector = element != pg_type.scalar;
    let element = PgType::scalar(element);
    let encode = encoder(values, element, format, style)?;
    let lists = Lists { levels, element, nulls: values.logical_nulls(), encode };
    Ok(match format {
        Format::Text if is_vector => Box::new(move |row, out| lists.vector_text(row, out)),
        Format::Text => {
            let quoting = needs_quoting(values.data_type());
            Box::new(move |row, out| lists.text(0, row, quoting, out))
        }
        // The lower bound of a vector is 0, that of an array 1.
        Format::Binary => Box::new(move |row, out| lists.binary(row, i32::from(!is_vector), out)),
    })
}

/// Whether texts of this type can hold something that an array has to quote.
fn needs_quoting(data_type: &DataType) -> bool {
    let plain = data_type.is_integer()
        || data_type.is_floating()
        || data_type.is_decimal()
        || matches!(data_type, DataType::Boolean | DataType::Null);
    !plain
}

impl Lists<'_> {
    fn is_null(&self, index: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(index))
    }

    /// `{1,2,NULL}`
    fn text(&self, depth: usize, row: usize, quoting: bool, out: &mut Vec<u8>) -> Result<()> {
        if depth == 0 && self.levels.len() > 1 && self.dimensions(row)?.is_empty() {
            out.extend_from_slice(b"{}");
            return Ok(());
        }
        out.push(b'{');
        for (count, index) in (self.levels[depth].range)(row).enumerate() {
            if count > 0 {
                out.push(b',');
            }
            if depth + 1 < self.levels.len() {
                self.text(depth + 1, index, quoting, out)?;
            } else if self.is_null(index) {
                out.extend_from_slice(b"NULL");
            } else {
                let at = out.len();
                (self.encode)(index, out)?;
                if quoting {
                    quote_element(at, out);
                }
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// `1 2 3`, as `int2vector` and `oidvector` are written.
    fn vector_text(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        for (count, index) in (self.levels[0].range)(row).enumerate() {
            if count > 0 {
                out.push(b' ');
            }
            (self.encode)(index, out)?;
        }
        Ok(())
    }

    fn binary(&self, row: usize, lower: i32, out: &mut Vec<u8>) -> Result<()> {
        let dimensions = self.dimensions(row)?;
        let has_nulls = self.nulls.as_ref().is_some_and(|nulls| match self.levels.as_slice() {
            [only] => (only.range)(row).any(|index| nulls.is_null(index)),
            _ => nulls.null_count() > 0,
        });
        out.extend_from_slice(&(dimensions.len() as i32).to_be_bytes());
        out.extend_from_slice(&i32::from(has_nulls).to_be_bytes());
        out.extend_from_slice(&self.element.oid().to_be_bytes());
        for length in &dimensions {
            out.extend_from_slice(&(*length as i32).to_be_bytes());
            out.extend_from_slice(&lower.to_be_bytes());
        }
        if dimensions.is_empty() { Ok(()) } else { self.binary_elements(0, row, out) }
    }

    fn binary_elements(&self, depth: usize, row: usize, out: &mut Vec<u8>) -> Result<()> {
        for index in (self.levels[depth].range)(row) {
            if depth + 1 < self.levels.len() {
                self.binary_elements(depth + 1, index, out)?;
            } else if self.is_null(index) {
                out.extend_from_slice(&(-1_i32).to_be_bytes());
            } else {
                sized(out, |out| (self.encode)(index, out))?;
            }
        }
        Ok(())
    }

    /// The lengths of all dimensions; none for an empty array. PostgreSQL has rectangular arrays only.
    fn dimensions(&self, row: usize) -> Result<Vec<usize>> {
        let mut dimensions = Vec::with_capacity(self.levels.len());
        let mut ranges = vec![(self.levels[0].range)(row)];
        for depth in 0..self.levels.len() {
            let length = ranges.first().map_or(0, |range| range.len());
            if ranges.iter().any(|range| range.len() != length) {
                return Err(ragged());
            }
            if length == 0 {
                return Ok(Vec::new());
            }
            dimensions.push(length);
            if let Some(next) = self.levels.get(depth + 1) {
                let rows = || ranges.iter().cloned().flatten();
                if let Some(nulls) = &next.nulls
                    && rows().any(|row| nulls.is_null(row))
                {
                    return Err(ragged());
                }
                ranges = rows().map(&next.range).collect();
            }
        }
        Ok(dimensions)
    }
}

fn ragged() -> Error {
    Error::new(Kind::Data, "multidimensional arrays must have array expressions with matching dimensions")
        .with_sqlstate("2202E")
}

/// Quotes the array element that was written to `out` from `at` on, if it has to be.
fn quote_element(at: usize, out: &mut Vec<u8>) {
    let element = &out[at..];
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',') || is_space(*byte);
    if element.is_empty() || element.eq_ignore_ascii_case(b"null") || element.iter().any(special) {
        let element = out.split_off(at);
        out.push(b'"');
        for byte in element {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// The columns of a record: type, nulls, closure.
type Fields<'a> = Vec<(PgType, Option<NullBuffer>, Encoder<'a>)>;

pub(super) fn record(array: &StructArray, format: Format, style: Style) -> Result<Encoder<'_>> {
    let columns = array.fields().iter().zip(array.columns());
    let fields = columns.map(|(field, column): (&Arc<Field>, &ArrayRef)| {
        let pg_type = PgType::of_field(field);
        Ok((pg_type, column.logical_nulls(), encoder(column, pg_type, format, style)?))
    });
    let fields: Fields<'_> = fields.collect::<Result<_>>()?;
    Ok(match format {
        Format::Text => Box::new(move |row, out| record_text(&fields, row, out)),
        Format::Binary => Box::new(move |row, out| record_binary(&fields, row, out)),
    })
}

/// `(1,"a b",)`
fn record_text(fields: &Fields<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    out.push(b'(');
    for (index, (_, nulls, encode)) in fields.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            continue;
        }
        let at = out.len();
        encode(row, out)?;
        quote_field(at, out);
    }
    out.push(b')');
    Ok(())
}

fn quote_field(at: usize, out: &mut Vec<u8>) {
    let field = &out[at..];
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b'(' | b')' | b',') || is_space(*byte);
    if field.is_empty() || field.iter().any(special) {
        let field = out.split_off(at);
        out.push(b'"');
        for byte in field {
            if matches!(byte, b'"' | b'\\') {
                out.push(byte);
            }
            out.push(byte);
        }
        out.push(b'"');
    }
}

fn record_binary(fields: &Fields<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(&(fields.len() as i32).to_be_bytes());
    for (pg_type, nulls, encode) in fields {
        out.extend_from_slice(&pg_type.oid().to_be_bytes());
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
        } else {
            sized(out, |out| encode(row, out))?;
        }
    }
    Ok(())
}
