//! From the bytes of `COPY ... TO STDOUT (FORMAT binary)` to Arrow, column by column.
//!
//! The stream is cut into blocks. A first pass notes where every field of a block lies; then each column runs
//! through the block in a loop of its own, so that nothing is decided and nothing allocated per value.

mod column;
mod frame;
mod numeric;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use self::column::ColumnDecoder;
use self::frame::{Cells, Frame};
use super::types::Codec;
use crate::error::{Error, Result};
use crate::source::Misfit;

/// A page ends with the block that reaches one of these.
const PAGE_ROWS: usize = 8 * 1024;
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// No page has more rows.
const MAX_PAGE_ROWS: usize = 2 * PAGE_ROWS;
/// Bytes gathered before a block is decoded.
const BLOCK_BYTES: usize = 64 * 1024;

/// Decodes the streams of one lane into record batches.
pub(crate) struct Decoder {
    schema: SchemaRef,
    columns: Vec<ColumnDecoder>,
    frame: Frame,
    rows: usize,
    bytes: usize,
    /// How many rows may still be taken; `None` for all.
    left: Option<u64>,
    capped: bool,
}

/// A decoded part of a lane.
pub(crate) struct Decoded {
    pub(crate) rows: RecordBatch,
    pub(crate) misfits: Vec<Misfit>,
}

impl Decoder {
    /// A decoder of columns with the given codecs into `schema`, taking at most `limit` rows.
    pub(crate) fn new(schema: SchemaRef, codecs: &[Codec], limit: Option<u64>) -> Self {
        let columns = codecs.iter().map(ColumnDecoder::new).collect();
        Decoder {
            schema,
            columns,
            frame: Frame::new(codecs.len()),
            rows: 0,
            bytes: 0,
            left: limit,
            capped: false,
        }
    }

    /// Takes the next bytes of the stream.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        self.frame.feed(bytes)
    }

    /// Decodes what was fed, once it is enough to be worth it. Call it until it gives no more pages.
    pub(crate) fn page(&mut self) -> Result<Option<Decoded>> {
        while self.frame.pending() >= BLOCK_BYTES {
            if !self.block()? {
                break;
            }
            if self.rows >= PAGE_ROWS || self.bytes >= PAGE_BYTES {
                return self.take().map(Some);
            }
        }
        Ok(None)
    }

    /// Decodes the rest of a stream and checks that it is complete. Call it until it gives no more pages.
    pub(crate) fn finish(&mut self) -> Result<Option<Decoded>> {
        while self.block()? {
            if self.rows >= PAGE_ROWS || self.bytes >= PAGE_BYTES {
                return self.take().map(Some);
            }
        }
        self.frame.end()?;
        Ok(None)
    }

    /// The rows decoded since the last page, however few.
    pub(crate) fn rest(&mut self) -> Result<Option<Decoded>> {
        if self.rows == 0 { Ok(None) } else { self.take().map(Some) }
    }

    /// Whether a row beyond the limit was seen.
    pub(crate) fn is_capped(&self) -> bool {
        self.capped
    }

    /// Decodes the complete rows at hand; false when there is none.
    fn block(&mut self) -> Result<bool> {
        let room = MAX_PAGE_ROWS - self.rows;
        let mut found = self.frame.scan(room)?;
        if found.rows == 0 {
            return Ok(false);
        }
        if let Some(left) = &mut self.left {
            if found.rows as u64 > *left {
                self.capped = true;
                found.rows = *left as usize;
            }
            *left -= found.rows as u64;
        }
        let stride = self.columns.len();
        let (buffer, spans) = self.frame.found();
        let spans = spans.get(..found.rows * stride).unwrap_or_default();
        for (first, column) in self.columns.iter_mut().enumerate() {
            column.append(Cells { buffer, spans, first, stride }).map_err(|problem| {
                let name = self.schema.field(first).name();
                Error::internal(format!("field `{name}` arrived in an unexpected form: {problem}"))
            })?;
        }
        self.frame.consume(&found);
        self.rows += found.rows;
        self.bytes += found.bytes;
        Ok(true)
    }

    fn take(&mut self) -> Result<Decoded> {
        let mut misfits = Vec::new();
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (field, column) in self.schema.fields().iter().zip(&mut self.columns) {
            arrays.push(column.finish(field.data_type())?);
            if let Some((count, sample)) = column.take_misfits() {
                misfits.push(Misfit { field: field.name().clone(), count, sample });
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|error| Error::internal("the decoded columns do not fit together").with_source(error))?;
        (self.rows, self.bytes) = (0, 0);
        Ok(Decoded { rows, misfits })
    }
}

#[cfg(test)]
mod tests;
