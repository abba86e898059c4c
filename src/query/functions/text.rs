//! Values from and to text, as PostgreSQL reads and prints them.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike};

use crate::error::{Error, Kind, Result};
use crate::query::Zone;

/// 22P02
pub(in crate::query) fn invalid_syntax(type_name: &str, text: &str) -> Error {
    let shown: String = text.chars().take(100).collect();
    Error::new(Kind::Data, format!("invalid input syntax for type {type_name}: \"{shown}\""))
        .with_sqlstate("22P02")
}

/// As much of a value as a message quotes.
pub(in crate::query) fn quoted_value(text: &str) -> String {
    text.chars().take(100).collect()
}

fn blank(c: char) -> bool {
    c.is_ascii_whitespace()
}

/// `boolean`: any unique beginning of true, false, yes, no, on, off; 1 and 0.
pub(in crate::query) fn parse_bool(text: &str) -> Result<bool> {
    let word = text.trim_matches(blank).to_ascii_lowercase();
    let is_start_of = |full: &str, least: usize| word.len() >= least && full.starts_with(&word);
    if word == "1" || is_start_of("true", 1) || is_start_of("yes", 1) || is_start_of("on", 2) {
        return Ok(true);
    }
    if word == "0" || is_start_of("false", 1) || is_start_of("no", 1) || is_start_of("off", 2) {
        return Ok(false);
    }
    Err(invalid_syntax("boolean", text))
}

/// An integer of a type whose range is checked.
pub(in crate::query) fn parse_integer(text: &str, type_name: &str, least: i64, most: i64) -> Result<i64> {
    let trimmed = text.trim_matches(blank);
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid_syntax(type_name, text));
    }
    match trimmed.parse::<i64>() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => {
            let shown: String = text.chars().take(100).collect();
            let what = format!("value \"{shown}\" is out of range for type {type_name}");
            Err(Error::new(Kind::Data, what).with_sqlstate("22003"))
        }
    }
}

/// 22003
pub(in crate::query) fn beyond(text: &str, type_name: &str) -> Error {
    let what = format!("\"{}\" is out of range for type {type_name}", text.trim_matches(blank));
    Error::new(Kind::Data, what).with_sqlstate("22003")
}

/// `double precision` and `real`.
pub(in crate::query) fn parse_float(text: &str, type_name: &str) -> Result<f64> {
    let trimmed = text.trim_matches(blank);
    let lower = trimmed.to_ascii_lowercase();
    match lower.strip_prefix(['+', '-']).unwrap_or(&lower) {
        "infinity" | "inf" => {
            return Ok(if lower.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        "nan" if !lower.starts_with(['+', '-']) => return Ok(f64::NAN),
        _ => {}
    }
    let plain = trimmed.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    let value = if plain { trimmed.parse::<f64>().ok() } else { None };
    let value = value.ok_or_else(|| invalid_syntax(type_name, text))?;
    if value.is_infinite() {
        return Err(beyond(trimmed, type_name));
    }
    Ok(value)
}

/// `bytea`: hexadecimal behind `\x`, else characters and escapes.
pub(in crate::query) fn parse_bytea(text: &str) -> Result<Vec<u8>> {
    match text.strip_prefix("\\x") {
        Some(digits) => super::words::hex(digits),
        None => parse_bytea_escapes(text),
    }
}

/// Characters, `\\` and `\ooo`.
pub(in crate::query) fn parse_bytea_escapes(text: &str) -> Result<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            out.push(bytes[at]);
            at += 1;
        } else if bytes.get(at + 1) == Some(&b'\\') {
            out.push(b'\\');
            at += 2;
        } else {
            let code = text.get(at + 1..at + 4).and_then(|code| u8::from_str_radix(code, 8).ok());
            out.push(code.ok_or_else(|| {
                Error::new(Kind::Data, "invalid input syntax for type bytea").with_sqlstate("22P02")
            })?);
            at += 4;
        }
    }
    Ok(out)
}

