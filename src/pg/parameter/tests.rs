use std::sync::Arc;

use arrow::datatypes::{Field, TimeUnit};

use super::*;
use crate::query::{DateOrder, Zone};

fn text(type_name: &str, value: &str) -> Result<ScalarValue> {
    let wire = PgType::of_name(type_name).unwrap();
    let target = wire.arrow().unwrap();
    decode(Some(&Bytes::copy_from_slice(value.as_bytes())), wire, Format::Text, &target, Reading::UTC)
}

fn binary(type_name: &str, value: &[u8]) -> Result<ScalarValue> {
    let wire = PgType::of_name(type_name).unwrap();
    let target = wire.arrow().unwrap();
    decode(Some(&Bytes::copy_from_slice(value)), wire, Format::Binary, &target, Reading::UTC)
}

fn state(result: Result<ScalarValue>) -> &'static str {
    result.unwrap_err().sqlstate()
}

#[test]
fn booleans_and_numbers_in_text() {
    for (value, expected) in [("t", true), (" YES ", true), ("on", true), ("0", false), ("fal", false)] {
        assert_eq!(text("bool", value).unwrap(), ScalarValue::Boolean(Some(expected)));
    }
    assert_eq!(state(text("bool", "o")), "22P02");
    assert_eq!(text("int4", " -5 ").unwrap(), ScalarValue::Int32(Some(-5)));
    assert_eq!(state(text("int4", "5.5")), "22P02");
    assert_eq!(state(text("int2", "32768")), "22003");
    assert_eq!(text("float8", "-Infinity").unwrap(), ScalarValue::Float64(Some(f64::NEG_INFINITY)));
    assert_eq!(state(text("float8", "1e999")), "22003");
    assert_eq!(state(text("float4", "1e39")), "22003");
}

#[test]
fn numerics_keep_their_own_scale() {
    let decimal = |value, precision, scale| ScalarValue::Decimal128(Some(value), precision, scale);
    assert_eq!(text("numeric", "77600.55").unwrap(), decimal(7_760_055, 7, 2));
    assert_eq!(text("numeric", "-.5").unwrap(), decimal(-5, 1, 1));
    assert_eq!(text("numeric", "1.5e3").unwrap(), decimal(1500, 4, 0));
    assert_eq!(text("numeric", "15e-3").unwrap(), decimal(15, 3, 3));
    assert_eq!(text("numeric", "0.00").unwrap(), decimal(0, 2, 2));
    assert!(matches!(text("numeric", &"9".repeat(39)).unwrap(), ScalarValue::Decimal256(_, 39, 0)));
    assert_eq!(state(text("numeric", &"9".repeat(77))), "22003");
    assert_eq!(state(text("numeric", "1e2000000000")), "22003");
    for bad in ["", ".", "1..2", "e5", "1e", "--1", "0x10"] {
        assert_eq!(state(text("numeric", bad)), "22P02", "{bad}");
    }
    let words = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
    assert_eq!(binary("numeric", &words(&[3, 1, 0, 2, 7, 7600, 5500])).unwrap(), decimal(7_760_055, 7, 2));
    assert_eq!(binary("numeric", &words(&[1, 1, 0x4000, 0, 1])).unwrap(), decimal(-10_000, 5, 0));
    assert_eq!(binary("numeric", &words(&[1, 0xfffe, 0, 5, 5000])).unwrap(), decimal(5, 5, 5));
    assert_eq!(binary("numeric", &words(&[0, 0, 0, 0])).unwrap(), decimal(0, 1, 0));
    assert_eq!(state(binary("numeric", &words(&[9, 0, 0, 0, 1]))), "22P03");
    assert_eq!(state(binary("numeric", &words(&[1, 30_000, 0, 0, 1]))), "22003");
}

