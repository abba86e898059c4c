//! Single values as text, read and printed as PostgreSQL does.

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::Field;
use datafusion::common::ScalarValue;

use super::PG_TYPE;
use super::call;
use super::diff::printed;
use super::error::translate;
use super::functions::cast::{Target, cast_scalar, sql_name};
use super::settings::Reading;
use super::zone::Zone;
use crate::error::{Error, Kind, Result};
use crate::model::FieldType;

/// The value of a field that `text` means; times without a zone are UTC. Nothing is rounded or cut.
///
/// # Errors
/// 22P02, 22003 or their kin when it is no value of the type, quoting it.
pub fn parse_value(text: &str, data_type: &FieldType) -> Result<ScalarValue> {
    match data_type {
        FieldType::Decimal(_, scale) => check_digits(text, data_type, *scale)?,
        FieldType::Bytes => return bytes(text),
        _ => {}
    }
    let value = ScalarValue::Utf8(Some(text.to_string()));
    let value = match data_type {
        FieldType::List(element) => call::list(&element.arrow(), text)?,
        _ => cast_scalar(&value, &Target::Exact(data_type.arrow()), Reading::UTC)?,
    };
    value.cast_to(&data_type.arrow()).map_err(translate)
}

/// The values of a column as PostgreSQL prints them, times in UTC.
pub fn print_values(values: &ArrayRef) -> Result<StringArray> {
    print_values_in(values, Zone::UTC)
}

/// The same with times in `zone`.
pub fn print_values_in(values: &ArrayRef, zone: Zone) -> Result<StringArray> {
    printed(values, zone).map_err(translate)
}

/// What people call the type of a result's column.
pub fn column_type(field: &Field) -> String {
    match field.metadata().get(PG_TYPE) {
        Some(name) => name.clone(),
        None => sql_name(field.data_type()),
    }
}

/// A numeric that would be rounded is another one.
fn check_digits(text: &str, data_type: &FieldType, scale: i8) -> Result<()> {
    let digits = text.trim().split_once('.').map_or("", |(_, digits)| digits).trim_end_matches('0');
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_power = text.contains(['e', 'E']);
    match is_power || (is_plain && digits.len() > usize::from(scale.unsigned_abs())) {
        false => Ok(()),
        true => Err(Error::new(Kind::Data, format!("`{text}` is not exactly a {data_type}"))
            .with_sqlstate("22003")
            .with_hint(format!("write it plainly, with at most {scale} digits after the point"))),
    }
}

fn bytes(text: &str) -> Result<ScalarValue> {
    let wrong = || {
        Error::new(Kind::Invalid, format!("invalid input syntax for type bytea: \"{text}\""))
            .with_sqlstate("22P02")
            .with_hint("write hexadecimal digits after \\x")
    };
    let digits = text.trim().strip_prefix("\\x").filter(|digits| digits.is_ascii()).ok_or_else(wrong)?;
    let byte = |two: &[u8]| {
        let two = std::str::from_utf8(two).ok().filter(|two| two.len() == 2)?;
        u8::from_str_radix(two, 16).ok()
    };
    let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
    Ok(ScalarValue::Binary(Some(bytes.ok_or_else(wrong)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for (data_type, text) in [
            ("numeric(18,2)", "1200.00"),
            ("numeric(18,2)", "-0.05"),
            ("integer", "7"),
            ("bigint", "-9223372036854775808"),
            ("boolean", "true"),
            ("double precision", "0.1"),
            ("text", " as it is \" "),
            ("date", "2026-10-31"),
            ("timestamp without time zone", "2026-10-31 12:00:00.5"),
            ("timestamp with time zone", "2026-10-31 12:00:00+00"),
            ("text[]", "{a,NULL,\"b c\"}"),
            ("numeric(10,2)[]", "{1.50,2.00}"),
            ("bytea", "\\x00ff"),
        ] {
            let value = parse_value(text, &data_type.parse().unwrap()).unwrap();
            let printed = print_values(&value.to_array().unwrap()).unwrap();
            assert_eq!(printed.value(0), text, "{data_type}");
        }
    }

    #[test]
    fn what_would_be_changed_is_refused() {
        for (data_type, text, state) in [
            ("numeric(18,2)", "1200.005", "22003"),
            ("numeric(18,2)", "1e3", "22003"),
            ("numeric(4,2)", "100", "22003"),
            ("numeric(18,2)", "much", "22P02"),
            ("integer", "1.5", "22P02"),
            ("smallint", "40000", "22003"),
            ("boolean", "maybe", "22P02"),
            ("date", "2026-02-30", "22008"),
            ("bytea", "\\x0", "22P02"),
        ] {
            let error = parse_value(text, &data_type.parse().unwrap()).unwrap_err();
            assert_eq!(error.sqlstate(), state, "{data_type} {text}: {error}");
        }
        let value = parse_value("1200.000", &"numeric(18,2)".parse().unwrap()).unwrap();
        assert_eq!(value, ScalarValue::Decimal128(Some(120_000), 18, 2));
    }
}
