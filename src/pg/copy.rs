//! `COPY ... TO STDOUT`: the rows of a query as lines of text, CSV, or PostgreSQL's binary file format.

use std::sync::atomic::{AtomicBool, Ordering};

use pgwire::messages::copy::{CopyDone, CopyOutResponse};

use super::encode::{Layout, Rows};
use super::wire::Wire;
use crate::error::{Error, Kind, Result};
use crate::query::{CopyFormat, CopyOptions, ForceQuote};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The writer of one `COPY`.
pub(super) struct Copy {
    options: CopyOptions,
    /// Of each column, whether its values are quoted though they need not be.
    forced: Vec<bool>,
    /// What stands before the first row of the binary format has still to be written. As PostgreSQL's it goes into the
    /// same message: ConnectorX and others read it with the first row.
    lacks_signature: AtomicBool,
}

impl Copy {
    pub(super) fn new(options: CopyOptions) -> Self {
        let is_binary = options.format == CopyFormat::Binary;
        Copy { options, forced: Vec::new(), lacks_signature: AtomicBool::new(is_binary) }
    }

    /// The format codes its rows are laid out with.
    pub(super) fn codes(&self) -> &'static [i16] {
        match self.options.format {
            CopyFormat::Binary => &[1],
            CopyFormat::Text | CopyFormat::Csv => &[],
        }
    }

    /// Announces the copy, and writes what stands before the first row.
    pub(super) fn begin(&mut self, layout: &Layout, wire: &mut Wire) -> Result<()> {
        self.forced = self.forced_columns(layout)?;
        let binary = self.options.format == CopyFormat::Binary;
        let columns = layout.names().count();
        let codes = vec![i16::from(binary); columns];
        wire.send(&CopyOutResponse::new(i8::from(binary), columns as i16, codes));
        if self.options.header && !binary {
            return wire.write(|out| {
                data(out, |out| {
                    for (index, name) in layout.names().enumerate() {
                        self.delimit(index, out);
                        let at = out.len();
                        out.extend_from_slice(name.as_bytes());
                        self.escape(at, columns == 1, false, out);
                    }
                    out.push(b'\n');
                    Ok(())
                })
            });
        }
        Ok(())
    }

    /// Writes what stands behind the last row.
    pub(super) fn end(&self, wire: &mut Wire) -> Result<()> {
        if self.options.format == CopyFormat::Binary {
            wire.write(|out| {
                data(out, |out| {
                    self.sign(out);
                    out.extend_from_slice(&(-1_i16).to_be_bytes());
                    Ok(())
                })
            })?;
        }
        wire.send(&CopyDone::new());
        Ok(())
    }

    /// Writes one row.
    pub(super) fn row(&self, rows: &Rows<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.options.format == CopyFormat::Binary {
            return data(out, |out| {
                self.sign(out);
                rows.write_fields(row, out)
            });
        }
        let alone = rows.columns() == 1;
        data(out, |out| {
            for index in 0..rows.columns() {
                self.delimit(index, out);
                let at = out.len();
                if rows.write_bare(index, row, out)? {
                    let forced = self.forced.get(index).copied().unwrap_or(false);
                    self.escape(at, alone, forced, out);
                } else {
                    out.extend_from_slice(self.options.null.as_bytes());
                }
            }
            out.push(b'\n');
            Ok(())
        })
    }

    fn sign(&self, out: &mut Vec<u8>) {
        if self.lacks_signature.swap(false, Ordering::Relaxed) {
            out.extend_from_slice(SIGNATURE);
        }
    }

    fn forced_columns(&self, layout: &Layout) -> Result<Vec<bool>> {
        let ForceQuote::Columns(wanted) = &self.options.force_quote else {
            return Ok(layout.names().map(|_| true).collect());
        };
        if let Some(missing) = wanted.iter().find(|name| layout.names().all(|known| known != name.as_str())) {
            let what = format!("column \"{missing}\" does not exist");
            return Err(Error::new(Kind::NotFound, what).with_sqlstate("42703"));
        }
        Ok(layout.names().map(|name| wanted.iter().any(|wanted| wanted == name)).collect())
    }

    fn delimit(&self, index: usize, out: &mut Vec<u8>) {
        if index > 0 {
            out.push(self.options.delimiter as u8);
        }
    }

    /// Makes the value that was written from `at` on safe within its line.
    fn escape(&self, at: usize, alone: bool, forced: bool, out: &mut Vec<u8>) {
        match self.options.format {
            CopyFormat::Csv => self.quote(at, alone, forced, out),
            _ => self.backslash(at, out),
        }
    }

    fn quote(&self, at: usize, alone: bool, forced: bool, out: &mut Vec<u8>) {
        let (quote, escape, delimiter) =
            (self.options.quote as u8, self.options.escape as u8, self.options.delimiter as u8);
        let value = &out[at..];
        let special = |byte: &u8| *byte == quote || *byte == delimiter || matches!(byte, b'\n' | b'\r');
        let like_null = value == self.options.null.as_bytes();
        // A line of `\.` alone would end the data.
        let like_end = alone && value == b"\\.";
        if !forced && !like_null && !like_end && !value.iter().any(special) {
            return;
        }
        let value = out.split_off(at);
        out.push(quote);
        for byte in value {
            if byte == quote || byte == escape {
                out.push(escape);
            }
            out.push(byte);
        }
        out.push(quote);
    }

    fn backslash(&self, at: usize, out: &mut Vec<u8>) {
        let delimiter = self.options.delimiter as u8;
        let special = |byte: &u8| matches!(byte, b'\\' | 0x08..=0x0d) || *byte == delimiter;
        if !out[at..].iter().any(special) {
            return;
        }
        for byte in out.split_off(at) {
            let letter = match byte {
                0x08 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                0x0b => b'v',
                0x0c => b'f',
                b'\r' => b'r',
                b'\\' => b'\\',
                other if other == delimiter => other,
                other => {
                    out.push(other);
                    continue;
                }
            };
            out.extend_from_slice(&[b'\\', letter]);
        }
    }
}

