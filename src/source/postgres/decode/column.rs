//! One column on its way from PostgreSQL's binary form to an Arrow array.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, NullBufferBuilder, PrimitiveArray,
    StringArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType,
};

use super::frame::{Cells, Span, int32};
use super::numeric::{self, Outcome};
use crate::error::{Error, Result};
use crate::source::postgres::types::Codec;

/// Days and microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL begins to count.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Why a value is no value of its type.
pub(super) type Problem = String;

pub(super) struct ColumnDecoder {
    codec: Codec,
    values: Values,
    nulls: NullBufferBuilder,
    misfits: Misfits,
}

/// Values of the current page. NULLs have a place too.
enum Values {
    Boolean(BooleanBufferBuilder),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal(Vec<i128>),
    Bytes { offsets: Vec<i32>, data: Vec<u8> },
    List { offsets: Vec<i32>, element: Box<ColumnDecoder>, spans: Vec<Span> },
}

#[derive(Default)]
struct Misfits {
    count: u64,
    sample: Option<String>,
}

impl Misfits {
    #[cold]
    fn note(&mut self, sample: impl FnOnce() -> String) {
        self.count += 1;
        self.sample.get_or_insert_with(sample);
    }
}

impl ColumnDecoder {
    pub(super) fn new(codec: &Codec) -> Self {
        let values = match codec {
            Codec::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            Codec::Int16 => Values::Int16(Vec::new()),
            Codec::Int32 | Codec::Date => Values::Int32(Vec::new()),
            Codec::Int64 | Codec::Unsigned | Codec::NumericInt64 | Codec::Timestamp | Codec::TimestampTz => {
                Values::Int64(Vec::new())
            }
            Codec::Float32 => Values::Float32(Vec::new()),
            Codec::Float64 => Values::Float64(Vec::new()),
            Codec::Decimal(..) => Values::Decimal(Vec::new()),
            Codec::Text | Codec::Padded | Codec::Jsonb | Codec::Uuid | Codec::Bytes => {
                Values::Bytes { offsets: vec![0], data: Vec::new() }
            }
            Codec::List(element) => Values::List {
                offsets: vec![0],
                element: Box::new(ColumnDecoder::new(element)),
                spans: Vec::new(),
            },
        };
        ColumnDecoder {
            codec: codec.clone(),
            values,
            nulls: NullBufferBuilder::new(0),
            misfits: Misfits::default(),
        }
    }

