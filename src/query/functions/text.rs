//! Values from and to text, as PostgreSQL reads and prints them.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

use crate::error::{Error, Kind, Result};
use crate::query::Zone;

/// 22P02
pub(in crate::query) fn invalid_syntax(type_name: &str, text: &str) -> Error {
    let shown: String = text.chars().take(100).collect();
    Error::new(Kind::Data, format!("invalid input syntax for type {type_name}: \"{shown}\""))
        .with_sqlstate("22P02")
}

fn invalid_date(type_name: &str, text: &str) -> Error {
    invalid_syntax(type_name, text).with_sqlstate("22007")
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
        let what = format!("\"{trimmed}\" is out of range for type {type_name}");
        return Err(Error::new(Kind::Data, what).with_sqlstate("22003"));
    }
    Ok(value)
}

/// `date`, as days since 1970-01-01.
pub(in crate::query) fn parse_date(text: &str) -> Result<i32> {
    let (date, _, _) = parse_parts(text, "date")?;
    Ok((date - NaiveDate::default()).num_days() as i32)
}

/// `timestamp`, in microseconds; an offset in the text is ignored, as PostgreSQL does.
pub(in crate::query) fn parse_timestamp(text: &str) -> Result<i64> {
    let (date, time, _) = parse_parts(text, "timestamp")?;
    Ok(date.and_time(time).and_utc().timestamp_micros())
}

/// `timestamp with time zone`, in microseconds UTC; without a zone in the text it is the session's.
pub(in crate::query) fn parse_timestamptz(text: &str, session: Zone) -> Result<i64> {
    let (date, time, zone) = parse_parts(text, "timestamp with time zone")?;
    Ok(zone.unwrap_or(session).to_utc(date.and_time(time).and_utc().timestamp_micros()))
}

/// Date, time and zone, where one is written.
fn parse_parts(text: &str, type_name: &str) -> Result<(NaiveDate, NaiveTime, Option<Zone>)> {
    let invalid = || invalid_date(type_name, text);
    let trimmed = text.trim_matches(blank);
    if trimmed.eq_ignore_ascii_case("epoch") {
        return Ok((NaiveDate::default(), NaiveTime::default(), Some(Zone::UTC)));
    }
    let (date, rest) = match trimmed.find(|c: char| blank(c) || c == 'T' || c == 't') {
        Some(at) => (&trimmed[..at], trimmed[at + 1..].trim_start_matches(blank)),
        None => (trimmed, ""),
    };
    let date = parse_day(date, text).ok_or_else(invalid)??;
    if rest.is_empty() {
        return Ok((date, NaiveTime::default(), None));
    }
    let zone_at = rest.find(|c: char| matches!(c, '+' | '-' | 'z' | 'Z') || c.is_ascii_alphabetic());
    let (clock, zone) = zone_at.map_or((rest, ""), |at| (rest[..at].trim_end_matches(blank), &rest[at..]));
    let (seconds, micros) = parse_clock(clock).ok_or_else(invalid)?;
    let zone = match zone.is_empty() {
        true => None,
        false => Some(parse_zone(zone).ok_or_else(invalid)?),
    };
    if seconds > 86_400 || (seconds == 86_400 && micros > 0) {
        return Err(out_of_range(text));
    }
    let date = if seconds == 86_400 { date.succ_opt().ok_or_else(|| out_of_range(text))? } else { date };
    let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds % 86_400, micros * 1_000);
    Ok((date, time.ok_or_else(|| out_of_range(text))?, zone))
}

/// 22008
fn out_of_range(text: &str) -> Error {
    let shown: String = text.chars().take(100).collect();
    Error::new(Kind::Data, format!("date/time field value out of range: \"{shown}\"")).with_sqlstate("22008")
}

