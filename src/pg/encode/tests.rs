//! Every Arrow type against texts and bytes read from PostgreSQL 15.

use std::sync::Arc;

use arrow::array::types::*;
use arrow::array::*;
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::*;

use super::*;

fn field(array: &ArrayRef, pg_type: Option<&str>) -> Field {
    let field = Field::new("x", array.data_type().clone(), true);
    match pg_type {
        Some(name) => field.with_metadata([("pg.type".to_owned(), name.to_owned())].into()),
        None => field,
    }
}

fn text_as(array: impl Array + 'static, pg_type: Option<&str>) -> String {
    let array: ArrayRef = Arc::new(array);
    let field = field(&array, pg_type);
    single(&array, &field, Format::Text, Zone::UTC).map_or("NULL".into(), |v| String::from_utf8(v).unwrap())
}

fn text(array: impl Array + 'static) -> String {
    text_as(array, None)
}

fn hex_as(array: impl Array + 'static, pg_type: Option<&str>) -> String {
    let array: ArrayRef = Arc::new(array);
    let bytes = single(&array, &field(&array, pg_type), Format::Binary, Zone::UTC).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hex(array: impl Array + 'static) -> String {
    hex_as(array, None)
}

#[test]
fn scalars_in_text() {
    assert_eq!(text(BooleanArray::from(vec![true])), "t");
    assert_eq!(text(Int8Array::from(vec![-5])), "-5");
    assert_eq!(text(UInt64Array::from(vec![u64::MAX])), "18446744073709551615");
    assert_eq!(text(Float32Array::from(vec![1.1])), "1.1");
    assert_eq!(text(Decimal128Array::from(vec![12345]).with_precision_and_scale(18, 2).unwrap()), "123.45");
    assert_eq!(
        text(Decimal256Array::from(vec![i256::from(-12345)]).with_precision_and_scale(50, 3).unwrap()),
        "-12.345"
    );
    assert_eq!(text(StringViewArray::from(vec!["ä'"])), "ä'");
    assert_eq!(text(BinaryArray::from_vec(vec![b"\x00\xff"])), "\\x00ff");
    assert_eq!(text(Date64Array::from(vec![-86_400_000])), "1969-12-31");
    assert_eq!(text(Time64NanosecondArray::from(vec![3_723_500_000_000])), "01:02:03.5");
    assert_eq!(text(Time32SecondArray::from(vec![86_399])), "23:59:59");
    assert_eq!(text(TimestampSecondArray::from(vec![0])), "1970-01-01 00:00:00");
    assert_eq!(text(TimestampMillisecondArray::from(vec![1_500])), "1970-01-01 00:00:01.5");
    let utc = TimestampNanosecondArray::from(vec![-1]).with_timezone("UTC");
    assert_eq!(text(utc), "1969-12-31 23:59:59.999999+00");
    assert_eq!(text(DurationMillisecondArray::from(vec![90_061_001])), "1 day 01:01:01.001");
    assert_eq!(text(IntervalYearMonthArray::from(vec![-13])), "-1 years -1 mons");
    let span = IntervalMonthDayNano::new(1, 2, 3_000_000_000);
    assert_eq!(text(IntervalMonthDayNanoArray::from(vec![span])), "1 mon 2 days 00:00:03");
    assert_eq!(text(NullArray::new(1)), "NULL");
    let dictionary: DictionaryArray<Int32Type> = vec![Some("won")].into_iter().collect();
    assert_eq!(text(dictionary), "won");
    let nothing: DictionaryArray<Int32Type> = vec![None::<&str>].into_iter().collect();
    assert_eq!(text(nothing), "NULL");
    let id = uuid::Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let bytes = FixedSizeBinaryArray::try_from_iter([id.as_bytes()].into_iter()).unwrap();
    assert_eq!(text_as(bytes, Some("uuid")), "01234567-89ab-cdef-0123-456789abcdef");
}

#[test]
fn scalars_in_binary() {
    assert_eq!(hex(BooleanArray::from(vec![true])), "01");
    assert_eq!(hex(Int8Array::from(vec![-1])), "ffff");
    assert_eq!(hex(UInt16Array::from(vec![1])), "00000001");
    assert_eq!(hex(UInt32Array::from(vec![u32::MAX])), "00000000ffffffff");
    assert_eq!(hex(UInt64Array::from(vec![10_001])), "000200010000000000010001");
    assert_eq!(hex_as(Int64Array::from(vec![4_000_000_000]), Some("oid")), "ee6b2800");
    assert_eq!(hex_as(Int64Array::from(vec![7]), Some("int4")), "00000007");
    assert_eq!(hex(Float64Array::from(vec![1.5])), "3ff8000000000000");
    assert_eq!(hex_as(StringArray::from(vec!["1.5"]), Some("numeric")), "000200000000000100011388");
    assert_eq!(hex_as(StringArray::from(vec!["{}"]), Some("jsonb")), "017b7d");
    let id = "01234567-89ab-cdef-0123-456789abcdef";
    assert_eq!(hex_as(StringArray::from(vec![id]), Some("uuid")), id.replace('-', ""));
    assert_eq!(hex(Date32Array::from(vec![0])), "ffffd533");
    assert_eq!(hex(TimestampMicrosecondArray::from(vec![946_684_800_000_001])), "0000000000000001");
    assert_eq!(hex(TimestampMicrosecondArray::from(vec![i64::MAX])), "7fffffffffffffff");
}

#[test]
fn a_value_that_does_not_fit_its_type_is_an_error() {
    let array: ArrayRef = Arc::new(Int64Array::from(vec![1 << 40]));
    let pg_type = PgType::of_field(&field(&array, Some("int4")));
    let encode = value::encoder(&array, pg_type, Format::Binary, Style::in_zone(Zone::UTC)).unwrap();
    assert_eq!(encode(0, &mut Vec::new()).unwrap_err().sqlstate(), "22003");
}

fn strings(values: Vec<Option<&str>>) -> ListArray {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for value in values {
        builder.values().append_option(value);
    }
    builder.append(true);
    builder.finish()
}

#[test]
fn arrays_are_quoted_as_postgres_quotes() {
    let list =
        strings(vec![Some("a"), None, Some(""), Some("null"), Some("a b"), Some("q\"\\"), Some("{,}")]);
    assert_eq!(text(list), r#"{a,NULL,"","null","a b","q\"\\","{,}"}"#);
    assert_eq!(text(strings(vec![])), "{}");
    let numbers = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None, Some(-3)])]);
    assert_eq!(text(numbers.clone()), "{1,NULL,-3}");
    assert_eq!(
        hex(numbers),
        "00000001000000010000001700000003000000010000000400000001ffffffff00000004fffffffd"
    );
    let vector = ListArray::from_iter_primitive::<Int16Type, _, _>([Some(vec![Some(1), Some(2)])]);
    assert_eq!(text_as(vector.clone(), Some("int2vector")), "1 2");
    assert!(hex_as(vector, Some("int2vector")).starts_with("00000001000000000000001500000002"));
    let fixed = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), Some(2)])], 2);
    assert_eq!(text(fixed), "{1,2}");
}

