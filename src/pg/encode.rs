//! Rows on their way out: from Arrow batches straight to `DataRow` messages, in text or binary.
//!
//! A batch is looked at once: for every column a closure is made that knows the array's type, the client's format
//! and the session's time zone. A row is then one call a column into one growing buffer, without an allocation a
//! value.

mod interval;
mod nested;
mod number;
#[cfg(test)]
mod tests;
mod time;
mod value;

use arrow::array::{Array, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Field, SchemaRef};
use pgwire::messages::data::{FieldDescription, RowDescription};

use super::frame::violation;
use super::types::{PgType, type_modifier};
use crate::error::{Error, Kind, Result};

pub(crate) use crate::query::Style;
#[cfg(test)]
pub(crate) use crate::query::Zone;

/// Writes the value of one row. Called for non-null values only.
type Encoder<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<()> + Send + Sync + 'a>;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Binary,
}

impl Format {
    /// The formats of `columns` values from the codes of a Bind message: none means text, one means all.
    pub(crate) fn of_codes(codes: &[i16], columns: usize, what: &str) -> Result<Vec<Format>> {
        let format = |code: i16| match code {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            other => Err(Error::new(Kind::Invalid, format!("unsupported format code: {other}"))),
        };
        match codes {
            [] => Ok(vec![Format::Text; columns]),
            [one] => Ok(vec![format(*one)?; columns]),
            many if many.len() == columns => many.iter().map(|code| format(*code)).collect(),
            many => Err(violation(format!(
                "bind message has {} {what} formats but {columns} {what}s",
                many.len()
            ))),
        }
    }
}

/// The columns of a result as they go to the client.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    columns: Vec<Column>,
    style: Style,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    pg_type: PgType,
    modifier: i32,
    format: Format,
}

impl Layout {
    /// The layout of a result with the format codes of a Bind message.
    pub(crate) fn new(schema: &SchemaRef, codes: &[i16], style: Style) -> Result<Self> {
        let formats = Format::of_codes(codes, schema.fields().len(), "result")?;
        let columns = schema.fields().iter().zip(formats);
        let columns = columns.map(|(field, format)| Column::new(field, format)).collect();
        Ok(Layout { columns, style })
    }

    /// Whether a client that was told `self` can read rows laid out as `other`.
    pub(crate) fn same_types(&self, other: &Layout) -> bool {
        let types = |layout: &Layout| layout.columns.iter().map(|c| c.pg_type).collect::<Vec<_>>();
        types(self) == types(other)
    }

    /// The names of the columns.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// The message that announces the columns.
    pub(crate) fn describe(&self) -> RowDescription {
        let describe = |column: &Column| {
            FieldDescription::new(
                column.name.clone(),
                0,
                0,
                column.pg_type.oid(),
                column.pg_type.size(),
                column.modifier,
                column.format as i16,
            )
        };
        RowDescription::new(self.columns.iter().map(describe).collect())
    }

    /// A batch made ready to be written row by row.
    pub(crate) fn rows<'a>(&self, batch: &'a RecordBatch) -> Result<Rows<'a>> {
        if batch.num_columns() != self.columns.len() {
            return Err(Error::internal(format!(
                "a batch of {} columns arrived for a result of {}",
                batch.num_columns(),
                self.columns.len()
            )));
        }
        let columns = batch.columns().iter().zip(&self.columns);
        let columns = columns.map(|(array, column)| {
            let encode = value::encoder(array, column.pg_type, column.format, self.style)?;
            Ok((array.logical_nulls().filter(|nulls| nulls.null_count() > 0), encode))
        });
        Ok(Rows { columns: columns.collect::<Result<_>>()?, count: batch.num_rows() })
    }
}

impl Column {
    fn new(field: &Field, format: Format) -> Self {
        Column {
            name: field.name().clone(),
            pg_type: PgType::of_field(field),
            modifier: match field.metadata().get(MODIFIER_KEY) {
                Some(told) => told.parse().unwrap_or(-1),
                None => type_modifier(field.data_type()),
            },
            format,
        }
    }
}

/// Key in the metadata of an Arrow field that overrides the type modifier told to the client.
const MODIFIER_KEY: &str = "pg.typmod";

/// The rows of one batch.
pub(crate) struct Rows<'a> {
    columns: Vec<(Option<NullBuffer>, Encoder<'a>)>,
    count: usize,
}

impl Rows<'_> {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Appends one row as a `DataRow` message.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(b"D\0\0\0\0");
        self.write_fields(row, out)?;
        let length = out.len() - start - 1;
        if length > MAX_ROW {
            out.truncate(start);
            return Err(too_long(length));
        }
        out[start + 1..start + 5].copy_from_slice(&(length as u32).to_be_bytes());
        Ok(())
    }

    /// Appends the number of columns and the values of one row, each behind its length.
    #[inline]
    pub(crate) fn write_fields(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&(self.columns.len() as u16).to_be_bytes());
        for (nulls, encode) in &self.columns {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                out.extend_from_slice(&(-1_i32).to_be_bytes());
            } else {
                sized(out, |out| encode(row, out))?;
            }
        }
        Ok(())
    }

    /// How many columns there are.
    pub(crate) fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Appends one value with nothing around it. Whether there is one: NULL writes nothing.
    pub(crate) fn write_bare(&self, column: usize, row: usize, out: &mut Vec<u8>) -> Result<bool> {
        let Some((nulls, encode)) = self.columns.get(column) else { return Ok(false) };
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(false);
        }
        encode(row, out).map(|()| true)
    }
}

/// As in PostgreSQL, no row is longer than this.
const MAX_ROW: usize = 0x3fff_ffff;

fn too_long(length: usize) -> Error {
    Error::new(
        Kind::Limit,
        format!("a row of {length} bytes is longer than the {MAX_ROW} a message can hold"),
    )
    .with_sqlstate("54000")
}

/// Appends what `write` writes, behind its length in four bytes.
fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// One value as it stands in the first row of `array`, for tests and for record fields.
#[cfg(test)]
fn single(array: &arrow::array::ArrayRef, field: &Field, format: Format, zone: Zone) -> Option<Vec<u8>> {
    let encode = value::encoder(array, PgType::of_field(field), format, Style::in_zone(zone)).unwrap();
    if array.logical_nulls().is_some_and(|nulls| nulls.is_null(0)) {
        return None;
    }
    let mut out = Vec::new();
    encode(0, &mut out).unwrap();
    Some(out)
}