#[test]
fn dates_and_times_in_the_forms_people_send() {
    let day = ScalarValue::Date32(Some(18_266));
    for form in [
        "2020-01-05",
        "20200105",
        "1/5/2020",
        "01/05/20",
        "Jan 5, 2020",
        "5 January 2020",
        "5-Jan-2020",
        "2020-Jan-05",
        "2020-01-05T10:00:00Z",
        "2020-01-05 10:00",
        "Sunday January 5 2020",
    ] {
        assert_eq!(text("date", form).unwrap(), day, "{form}");
    }
    assert_eq!(text("date", "0001-01-01 BC").unwrap(), ScalarValue::Date32(Some(-719_528)));
    assert_eq!(text("date", "infinity").unwrap(), ScalarValue::Date32(Some(i32::MAX)));
    for (bad, expected) in [
        ("2020-13-01", "22008"),
        ("2020-02-30", "22008"),
        ("hello", "22007"),
        ("", "22007"),
        ("2020", "22007"),
        ("31/12/2024", "22008"),
        ("4714-11-23 BC", "22008"),
        ("5874898-01-01", "22008"),
        ("2020-01-05 10:00+16", "22009"),
        ("2020-01-05 25:00", "22008"),
    ] {
        assert_eq!(state(text("date", bad)), expected, "{bad}");
    }
    let ten = 1_578_218_400_000_000;
    for form in [
        "2020-01-05 10:00",
        "2020-01-05T10:00:00",
        "2020-01-05 10:00:00.000",
        "2020-01-05 10:00 am",
        "2020-01-05 10:00:00+05",
        "2020-01-05 10:00:00.0000004",
    ] {
        let expected = ScalarValue::TimestampMicrosecond(Some(ten), None);
        assert_eq!(text("timestamp", form).unwrap(), expected, "{form}");
    }
    for form in [
        "2020-01-05 10:00Z",
        "2020-01-05 11:00+01",
        "2020-01-05 15:30:00+05:30",
        "2020-01-05T04:30:00-0530",
        "2020-01-05 11:00 Europe/Berlin",
        "2020-01-05 10:00 UTC",
        "2020-01-05 10:00",
    ] {
        let expected = ScalarValue::TimestampMicrosecond(Some(ten), Some("UTC".into()));
        assert_eq!(text("timestamptz", form).unwrap(), expected, "{form}");
    }
    let berlin = Reading::from(Zone::of_setting("Europe/Berlin"));
    let wire = PgType::of_name("timestamptz").unwrap();
    let target = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let local = Bytes::from_static(b"2020-01-05 11:00");
    let expected = ScalarValue::TimestampMicrosecond(Some(ten), Some("UTC".into()));
    assert_eq!(decode(Some(&local), wire, Format::Text, &target, berlin).unwrap(), expected);
    let european = Reading { order: DateOrder::Dmy, ..Reading::UTC };
    let local = Bytes::from_static(b"05/01/2020 10:00");
    assert_eq!(decode(Some(&local), wire, Format::Text, &target, european).unwrap(), expected);
    let time = |micros| ScalarValue::Time64Microsecond(Some(micros));
    assert_eq!(text("time", "01:02:03.5").unwrap(), time(3_723_500_000));
    assert_eq!(text("time", "1:00 pm").unwrap(), time(46_800_000_000));
    assert_eq!(state(text("time", "25:00")), "22008");
    assert_eq!(text("time", "24:00").unwrap(), time(86_400_000_000));
}

#[test]
fn intervals_in_the_forms_people_send() {
    let hms = |h: i64, m: i64, s: i64| ((h * 60 + m) * 60 + s) * 1_000_000;
    for (form, (months, days, micros)) in [
        ("1 year 2 mons 3 days 04:05:06.5", (14, 3, hms(4, 5, 6) + 500_000)),
        ("-1 years -2 mons +3 days -04:05:06", (-14, 3, -hms(4, 5, 6))),
        ("P1Y2M3DT4H5M6S", (14, 3, hms(4, 5, 6))),
        ("90 minutes ago", (0, 0, -hms(1, 30, 0))),
        ("@ 1.5 hours", (0, 0, hms(1, 30, 0))),
        ("2weeks", (0, 14, 0)),
        ("1.5 days", (0, 1, hms(12, 0, 0))),
        ("10", (0, 0, hms(0, 0, 10))),
    ] {
        assert_eq!(text("interval", form).unwrap(), interval_scalar(months, days, micros).unwrap(), "{form}");
    }
    for bad in ["", "hello", "1 hello", "P", "1:2:3:4"] {
        assert_eq!(state(text("interval", bad)), "22007", "{bad}");
    }
}