/// A list of lists with these lengths, counting up from 1.
fn matrix(lengths: &[usize]) -> ListArray {
    let count = lengths.iter().sum::<usize>() as i32;
    let inner = ListArray::new(
        Arc::new(Field::new("item", DataType::Int32, true)),
        OffsetBuffer::from_lengths(lengths.iter().copied()),
        Arc::new(Int32Array::new(ScalarBuffer::from_iter(1..=count), None)),
        None,
    );
    let item = Arc::new(Field::new("item", inner.data_type().clone(), true));
    ListArray::new(item, OffsetBuffer::from_lengths([lengths.len()]), Arc::new(inner), None)
}

#[test]
fn nested_arrays_are_matrices() {
    assert_eq!(text(matrix(&[2, 2])), "{{1,2},{3,4}}");
    assert_eq!(text(matrix(&[0, 0])), "{}");
    assert!(hex(matrix(&[1, 1])).starts_with("0000000200000000000000170000000200000001"));
    let ragged: ArrayRef = Arc::new(matrix(&[2, 1]));
    let encode = value::encoder(
        &ragged,
        PgType::of_arrow(ragged.data_type()),
        Format::Text,
        Style::in_zone(Zone::UTC),
    )
    .unwrap();
    assert_eq!(encode(0, &mut Vec::new()).unwrap_err().sqlstate(), "2202E");
}

