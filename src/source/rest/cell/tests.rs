use arrow::array::{Array, AsArray};
use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;

use super::*;

/// What one value becomes as text, `None` for NULL, and whether it fits.
fn kept(data_type: &str, cell: Cell<'_>) -> (Option<String>, bool) {
    let mut column = Column::new("c", &data_type.parse().unwrap(), 1);
    column.append(Some(cell));
    let (array, misfit) = column.finish();
    assert_eq!(array.len(), 1);
    let text = array.is_valid(0).then(|| array_value_to_string(&array, 0).unwrap());
    (text, misfit.is_none())
}

fn json(data_type: &str, json: &str) -> (Option<String>, bool) {
    kept(data_type, Cell::Json(json))
}

fn fits(text: &str) -> (Option<String>, bool) {
    (Some(text.to_string()), true)
}

const NULL: (Option<String>, bool) = (None, true);
const MISFIT: (Option<String>, bool) = (None, false);

#[test]
fn decimals_keep_every_digit_and_nothing_else_passes() {
    for (text, expected) in [
        ("77600.55", fits("77600.550000000")),
        ("\"12.5\"", fits("12.500000000")),
        ("3.5E8", fits("350000000.000000000")),
        ("-1e-9", fits("-0.000000001")),
        ("12345678901234567890123456789.123456789", fits("12345678901234567890123456789.123456789")),
        ("0.1000000000000000000000000000000000000000000", fits("0.100000000")),
        ("-0.0", fits("0.000000000")),
        ("\"\"", NULL),
        ("null", NULL),
        ("\" 7 \"", fits("7.000000000")),
        ("0.0000000001", MISFIT),
        ("123456789012345678901234567890", MISFIT),
        ("\"1,000\"", MISFIT),
        ("\"NaN\"", MISFIT),
        ("\"Infinity\"", MISFIT),
        ("\"0x10\"", MISFIT),
        ("\"1e999999999\"", MISFIT),
        ("\".\"", MISFIT),
        ("true", MISFIT),
        ("{}", MISFIT),
    ] {
        assert_eq!(json("numeric(38,9)", text), expected, "{text}");
    }
}

#[test]
fn whole_numbers_are_exact() {
    for (text, expected) in [
        ("9007199254740993", fits("9007199254740993")),
        ("\"-9223372036854775808\"", fits("-9223372036854775808")),
        ("0.0", fits("0")),
        ("7.50", MISFIT),
        ("9223372036854775808", MISFIT),
        ("\"\"", NULL),
    ] {
        assert_eq!(json("bigint", text), expected, "{text}");
    }
    assert_eq!(json("integer", "2147483648"), MISFIT);
    assert_eq!(kept("bigint", Cell::Csv("12")), fits("12"));
}

#[test]
fn times_are_read_in_all_their_spellings() {
    let micros = |text: &str| {
        let mut column = Column::new("c", &FieldType::TimestampTz, 1);
        column.append(Some(Cell::Json(text)));
        let (array, misfit) = column.finish();
        let values = array.as_primitive::<TimestampMicrosecondType>();
        (values.is_valid(0).then(|| values.value(0)), misfit.is_none())
    };
    for (text, at) in [
        ("\"2024-09-13T20:23:03.332Z\"", 1_726_258_983_332_000),
        ("\"2024-09-24T03:26:07.000+0000\"", 1_727_148_367_000_000),
        ("\"2024-09-24T03:26:07.603000+00:00\"", 1_727_148_367_603_000),
        ("\"2024-09-24 05:26:07+02\"", 1_727_148_367_000_000),
        ("\"2019-07-25T15:26:49+05:30\"", 1_564_048_609_000_000),
        ("\"1614110929603\"", 1_614_110_929_603_000),
        ("1614110929603", 1_614_110_929_603_000),
        ("\"0001-01-01\"", -62_135_596_800_000_000),
        ("\"9999-12-31T23:59:59.999999Z\"", 253_402_300_799_999_999),
        ("\"2024-02-29T00:00\"", 1_709_164_800_000_000),
    ] {
        assert_eq!(micros(text), (Some(at), true), "{text}");
    }
    for text in [
        "\"0000-00-00\"",
        "\"2023-02-29\"",
        "\"12024-01-01T00:00:00Z\"",
        "\"2024-01-01T24:00:00Z\"",
        "\"2024-06-30T23:59:60Z\"",
        "\"2024-01-01T00:00:00.0000001Z\"",
        "\"yesterday\"",
        "\"99999999999999999\"",
        "\"2024-01-01T00:00:00 Europe/Berlin\"",
        "\"é024-01-01\"",
        "true",
        "1.5",
    ] {
        assert_eq!(micros(text), (None, false), "{text}");
    }
    assert_eq!(micros("\"\""), (None, true));
}