    /// Appends the fields of a block.
    pub(super) fn append(&mut self, cells: Cells<'_>) -> Result<(), Problem> {
        let sink = Sink { nulls: &mut self.nulls, misfits: &mut self.misfits };
        match (&self.codec, &mut self.values) {
            (Codec::Boolean, Values::Boolean(out)) => sink.each(cells, |_, bytes| match bytes {
                Some([byte]) => {
                    out.append(*byte != 0);
                    Outcome::Value(())
                }
                Some(_) => Outcome::Broken,
                None => {
                    out.append(false);
                    Outcome::Value(())
                }
            }),
            (Codec::Int16, Values::Int16(out)) => sink.fixed(cells, out, narrow, print_integer),
            (Codec::Int32, Values::Int32(out)) => sink.fixed(cells, out, narrow, print_integer),
            (Codec::Int64, Values::Int64(out)) => sink.fixed(cells, out, narrow, print_integer),
            (Codec::Unsigned, Values::Int64(out)) => sink.fixed(
                cells,
                out,
                |bytes| exact(bytes, |bytes| i64::from(u32::from_be_bytes(bytes))),
                print_integer,
            ),
            (Codec::NumericInt64, Values::Int64(out)) => sink.fixed(
                cells,
                out,
                |bytes| match numeric::decimal(bytes, 0, i128::MAX) {
                    Outcome::Value(value) => i64::try_from(value).map_or(Outcome::Misfit, Outcome::Value),
                    Outcome::Misfit => Outcome::Misfit,
                    Outcome::Broken => Outcome::Broken,
                },
                numeric::print,
            ),
            (Codec::Float32, Values::Float32(out)) => {
                sink.fixed(cells, out, |bytes| exact(bytes, f32::from_be_bytes), print_nothing)
            }
            (Codec::Float64, Values::Float64(out)) => sink.fixed(
                cells,
                out,
                |bytes| match bytes.len() {
                    4 => exact(bytes, |bytes| f64::from(f32::from_be_bytes(bytes))),
                    _ => exact(bytes, f64::from_be_bytes),
                },
                print_nothing,
            ),
            (Codec::Decimal(precision, scale), Values::Decimal(out)) => {
                let (bound, scale) = (numeric::bound(*precision), i32::from(*scale));
                sink.fixed(cells, out, |bytes| numeric::decimal(bytes, scale, bound), numeric::print)
            }
            (Codec::Date, Values::Int32(out)) => sink.fixed(cells, out, date, print_moment),
            (Codec::Timestamp | Codec::TimestampTz, Values::Int64(out)) => {
                sink.fixed(cells, out, timestamp, print_moment)
            }
            (Codec::Text | Codec::Bytes, Values::Bytes { offsets, data }) => {
                sink.bytes(cells, offsets, data, |bytes, data| {
                    data.extend_from_slice(bytes);
                    true
                })
            }
            (Codec::Padded, Values::Bytes { offsets, data }) => {
                sink.bytes(cells, offsets, data, |bytes, data| {
                    let end = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
                    data.extend_from_slice(bytes.get(..end).unwrap_or_default());
                    true
                })
            }
            (Codec::Jsonb, Values::Bytes { offsets, data }) => {
                sink.bytes(cells, offsets, data, |bytes, data| match bytes.split_first() {
                    Some((1, text)) => {
                        data.extend_from_slice(text);
                        true
                    }
                    _ => false,
                })
            }
            (Codec::Uuid, Values::Bytes { offsets, data }) => {
                sink.bytes(cells, offsets, data, |bytes, data| match bytes.try_into() {
                    Ok(bytes) => {
                        let mut text = [0; 36];
                        uuid::Uuid::from_bytes(bytes).hyphenated().encode_lower(&mut text);
                        data.extend_from_slice(&text);
                        true
                    }
                    Err(_) => false,
                })
            }
            (Codec::List(_), Values::List { offsets, element, spans }) => {
                list(sink, cells, offsets, element, spans)
            }
            (codec, _) => Err(format!("no place for {codec:?}")),
        }
    }

    /// The values since the last call as an array of `data_type`.
    pub(super) fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef> {
        let nulls = self.nulls.finish();
        Ok(match &mut self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int16(values) => primitive::<Int16Type>(values, nulls, data_type),
            Values::Int32(values) if *data_type == DataType::Date32 => {
                primitive::<Date32Type>(values, nulls, data_type)
            }
            Values::Int32(values) => primitive::<Int32Type>(values, nulls, data_type),
            Values::Int64(values) if *data_type == DataType::Int64 => {
                primitive::<Int64Type>(values, nulls, data_type)
            }
            Values::Int64(values) => primitive::<TimestampMicrosecondType>(values, nulls, data_type),
            Values::Float32(values) => primitive::<Float32Type>(values, nulls, data_type),
            Values::Float64(values) => primitive::<Float64Type>(values, nulls, data_type),
            Values::Decimal(values) => primitive::<Decimal128Type>(values, nulls, data_type),
            Values::Bytes { offsets, data } => {
                let offsets = take_offsets(offsets);
                let data = Buffer::from_vec(renew(data));
                if *data_type == DataType::Binary {
                    Arc::new(BinaryArray::new(offsets, data, nulls))
                } else {
                    text(offsets, data, nulls, &mut self.misfits)
                }
            }
            Values::List { offsets, element, .. } => {
                let DataType::List(field) = data_type else {
                    return Err(Error::internal(format!("a list cannot become {data_type}")));
                };
                let values = element.finish(field.data_type())?;
                let offsets = take_offsets(offsets);
                let list = ListArray::try_new(Arc::clone(field), offsets, values, nulls);
                Arc::new(list.map_err(|error| Error::internal("a list is malformed").with_source(error))?)
            }
        })
    }

    /// How many values did not fit since the last call, and one of them.
    pub(super) fn take_misfits(&mut self) -> Option<(u64, String)> {
        let mut own = std::mem::take(&mut self.misfits);
        if let Values::List { element, .. } = &mut self.values
            && let Some((count, sample)) = element.take_misfits()
        {
            own.count += count;
            own.sample.get_or_insert(sample);
        }
        (own.count > 0).then(|| (own.count, own.sample.unwrap_or_default()))
    }
}

