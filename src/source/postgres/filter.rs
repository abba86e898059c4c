//! Filters in PostgreSQL's own language.
//!
//! COPY takes no parameters, so constants are written into the text; [`constant`] alone does so. Numbers are checked
//! character by character, texts are quoted with `standard_conforming_strings` on, days and times are printed from
//! integers.

use chrono::{DateTime, Datelike, Days, NaiveDate};

use super::name::{check_column, literal, quote};
use crate::error::{Error, Kind, Result};
use crate::model::{Comparison, FieldType, Filter, Literal, Micros};

/// Deeper filters are refused: the server's parser would refuse them less clearly.
const MAX_DEPTH: usize = 100;

/// The filter as a boolean SQL expression over the object's columns.
pub fn filter_sql(filter: &Filter) -> Result<String> {
    compile(filter, &|field, data_type| {
        let quoted = quote(field);
        Ok(if *data_type == FieldType::Text { format!("{quoted}::text") } else { quoted })
    })
}

/// [`filter_sql`], with `column` giving the expression of a field in the type in which it is kept.
pub(crate) fn compile(
    filter: &Filter,
    column: &dyn Fn(&str, &FieldType) -> Result<String>,
) -> Result<String> {
    node(filter, column, 0)
}

fn node(
    filter: &Filter,
    column: &dyn Fn(&str, &FieldType) -> Result<String>,
    depth: usize,
) -> Result<String> {
    if depth > MAX_DEPTH {
        return Err(Error::new(
            Kind::Limit,
            format!("the filter is nested more than {MAX_DEPTH} levels deep"),
        )
        .with_sqlstate("54001"));
    }
    let expression = |field: &str, data_type: &FieldType| {
        check_column(field)?;
        column(field, data_type)
    };
    let join = |parts: &[Filter], word: &str, none: &str| -> Result<String> {
        let parts: Vec<_> = parts.iter().map(|part| node(part, column, depth + 1)).collect::<Result<_>>()?;
        Ok(if parts.is_empty() { none.into() } else { format!("({})", parts.join(word)) })
    };
    match filter {
        Filter::And(parts) => join(parts, " AND ", "TRUE"),
        Filter::Or(parts) => join(parts, " OR ", "FALSE"),
        Filter::Not(part) => Ok(format!("(NOT {})", node(part, column, depth + 1)?)),
        Filter::Compare { field, data_type, op, literal } => {
            let ordered = !matches!(op, Comparison::Eq | Comparison::NotEq);
            if ordered && *data_type == FieldType::Boolean {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("boolean field `{field}` has no order; it cannot be compared by `{}`", op.sql()),
                ));
            }
            // Texts are ordered by their code points everywhere else in tributary too.
            let collation = if ordered && *data_type == FieldType::Text { " COLLATE \"C\"" } else { "" };
            let constant = constant(field, data_type, literal)?;
            Ok(format!("({}{collation} {} {constant})", expression(field, data_type)?, op.sql()))
        }
        Filter::In { field, data_type, literals } => {
            if literals.is_empty() {
                return Ok("FALSE".into());
            }
            let constants: Vec<_> =
                literals.iter().map(|literal| constant(field, data_type, literal)).collect::<Result<_>>()?;
            Ok(format!("({} IN ({}))", expression(field, data_type)?, constants.join(", ")))
        }
        Filter::IsNull { field } => {
            check_column(field)?;
            Ok(format!("({} IS NULL)", quote(field)))
        }
        Filter::Like { field, pattern } => {
            if pattern.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1 {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("the LIKE pattern of field `{field}` must not end with its escape character"),
                )
                .with_sqlstate("22025"));
            }
            let pattern = constant(field, &FieldType::Text, &Literal::Text(pattern.clone()))?;
            Ok(format!("({} COLLATE \"C\" LIKE {pattern})", expression(field, &FieldType::Text)?))
        }
        Filter::IsTrue { field } => expression(field, &FieldType::Boolean),
    }
}

/// The one place where a constant becomes SQL.
fn constant(field: &str, data_type: &FieldType, value: &Literal) -> Result<String> {
    use FieldType as T;
    match (data_type, value) {
        (T::Boolean, Literal::Boolean(value)) => Ok(if *value { "TRUE".into() } else { "FALSE".into() }),
        (
            T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64 | T::Decimal(..),
            Literal::Number(number),
        ) => {
            check_number(field, number)?;
            // Parentheses keep a sign from forming a comment (`- -1` without the space).
            Ok(format!("({number})"))
        }
        (T::Text, Literal::Text(text)) => {
            if text.contains('\0') {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("the filter compares field `{field}` with a text that contains a NUL character"),
                )
                .with_sqlstate("22021"));
            }
            Ok(literal(text))
        }
        (T::Date | T::Timestamp | T::TimestampTz, Literal::Date(days)) => {
            Ok(format!("'{}'::date", print_date(field, *days)?))
        }
        (T::Date | T::Timestamp, Literal::Timestamp(micros)) => {
            Ok(format!("'{}'::timestamp", print_timestamp(field, *micros, "")?))
        }
        (T::TimestampTz, Literal::Timestamp(micros)) => {
            Ok(format!("'{}'::timestamptz", print_timestamp(field, *micros, "+00")?))
        }
        (data_type, value) => Err(Error::new(
            Kind::Invalid,
            format!("the filter compares field `{field}` of type `{data_type}` with {}", describe(value)),
        )),
    }
}

fn describe(value: &Literal) -> String {
    match value {
        Literal::Boolean(value) => format!("`{value}`"),
        Literal::Number(number) => format!("the number `{}`", number.chars().take(50).collect::<String>()),
        Literal::Text(text) => format!("the text `{}`", text.chars().take(50).collect::<String>()),
        Literal::Date(_) => "a date".into(),
        Literal::Timestamp(_) => "a timestamp".into(),
    }
}