/// The elements of `{a,"b c",NULL}`.
pub(in crate::query) fn parse_array(text: &str) -> Result<Vec<Option<String>>> {
    let malformed = || {
        let shown: String = text.chars().take(100).collect();
        Error::new(Kind::Data, format!("malformed array literal: \"{shown}\"")).with_sqlstate("22P02")
    };
    let inner = text.trim_matches(blank).strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let inner = inner.ok_or_else(|| match text.trim_start().starts_with('{') {
        true => malformed().with_detail("Unexpected end of input."),
        false => malformed(),
    })?;
    let mut elements = Vec::new();
    let mut chars = inner.chars().peekable();
    if inner.trim_matches(blank).is_empty() {
        return Ok(elements);
    }
    loop {
        let (mut element, mut was_quoted, mut in_quotes) = (String::new(), false, false);
        let ended = loop {
            match chars.next() {
                None if in_quotes => return Err(malformed()),
                None => break true,
                Some('\\') => element.push(chars.next().ok_or_else(malformed)?),
                Some('"') => {
                    in_quotes = !in_quotes;
                    was_quoted = true;
                }
                Some(',') if !in_quotes => break false,
                Some('{' | '}') if !in_quotes => return Err(malformed()),
                Some(c) => element.push(c),
            }
        };
        let plain = element.trim_matches(blank).to_string();
        elements.push(match was_quoted {
            true => Some(element),
            false if plain.is_empty() => return Err(malformed()),
            false if plain.eq_ignore_ascii_case("null") => None,
            false => Some(plain),
        });
        if ended {
            return Ok(elements);
        }
    }
}

/// `double precision` with the fewest digits that read back the same.
pub(in crate::query) fn format_float(value: f64) -> String {
    format_shortest(value, format!("{value:e}"))
}

/// `real` with the fewest digits that read back the same.
pub(in crate::query) fn format_real(value: f32) -> String {
    format_shortest(f64::from(value), format!("{value:e}"))
}

fn format_shortest(value: f64, scientific: String) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..15).contains(&exponent) {
        let (sign, digits) = match mantissa.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", mantissa),
        };
        let digits = digits.replace('.', "");
        if exponent < 0 {
            return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
        }
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
        }
        return format!("{sign}{}.{}", &digits[..whole], &digits[whole..]);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// `date`
pub(in crate::query) fn format_date(days: i32) -> String {
    match NaiveDate::default().checked_add_signed(chrono::Duration::days(i64::from(days))) {
        Some(date) if date.year() > 0 => date.format("%Y-%m-%d").to_string(),
        Some(date) => format!("{:04}-{:02}-{:02} BC", 1 - date.year(), date.month(), date.day()),
        None if days < 0 => "-infinity".into(),
        None => "infinity".into(),
    }
}

/// `timestamp`, with as many digits of the second as needed.
pub(in crate::query) fn format_timestamp(micros: i64) -> String {
    let Some(time) = DateTime::from_timestamp_micros(micros).map(|time| time.naive_utc()) else {
        return if micros < 0 { "-infinity".into() } else { "infinity".into() };
    };
    let (year, era) = match time.year() {
        year if year > 0 => (year, ""),
        year => (1 - year, " BC"),
    };
    format!("{year:04}{}{}{era}", time.format("-%m-%d %H:%M:%S"), fraction(&time))
}

/// `timestamp with time zone` as clocks of a zone show it, followed by the offset.
pub(in crate::query) fn format_timestamptz(micros: i64, zone: Zone) -> String {
    let (offset, shown) = (zone.offset_at(micros), format_timestamp(zone.to_local(micros)));
    if shown.ends_with("infinity") {
        return shown;
    }
    let (sign, seconds) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs());
    let mut text = format!("{shown}{sign}{:02}", seconds / 3_600);
    if seconds % 3_600 != 0 {
        text += &format!(":{:02}", seconds / 60 % 60);
    }
    if seconds % 60 != 0 {
        text += &format!(":{:02}", seconds % 60);
    }
    text
}

fn fraction(time: &NaiveDateTime) -> String {
    match time.nanosecond() / 1_000 {
        0 => String::new(),
        micros => format!(".{micros:06}").trim_end_matches('0').to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_in_postgresql() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (1.5, "1.5"),
            (1e15, "1e+15"),
            (123456789012345.0, "123456789012345"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e300, "1.5e+300"),
            (-2.25, "-2.25"),
        ] {
            assert_eq!(format_float(value), text);
        }
    }

    #[test]
    fn words_for_truth_are_read() {
        assert_eq!(parse_bool(" Yes ").unwrap(), true);
        assert!(parse_bool("o").is_err());
    }
}