/// Where NULLs and misfits of a column go.
struct Sink<'a> {
    nulls: &'a mut NullBufferBuilder,
    misfits: &'a mut Misfits,
}

impl Sink<'_> {
    /// Fixed-width values. `Broken` values are an error, misfits become NULL.
    #[inline]
    fn fixed<T: Default>(
        self,
        cells: Cells<'_>,
        out: &mut Vec<T>,
        read: impl Fn(&[u8]) -> Outcome<T>,
        print: impl Fn(&[u8]) -> String,
    ) -> Result<(), Problem> {
        out.reserve(cells.len());
        for cell in cells.iter() {
            let Some(bytes) = cell else {
                out.push(T::default());
                self.nulls.append_null();
                continue;
            };
            match read(bytes) {
                Outcome::Value(value) => {
                    out.push(value);
                    self.nulls.append_non_null();
                }
                Outcome::Misfit => {
                    self.misfits.note(|| print(bytes));
                    out.push(T::default());
                    self.nulls.append_null();
                }
                Outcome::Broken => return Err(format!("{} bytes", bytes.len())),
            }
        }
        Ok(())
    }

    /// Values of any width, copied by `copy`; false from it means that they are broken.
    #[inline]
    fn bytes(
        self,
        cells: Cells<'_>,
        offsets: &mut Vec<i32>,
        data: &mut Vec<u8>,
        copy: impl Fn(&[u8], &mut Vec<u8>) -> bool,
    ) -> Result<(), Problem> {
        offsets.reserve(cells.len());
        for cell in cells.iter() {
            match cell {
                Some(bytes) => {
                    if !copy(bytes, data) {
                        return Err(format!("{} bytes", bytes.len()));
                    }
                    self.nulls.append_non_null();
                }
                None => self.nulls.append_null(),
            }
            offsets.push(i32::try_from(data.len()).map_err(|_| "more than 2 GiB in one page")?);
        }
        Ok(())
    }

    /// Any values; `take` sees NULLs too.
    #[inline]
    fn each(
        self,
        cells: Cells<'_>,
        mut take: impl FnMut(usize, Option<&[u8]>) -> Outcome<()>,
    ) -> Result<(), Problem> {
        for (start, cell) in cells.placed() {
            match take(start, cell) {
                Outcome::Value(()) if cell.is_some() => self.nulls.append_non_null(),
                Outcome::Value(()) => self.nulls.append_null(),
                Outcome::Misfit => {
                    self.misfits.note(|| "an array of more than one dimension".into());
                    self.nulls.append_null();
                }
                Outcome::Broken => return Err(format!("{} bytes", cell.map_or(0, <[u8]>::len))),
            }
        }
        Ok(())
    }
}

/// Arrays of one dimension: the places of all elements of the block are noted first, then the elements are decoded
/// like any other column.
fn list(
    sink: Sink<'_>,
    cells: Cells<'_>,
    offsets: &mut Vec<i32>,
    element: &mut ColumnDecoder,
    spans: &mut Vec<Span>,
) -> Result<(), Problem> {
    spans.clear();
    let base = offsets.last().copied().unwrap_or_default();
    sink.each(cells, |start, bytes| {
        let outcome = match bytes {
            Some(bytes) => elements(bytes, start, spans),
            None => Outcome::Value(()),
        };
        match i32::try_from(spans.len()).ok().and_then(|count| base.checked_add(count)) {
            Some(offset) => offsets.push(offset),
            None => return Outcome::Broken,
        }
        outcome
    })?;
    element.append(Cells { buffer: cells.buffer, spans, first: 0, stride: 1 })
}