/// `[-+]digits[.digits][e[-+]digits]` and nothing else.
fn check_number(field: &str, number: &str) -> Result<()> {
    let unsigned = number.strip_prefix(['-', '+']).unwrap_or(number);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_is_well = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        (1..=3).contains(&exponent.len()) && digits(exponent)
    });
    let has_digits = !(whole.is_empty() && fraction.is_empty());
    if number.len() <= 500 && has_digits && digits(whole) && digits(fraction) && exponent_is_well {
        return Ok(());
    }
    let shown: String = number.chars().take(50).collect();
    Err(Error::new(
        Kind::Invalid,
        format!("the filter compares field `{field}` with `{shown}`, which is no number"),
    ))
}

fn out_of_range(field: &str) -> Error {
    Error::new(
        Kind::Invalid,
        format!("the filter compares field `{field}` with a day that PostgreSQL does not know"),
    )
    .with_sqlstate("22008")
}

fn print_date(field: &str, days: i32) -> Result<String> {
    let epoch = NaiveDate::default();
    let distance = Days::new(u64::from(days.unsigned_abs()));
    let day = if days < 0 { epoch.checked_sub_days(distance) } else { epoch.checked_add_days(distance) };
    let day = day.ok_or_else(|| out_of_range(field))?;
    let (year, era) = year(day.year(), field)?;
    Ok(format!("{year:04}-{:02}-{:02}{era}", day.month(), day.day()))
}

/// A point in time as PostgreSQL reads it, with `zone` behind the time of day.
pub(crate) fn print_timestamp(field: &str, micros: Micros, zone: &str) -> Result<String> {
    let moment = DateTime::from_timestamp_micros(micros).ok_or_else(|| out_of_range(field))?;
    let (year, era) = year(moment.year(), field)?;
    Ok(format!("{year:04}-{}{zone}{era}", moment.format("%m-%d %H:%M:%S%.6f")))
}

/// PostgreSQL's calendar: the year before 1 is 1 BC, the first it knows is 4713 BC.
fn year(year: i32, field: &str) -> Result<(i32, &'static str)> {
    match year {
        1.. => Ok((year, "")),
        -4711..=0 => Ok((1 - year, " BC")),
        _ => Err(out_of_range(field)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(data_type: FieldType, op: Comparison, literal: Literal) -> Result<String> {
        filter_sql(&Filter::Compare { field: "f".into(), data_type, op, literal })
    }

    #[test]
    fn constants_cannot_leave_their_place() {
        use Comparison::{Eq, Less};
        let sql = |data_type, op, literal| compare(data_type, op, literal).unwrap();
        let nasty = "x'; DROP TABLE t; --\\";
        assert_eq!(
            sql(FieldType::Text, Eq, Literal::Text(nasty.into())),
            "(\"f\"::text = 'x''; DROP TABLE t; --\\')"
        );
        assert_eq!(
            sql(FieldType::Text, Less, Literal::Text("b".into())),
            "(\"f\"::text COLLATE \"C\" < 'b')"
        );
        assert_eq!(
            sql(FieldType::Decimal(18, 2), Eq, Literal::Number("-77600.55".into())),
            "(\"f\" = (-77600.55))"
        );
        assert_eq!(sql(FieldType::Date, Eq, Literal::Date(-719_163)), "(\"f\" = '0001-12-31 BC'::date)");
        assert_eq!(
            sql(FieldType::TimestampTz, Less, Literal::Timestamp(-1)),
            "(\"f\" < '1969-12-31 23:59:59.999999+00'::timestamptz)"
        );
        for number in ["", ".", "1;", "1 OR 1", "0x10", "NaN", "1e", "1e9999", "--1", "1_000", "١"] {
            assert!(compare(FieldType::Int32, Eq, Literal::Number(number.into())).is_err(), "{number}");
        }
        for number in ["1", "-1", "+1.5", ".5", "5.", "1e10", "1E-3", "99999999999999999999999999999.99"] {
            assert!(compare(FieldType::Int32, Eq, Literal::Number(number.into())).is_ok(), "{number}");
        }
        assert!(compare(FieldType::Text, Eq, Literal::Text("a\0".into())).is_err());
        assert!(compare(FieldType::Int32, Eq, Literal::Text("1".into())).is_err());
        assert!(compare(FieldType::Date, Eq, Literal::Date(i32::MAX)).is_err());
        assert!(compare(FieldType::Boolean, Less, Literal::Boolean(true)).is_err());
    }

    #[test]
    fn trees_keep_their_shape() {
        let is_null = Filter::IsNull { field: "a\"b".into() };
        let like = Filter::Like { field: "n".into(), pattern: "50\\%%'".into() };
        let filter = Filter::And(vec![
            Filter::Or(vec![]),
            Filter::Not(Box::new(Filter::Or(vec![is_null, like]))),
            Filter::IsTrue { field: "ok".into() },
            Filter::And(vec![]),
        ]);
        assert_eq!(
            filter_sql(&filter).unwrap(),
            "(FALSE AND (NOT ((\"a\"\"b\" IS NULL) OR (\"n\"::text COLLATE \"C\" LIKE '50\\%%'''))) AND \"ok\" AND TRUE)"
        );
        assert!(filter_sql(&Filter::Like { field: "n".into(), pattern: "a\\".into() }).is_err());
        let deep = (0..1000).fold(Filter::And(vec![]), |inner, _| Filter::Not(Box::new(inner)));
        assert_eq!(filter_sql(&deep).unwrap_err().sqlstate(), "54001");
        assert!(filter_sql(&Filter::IsNull { field: "x".repeat(10_240) }).is_err());
    }
}