/// Writes a CopyData message around what `write` writes.
fn data(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let at = out.len();
    out.extend_from_slice(b"d\0\0\0\0");
    write(out)?;
    let length = (out.len() - at - 1) as u32;
    out[at + 1..at + 5].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};

    use super::*;
    use crate::pg::encode::{Style, Zone};

    fn line(format: CopyFormat, null: &str, value: Option<&str>) -> String {
        let delimiter = if format == CopyFormat::Csv { ',' } else { '\t' };
        let (null, header) = (null.to_owned(), false);
        let force_quote = ForceQuote::Columns(Vec::new());
        let (quote, escape) = ('"', '"');
        let copy = Copy::new(CopyOptions { format, header, delimiter, null, quote, escape, force_quote });
        let columns: [(&str, ArrayRef); 2] =
            [("a", Arc::new(Int32Array::from(vec![7]))), ("b", Arc::new(StringArray::from(vec![value])))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let layout = Layout::new(&batch.schema(), copy.codes(), Style::in_zone(Zone::UTC)).unwrap();
        let mut out = Vec::new();
        copy.row(&layout.rows(&batch).unwrap(), 0, &mut out).unwrap();
        assert_eq!(out[1..5], (out.len() as u32 - 1).to_be_bytes());
        String::from_utf8_lossy(&out[5..]).into_owned()
    }

    #[test]
    fn lines_are_those_of_postgres() {
        assert_eq!(line(CopyFormat::Text, "\\N", Some("a\tb\\c\nd")), "7\ta\\tb\\\\c\\nd\n");
        assert_eq!(line(CopyFormat::Text, "\\N", None), "7\t\\N\n");
        assert_eq!(line(CopyFormat::Csv, "", Some("plain")), "7,plain\n");
        assert_eq!(line(CopyFormat::Csv, "", Some("say \"a,b\"")), "7,\"say \"\"a,b\"\"\"\n");
        assert_eq!(line(CopyFormat::Csv, "", Some("")), "7,\"\"\n");
        assert_eq!(line(CopyFormat::Csv, "", None), "7,\n");
        assert_eq!(line(CopyFormat::Csv, "NULL", Some("NULL")), "7,\"NULL\"\n");
        let signed = String::from_utf8_lossy(SIGNATURE) + "\0\x02\0\0\0\x04\0\0\0\x07\0\0\0\x01x";
        assert_eq!(line(CopyFormat::Binary, "", Some("x")), signed);
    }
}