/// Notes the elements of one array, whose bytes begin at `start` of the buffer.
fn elements(bytes: &[u8], start: usize, spans: &mut Vec<Span>) -> Outcome<()> {
    let count = match (int32(bytes, 0), int32(bytes, 12)) {
        (Some(0), _) => return Outcome::Value(()),
        (Some(1), Some(count)) => count,
        (Some(2..), _) => return Outcome::Misfit,
        _ => return Outcome::Broken,
    };
    let mut at = 20;
    for _ in 0..count {
        let Some(len) = int32(bytes, at) else { return Outcome::Broken };
        at += 4;
        let len = usize::try_from(len).ok();
        if bytes.len() < at + len.unwrap_or(0) {
            return Outcome::Broken;
        }
        spans.push(Span::new(start + at, len));
        at += len.unwrap_or(0);
    }
    Outcome::Value(())
}

#[inline]
fn exact<T, const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Outcome<T> {
    bytes.try_into().map_or(Outcome::Broken, |bytes| Outcome::Value(read(bytes)))
}

#[inline]
fn integer(bytes: &[u8]) -> Option<i64> {
    Some(match bytes.len() {
        2 => i64::from(i16::from_be_bytes(bytes.try_into().ok()?)),
        4 => i64::from(i32::from_be_bytes(bytes.try_into().ok()?)),
        _ => i64::from_be_bytes(bytes.try_into().ok()?),
    })
}

#[inline]
fn narrow<T: TryFrom<i64>>(bytes: &[u8]) -> Outcome<T> {
    match integer(bytes) {
        Some(value) => T::try_from(value).map_or(Outcome::Misfit, Outcome::Value),
        None => Outcome::Broken,
    }
}

#[inline]
fn date(bytes: &[u8]) -> Outcome<i32> {
    match exact(bytes, i32::from_be_bytes) {
        Outcome::Value(i32::MIN | i32::MAX) => Outcome::Misfit,
        Outcome::Value(days) => days.checked_add(EPOCH_DAYS).map_or(Outcome::Misfit, Outcome::Value),
        other => other,
    }
}

#[inline]
fn timestamp(bytes: &[u8]) -> Outcome<i64> {
    match exact(bytes, i64::from_be_bytes) {
        Outcome::Value(i64::MIN | i64::MAX) => Outcome::Misfit,
        Outcome::Value(micros) => micros.checked_add(EPOCH_MICROS).map_or(Outcome::Misfit, Outcome::Value),
        other => other,
    }
}

fn print_integer(bytes: &[u8]) -> String {
    integer(bytes).map(|value| value.to_string()).unwrap_or_default()
}

fn print_moment(bytes: &[u8]) -> String {
    match bytes.split_first() {
        Some((0x7f, rest)) if rest.iter().all(|byte| *byte == 0xff) => "infinity".into(),
        Some((0x80, rest)) if rest.iter().all(|byte| *byte == 0) => "-infinity".into(),
        _ => "later than can be kept".into(),
    }
}

fn print_nothing(_: &[u8]) -> String {
    String::new()
}

/// The values of a page, leaving room for as many of the next.
fn renew<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(values.len());
    std::mem::replace(values, room)
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let taken = renew(offsets);
    offsets.push(0);
    OffsetBuffer::new(ScalarBuffer::from(taken))
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> ArrayRef {
    let array = PrimitiveArray::<T>::new(ScalarBuffer::from(renew(values)), nulls);
    Arc::new(array.with_data_type(data_type.clone()))
}

/// All texts of a page are checked in one pass. A database without an encoding (SQL_ASCII) can hold others: those
/// become NULL, one by one.
fn text(
    offsets: OffsetBuffer<i32>,
    data: Buffer,
    nulls: Option<NullBuffer>,
    misfits: &mut Misfits,
) -> ArrayRef {
    if let Ok(array) = StringArray::try_new(offsets.clone(), data.clone(), nulls.clone()) {
        return Arc::new(array);
    }
    let raw = BinaryArray::new(offsets, data, nulls);
    let texts = raw.iter().map(|value| {
        let bytes = value?;
        let text = std::str::from_utf8(bytes).ok();
        if text.is_none() {
            misfits.note(|| String::from_utf8_lossy(bytes).chars().take(100).collect());
        }
        text
    });
    Arc::new(texts.collect::<StringArray>())
}