#[test]
fn every_day_of_five_centuries_is_read() {
    let mut day = chrono::NaiveDate::from_ymd_opt(1700, 1, 1).unwrap();
    while day < chrono::NaiveDate::from_ymd_opt(2200, 1, 1).unwrap() {
        let expected = day.signed_duration_since(chrono::NaiveDate::default()).num_days();
        assert_eq!(time::date(&day.to_string()).map(i64::from), Some(expected), "{day}");
        day = day.succ_opt().unwrap();
    }
    let mut column = Column::new("c", &FieldType::Date, 1);
    column.append(Some(Cell::Json("\"1727049600000\"")));
    assert_eq!(column.finish().0.as_primitive::<Date32Type>().value(0), 19_989);
    assert_eq!(json("date", "\"1727049600001\""), MISFIT);
    assert_eq!(json("date", "\"2024-02-30\""), MISFIT);
}

#[test]
fn texts_lose_only_what_no_client_can_be_sent() {
    for (text, expected) in [
        (r#""a\u00e9\n\"\\\/\ud83d\ude00""#, fits("aé\n\"\\/😀")),
        (r#""\uFFFD""#, fits("\u{fffd}")),
        (r#""""#, fits("")),
        ("17", fits("17")),
        ("1.10", fits("1.10")),
        (r#"{"a": [1]}"#, fits(r#"{"a": [1]}"#)),
        ("null", NULL),
        (r#""\ud83d""#, (Some("\u{fffd}".into()), false)),
        (r#""\ud83dx\ude00""#, (Some("\u{fffd}x\u{fffd}".into()), false)),
        (r#""a\u0000b""#, (Some("a\u{fffd}b".into()), false)),
    ] {
        assert_eq!(json("text", text), expected, "{text}");
    }
    for text in ["NA", "null", "None", "NaN", "\\n"] {
        assert_eq!(kept("text", Cell::Csv(text)), fits(text));
    }
    assert_eq!(kept("text", Cell::Csv("")), NULL);
}

#[test]
fn lists_come_separated_or_as_json() {
    assert_eq!(json("text[]", "\";A; B;\""), fits("[A, B]"));
    assert_eq!(json("text[]", "[\"x;y\",1]"), fits("[x;y, 1]"));
    assert_eq!(json("text[]", "[]"), fits("[]"));
    assert_eq!(json("text[]", "\"\""), NULL);
    assert_eq!(json("text[]", "{}"), MISFIT);
}

#[test]
fn misfits_are_counted_with_a_sample() {
    let mut column = Column::new("amount", &"numeric(5,2)".parse().unwrap(), 4);
    for text in ["\"x\"", "1.25", "\"y\""] {
        column.append(Some(Cell::Json(text)));
    }
    column.append(None);
    let (array, misfit) = column.finish();
    assert_eq!(
        array.as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>(),
        [None, Some(125), None, None]
    );
    assert_eq!(misfit, Some(Misfit { field: "amount".into(), count: 2, sample: "x".into() }));
    let mut column = Column::new("n", &FieldType::Int64, 1);
    column.append(Some(Cell::Csv("5")));
    assert_eq!(column.finish().0.as_primitive::<Int64Type>().value(0), 5);
}
