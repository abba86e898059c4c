//! Numbers and times as sources write them.

use chrono::{DateTime, NaiveDate, SecondsFormat};

use super::{Rows, quote};
use crate::catalog::manifest::Language;
use crate::model::{Comparison, Micros};

/// Longest number that is said to a source, in digits.
const MAX_DIGITS: usize = 60;

/// A number without an exponent: not every language has one.
pub(crate) fn plain_number(number: &str) -> Option<String> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let length = usize::try_from(point.unsigned_abs()).ok()?.max(digits.len());
    if length > MAX_DIGITS {
        return None;
    }
    let text = match usize::try_from(point) {
        Ok(point) if point >= digits.len() => format!("{digits}{}", "0".repeat(point - digits.len())),
        Ok(0) => format!("0.{digits}"),
        Ok(point) => format!("{}.{}", &digits[..point], &digits[point..]),
        Err(_) => format!("0.{}{digits}", "0".repeat(usize::try_from(-point).ok()?)),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(match fraction {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    })
}

/// `2026-10-31T23:59:59.123456Z`, with `digits` after the point.
fn rfc3339(micros: Micros, digits: SecondsFormat) -> Option<String> {
    Some(DateTime::from_timestamp_micros(micros)?.to_rfc3339_opts(digits, true))
}

/// A day.
pub(super) fn date(language: Language, days: i32) -> Option<String> {
    let day = NaiveDate::default().checked_add_signed(chrono::Duration::days(i64::from(days)))?;
    // Sources refuse years of fewer or more digits.
    let day = Some(day).filter(|day| (1000..=9999).contains(&chrono::Datelike::year(day)))?.to_string();
    match language {
        Language::Soql | Language::Odata => Some(day),
        Language::Coql => quote(language, &day),
        Language::Suiteql => Some(format!("TO_DATE({}, 'YYYY-MM-DD')", quote(language, &day)?)),
    }
}

/// A point in time in whole seconds, rounded to the side on which no row is lost.
pub(super) fn timestamp(language: Language, op: Comparison, micros: Micros, rows: Rows) -> Option<String> {
    const SECOND: i64 = 1_000_000;
    let is_whole = micros.rem_euclid(SECOND) == 0;
    if !is_whole && (rows == Rows::AtMost || matches!(op, Comparison::Eq | Comparison::NotEq)) {
        return None;
    }
    let down = micros.div_euclid(SECOND) * SECOND;
    let rounded = match op {
        Comparison::Less | Comparison::LessEq if !is_whole => down + SECOND,
        _ => down,
    };
    let text = rfc3339(rounded, SecondsFormat::Secs)?;
    let text = Some(text).filter(|text| text.len() == 20)?;
    match language {
        Language::Soql | Language::Odata => Some(text),
        Language::Coql => quote(language, &text.replace('Z', "+00:00")),
        // It reads times in the zone of the session, which is not known here.
        Language::Suiteql => None,
    }
}
