//! The framing of PostgreSQL's binary COPY format: signature, tuples, trailer.

use crate::error::{Error, Kind, Result};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// A row that needs more memory than this is refused.
const MAX_ROW_BYTES: usize = 256 * 1024 * 1024;

/// Where a field lies within the buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

const NULL_LEN: u32 = u32::MAX;

impl Span {
    pub(super) fn new(start: usize, len: Option<usize>) -> Self {
        Span { start: start as u32, len: len.map_or(NULL_LEN, |len| len as u32) }
    }
}

/// The fields of one column within a block.
#[derive(Clone, Copy)]
pub(super) struct Cells<'a> {
    pub(super) buffer: &'a [u8],
    pub(super) spans: &'a [Span],
    pub(super) first: usize,
    pub(super) stride: usize,
}

impl<'a> Cells<'a> {
    /// The bytes of each field, `None` for NULL.
    #[inline]
    pub(super) fn iter(self) -> impl Iterator<Item = Option<&'a [u8]>> {
        self.placed().map(|(_, bytes)| bytes)
    }

    /// Each field with its place in the buffer.
    #[inline]
    pub(super) fn placed(self) -> impl Iterator<Item = (usize, Option<&'a [u8]>)> {
        self.spans.iter().skip(self.first).step_by(self.stride).map(move |span| {
            let start = span.start as usize;
            let is_null = span.len == NULL_LEN;
            (start, if is_null { None } else { self.buffer.get(start..start + span.len as usize) })
        })
    }

    pub(super) fn len(self) -> usize {
        self.spans.len() / self.stride
    }
}

/// What a scan found.
pub(super) struct Found {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Tuples,
    Ended,
}

/// The bytes of a stream that are not decoded yet.
pub(super) struct Frame {
    columns: usize,
    state: State,
    buffer: Vec<u8>,
    /// Everything before it is decoded.
    start: usize,
    spans: Vec<Span>,
}

impl Frame {
    pub(super) fn new(columns: usize) -> Self {
        Frame { columns, state: State::Header, buffer: Vec::new(), start: 0, spans: Vec::new() }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        if self.state == State::Ended {
            return Err(broken("bytes after its trailer"));
        }
        // Moving the undecoded rest to the front costs at most one row for every block.
        if self.start > 0 {
            self.buffer.copy_within(self.start.., 0);
            self.buffer.truncate(self.buffer.len() - self.start);
            self.start = 0;
        }
        if self.buffer.len() + bytes.len() > MAX_ROW_BYTES {
            return Err(Error::new(Kind::Limit, "a row of the source has more than 256 MiB")
                .with_hint("deselect the field that holds the large values"));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Finds the complete rows at the front, at most `room`.
    pub(super) fn scan(&mut self, room: usize) -> Result<Found> {
        self.spans.clear();
        if self.state == State::Header && !self.header()? {
            return Ok(Found { rows: 0, bytes: 0 });
        }
        let begin = self.start;
        let mut end = begin;
        let mut rows = 0;
        while rows < room && self.state == State::Tuples {
            let Some(fields) = int16(&self.buffer, end) else { break };
            if fields == -1 {
                self.state = State::Ended;
                // Only after the rows before it are consumed may the trailer be.
                if self.buffer.len() != end + 2 {
                    return Err(broken("bytes after its trailer"));
                }
                break;
            }
            if fields as usize != self.columns {
                return Err(broken(&format!("{fields} fields where {} were asked for", self.columns)));
            }
            match self.tuple(end + 2)? {
                Some(next) => end = next,
                None => {
                    self.spans.truncate(rows * self.columns);
                    break;
                }
            }
            rows += 1;
        }
        if rows == 0 && self.state == State::Ended {
            self.start = self.buffer.len();
        }
        Ok(Found { rows, bytes: end - begin })
    }

    /// Notes the fields of the tuple at `at`; gives the place behind it, or `None` when it is incomplete.
    #[inline]
    fn tuple(&mut self, mut at: usize) -> Result<Option<usize>> {
        for _ in 0..self.columns {
            let Some(len) = int32(&self.buffer, at) else { return Ok(None) };
            at += 4;
            match usize::try_from(len) {
                Ok(len) => {
                    if self.buffer.len() - at < len {
                        return Ok(None);
                    }
                    self.spans.push(Span::new(at, Some(len)));
                    at += len;
                }
                Err(_) if len == -1 => self.spans.push(Span::new(at, None)),
                Err(_) => return Err(broken(&format!("a field of {len} bytes"))),
            }
        }
        Ok(Some(at))
    }

    fn header(&mut self) -> Result<bool> {
        let Some(header) = self.buffer.get(self.start..self.start + 19) else { return Ok(false) };
        if !header.starts_with(SIGNATURE) {
            return Err(broken("an unknown signature"));
        }
        let extension = int32(header, 15).unwrap_or_default();
        if int32(header, 11) != Some(0) || extension < 0 {
            return Err(broken("unknown flags"));
        }
        if self.pending() < 19 + extension as usize {
            return Ok(false);
        }
        self.start += 19 + extension as usize;
        self.state = State::Tuples;
        Ok(true)
    }

    /// The buffer and the fields of the last scan.
    pub(super) fn found(&self) -> (&[u8], &[Span]) {
        (&self.buffer, &self.spans)
    }

    /// Marks what the last scan found as decoded.
    pub(super) fn consume(&mut self, found: &Found) {
        self.start = if self.state == State::Ended { self.buffer.len() } else { self.start + found.bytes };
    }

    /// Ends a stream: without its trailer it is incomplete, whatever was decoded. Ready for the next one.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.state != State::Ended {
            return Err(Error::new(Kind::Unavailable, "the source stopped sending before its end")
                .with_hint("nothing was changed; try again"));
        }
        self.state = State::Header;
        self.buffer.clear();
        self.start = 0;
        Ok(())
    }
}

#[inline]
fn int16(bytes: &[u8], at: usize) -> Option<i16> {
    Some(i16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A big-endian 32-bit integer.
#[inline]
pub(super) fn int32(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn broken(what: &str) -> Error {
    Error::internal(format!("the source's COPY stream holds {what}"))
}