#[test]
fn records_are_quoted_as_postgres_quotes() {
    let column =
        |name: &str, array: ArrayRef| (Arc::new(Field::new(name, array.data_type().clone(), true)), array);
    let record = StructArray::from(vec![
        column("a", Arc::new(Int32Array::from(vec![1]))),
        column("b", Arc::new(StringArray::from(vec!["x \"y\""]))),
        column("c", Arc::new(StringArray::from(vec![None::<&str>]))),
        column("d", Arc::new(StringArray::from(vec![""]))),
    ]);
    assert_eq!(text(record.clone()), r#"(1,"x ""y""",,"")"#);
    assert!(hex(record).starts_with("0000000400000017000000040000000100000019"));
}

#[test]
fn rows_of_a_slice_are_those_of_the_slice() {
    let whole = Int32Array::from(vec![Some(1), None, Some(3), Some(4)]);
    let batch = RecordBatch::try_from_iter([("x", Arc::new(whole) as ArrayRef)]).unwrap().slice(1, 2);
    let layout = Layout::new(&batch.schema(), &[], Style::in_zone(Zone::UTC)).unwrap();
    let rows = layout.rows(&batch).unwrap();
    let mut out = Vec::new();
    rows.write(0, &mut out).unwrap();
    rows.write(1, &mut out).unwrap();
    assert_eq!(out, b"D\0\0\0\x0a\0\x01\xff\xff\xff\xffD\0\0\0\x0b\0\x01\0\0\0\x013");
}

fn batch() -> RecordBatch {
    let name = Field::new("name", DataType::Utf8, true);
    let schema = Schema::new(vec![Field::new("id", DataType::Int32, false), name]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from(vec![1, -20])), Arc::new(StringArray::from(vec![Some("a"), None]))];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

#[test]
fn a_row_is_a_complete_message() {
    let batch = batch();
    let layout = Layout::new(&batch.schema(), &[], Style::in_zone(Zone::UTC)).unwrap();
    let rows = layout.rows(&batch).unwrap();
    let mut out = Vec::new();
    for row in 0..rows.count() {
        rows.write(row, &mut out).unwrap();
    }
    assert_eq!(out, b"D\0\0\0\x10\0\x02\0\0\0\x011\0\0\0\x01aD\0\0\0\x11\0\x02\0\0\0\x03-20\xff\xff\xff\xff");
    let layout = Layout::new(&batch.schema(), &[1, 0], Style::in_zone(Zone::UTC)).unwrap();
    let mut out = Vec::new();
    layout.rows(&batch).unwrap().write(0, &mut out).unwrap();
    assert_eq!(out, b"D\0\0\0\x13\0\x02\0\0\0\x04\0\0\0\x01\0\0\0\x01a");
}

#[test]
fn format_codes_are_none_one_or_one_each() {
    assert_eq!(Format::of_codes(&[], 2, "result").unwrap(), [Format::Text, Format::Text]);
    assert_eq!(Format::of_codes(&[1], 2, "result").unwrap(), [Format::Binary, Format::Binary]);
    assert_eq!(Format::of_codes(&[0, 1], 2, "result").unwrap(), [Format::Text, Format::Binary]);
    assert_eq!(Format::of_codes(&[0, 1], 3, "result").unwrap_err().sqlstate(), "08P01");
    assert_eq!(Format::of_codes(&[2], 3, "result").unwrap_err().sqlstate(), "22023");
}