/// `2024-01-31`, `20240131`, `2024/01/31`, `01/31/2024`.
fn parse_day(date: &str, text: &str) -> Option<Result<NaiveDate>> {
    let numbers = |separator: char| -> Option<Vec<(usize, i32)>> {
        date.split(separator).map(|part| Some((part.len(), digits(part)? as i32))).collect()
    };
    let (year, month, day) = if date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit()) {
        (digits(&date[..4])? as i32, digits(&date[4..6])?, digits(&date[6..])?)
    } else if let Some([(width, year), (_, month), (_, day)]) = numbers('-').as_deref()
        && *width >= 3
    {
        (*year, *month as u32, *day as u32)
    } else if let Some([(width, first), (_, second), (last, third)]) = numbers('/').as_deref() {
        match (*width >= 3, *last >= 3) {
            (true, _) => (*first, *second as u32, *third as u32),
            (_, true) => (*third, *first as u32, *second as u32),
            _ => return None,
        }
    } else {
        return None;
    };
    Some(NaiveDate::from_ymd_opt(year, month, day).ok_or_else(|| out_of_range(text)))
}

fn digits(text: &str) -> Option<u32> {
    (!text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

/// Seconds of the day and microseconds of `12:34`, `12:34:56`, `12:34:56.789`.
fn parse_clock(clock: &str) -> Option<(u32, u32)> {
    let mut parts = clock.split(':');
    let hours = digits(parts.next()?)?;
    let minutes = digits(parts.next()?)?;
    let (seconds, fraction) = match parts.next() {
        Some(part) => part.split_once('.').unwrap_or((part, "")),
        None => ("0", ""),
    };
    let seconds = digits(seconds)?;
    if parts.next().is_some() || hours > 24 || minutes > 59 || seconds > 60 {
        return None;
    }
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros = match fraction.is_empty() {
        true => 0,
        false => (format!("0.{fraction}").parse::<f64>().ok()? * 1e6).round_ties_even() as u32,
    };
    Some((hours * 3_600 + minutes * 60 + seconds + micros / 1_000_000, micros % 1_000_000))
}

/// `Z`, `CET`, `Europe/Berlin`, `+02`, `+0230`, `-02:30`.
fn parse_zone(zone: &str) -> Option<Zone> {
    let zone = zone.trim_matches(blank);
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return Zone::of_name(zone),
    };
    let rest = &zone[1..];
    let (hours, minutes) = match rest.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if rest.len() == 4 => rest.split_at(2),
        None => (rest, "0"),
    };
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours <= 15 && minutes <= 59).then_some(Zone::Fixed(sign * (hours as i32 * 3_600 + minutes as i32 * 60)))
}

/// The elements of `{a,"b c",NULL}`.
pub(in crate::query) fn parse_array(text: &str) -> Result<Vec<Option<String>>> {
    let malformed = || {
        let shown: String = text.chars().take(100).collect();
        Error::new(Kind::Data, format!("malformed array literal: \"{shown}\"")).with_sqlstate("22P02")
    };
    let inner = text.trim_matches(blank).strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let inner = inner.ok_or_else(malformed)?;
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
        None => "infinity".into(),
    }
}

/// `timestamp`, with as many digits of the second as needed.
pub(in crate::query) fn format_timestamp(micros: i64) -> String {
    let Some(time) = DateTime::from_timestamp_micros(micros).map(|time| time.naive_utc()) else {
        return "infinity".into();
    };
    format!("{}{}", time.format("%Y-%m-%d %H:%M:%S"), fraction(&time))
}

/// `timestamp with time zone` as clocks of a zone show it, followed by the offset.
pub(in crate::query) fn format_timestamptz(micros: i64, zone: Zone) -> String {
    let (offset, shown) = (zone.offset_at(micros), format_timestamp(zone.to_local(micros)));
    if shown == "infinity" {
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
    fn times_are_read_and_printed() {
        assert_eq!(format_timestamp(parse_timestamp("2024-02-29 12:34").unwrap()), "2024-02-29 12:34:00");
        assert_eq!(
            format_timestamp(parse_timestamptz("2024-02-29T12:34:56.5+02:00", Zone::UTC).unwrap()),
            "2024-02-29 10:34:56.5"
        );
        assert_eq!(format_date(parse_date("20240131").unwrap()), "2024-01-31");
        assert_eq!(parse_date("2024-13-01").unwrap_err().sqlstate(), "22008");
        assert_eq!(parse_date("soon").unwrap_err().sqlstate(), "22007");
        assert_eq!(parse_bool(" Yes ").unwrap(), true);
        assert!(parse_bool("o").is_err());
    }
}