#[test]
fn bytes_uuids_and_json() {
    let bytes = |value: &[u8]| ScalarValue::Binary(Some(value.to_vec()));
    assert_eq!(text("bytea", "\\x00fF").unwrap(), bytes(b"\x00\xff"));
    assert_eq!(text("bytea", "a\\\\\\001").unwrap(), bytes(b"a\\\x01"));
    assert_eq!(state(text("bytea", "\\x0")), "22P02");
    let id = ScalarValue::Utf8(Some("01234567-89ab-cdef-0123-456789abcdef".into()));
    assert_eq!(text("uuid", "{01234567-89AB-CDEF-0123-456789ABCDEF}").unwrap(), id);
    assert_eq!(state(text("uuid", "nope")), "22P02");
    assert_eq!(binary("jsonb", b"\x01{}").unwrap(), ScalarValue::Utf8(Some("{}".into())));
    assert_eq!(state(text("json", "{")), "22P02");
    assert_eq!(state(binary("text", b"a\0b")), "22021");
    assert_eq!(state(binary("text", b"\xff")), "22021");
    assert_eq!(state(binary("int4", b"abc")), "22P03");
}

fn items(value: ScalarValue) -> Vec<String> {
    let ScalarValue::List(list) = value else { panic!("no list: {value:?}") };
    let values = list.value(0);
    let item = |row| ScalarValue::try_from_array(&values, row).unwrap().to_string();
    (0..values.len()).map(item).collect()
}

#[test]
fn arrays_in_text_and_binary() {
    let parsed = text("text[]", r#"{a, NULL ,"null","a \"b\\", x y ,\,}"#).unwrap();
    assert_eq!(items(parsed), ["a", "NULL", "null", "a \"b\\", "x y", ","]);
    assert_eq!(items(text("int4[]", "[1:2]={1,2}").unwrap()), ["1", "2"]);
    assert!(items(text("int4[]", "{}").unwrap()).is_empty());
    let numerics = text("numeric[]", "{1,2.50}").unwrap();
    let element = Field::new_list_field(DataType::Decimal128(3, 2), true);
    assert_eq!(numerics.data_type(), DataType::List(Arc::new(element)));
    for bad in ["", "{", "{1,}", "{,}", "{\"a}", "1,2", "{a\"b\"}", "{\"a\"b}"] {
        assert_eq!(state(text("text[]", bad)), "22P02", "{bad}");
    }
    assert_eq!(state(text("int4[]", "{{1}}")), "0A000");
    let words = |words: &[i32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
    assert_eq!(items(binary("int4[]", &words(&[1, 1, 23, 2, 1, 4, 7, -1])).unwrap()), ["7", "NULL"]);
    assert!(items(binary("int4[]", &words(&[0, 0, 23])).unwrap()).is_empty());
    for bad in [&[1, 1, 23, 0x7fff_ffff, 1][..], &[1, 1], &[1, 1, 23, 1, 1, 0x7fff_ffff], &[0, 0, 23, 1]] {
        assert_eq!(state(binary("int4[]", &words(bad))), "22P03", "{bad:?}");
    }
}

#[test]
fn no_bytes_at_all_make_it_panic() {
    let names = [
        "bool",
        "int2",
        "int4",
        "int8",
        "float4",
        "float8",
        "numeric",
        "bytea",
        "date",
        "time",
        "timestamp",
        "timestamptz",
        "interval",
        "uuid",
        "json",
        "jsonb",
        "text",
        "name",
        "int4[]",
        "text[]",
        "numeric[]",
        "timestamptz[]",
        "interval[]",
    ];
    let alphabet = b"0123456789+-:./ TZeEpPnNaA{},\"\\xINFyd[]=\0\xff";
    for round in 0..4000_usize {
        let name = names[round % names.len()];
        let bytes: [u8; 16] = rand::random();
        drop(binary(name, &bytes[..round % 17]));
        let letters: Vec<u8> = bytes.iter().map(|byte| alphabet[*byte as usize % alphabet.len()]).collect();
        drop(text(name, &String::from_utf8_lossy(&letters[..round % 17])));
    }
}

#[test]
fn a_null_has_the_type_the_planner_wants() {
    let wire = PgType::of_name("text").unwrap();
    let value = decode(None, wire, Format::Text, &DataType::Int32, Reading::UTC).unwrap();
    assert_eq!(value, ScalarValue::Int32(None));
}
