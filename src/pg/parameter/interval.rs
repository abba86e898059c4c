//! Intervals: `1 year 2 mons 3 days 04:05:06`, `-1 day`, `90 minutes ago`, `P1Y2M3DT4H5M6S`.

use datafusion::common::ScalarValue;

use super::datetime::micros_of_fraction;
use super::{bad_syntax, interval_scalar};
use crate::error::Result;

const MICROS_PER_SECOND: i64 = 1_000_000;

pub(super) fn parse(text: &str) -> Result<ScalarValue> {
    let span = match text.strip_prefix(['P', 'p']) {
        Some(rest) => iso(rest),
        None => words(text),
    };
    let span = span.ok_or_else(|| bad_syntax("interval", text).with_sqlstate("22007"))?;
    interval_scalar(span.months, span.days, span.micros)
}

#[derive(Default)]
struct Span {
    months: i32,
    days: i32,
    micros: i64,
}

/// A number with its fraction in millionths.
#[derive(Clone, Copy)]
struct Number {
    whole: i64,
    micros: i64,
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        if !whole.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let micros = micros_of_fraction(fraction)?;
        Some(if negative { Number { whole: -whole, micros: -micros } } else { Number { whole, micros } })
    }
}

impl Span {
    /// Adds a number of a unit. A fraction goes to the next smaller unit, as in PostgreSQL.
    fn add(&mut self, number: Number, unit: &str) -> Option<()> {
        let Number { whole, micros } = number;
        let unit = unit.to_ascii_lowercase();
        let seconds = |span: &mut Self, factor: i64| {
            let more =
                whole.checked_mul(factor * MICROS_PER_SECOND)?.checked_add(micros.checked_mul(factor)?)?;
            span.micros = span.micros.checked_add(more)?;
            Some(())
        };
        let months = |span: &mut Self, factor: i64| {
            let more = whole.checked_mul(factor)?.checked_add(micros * factor / MICROS_PER_SECOND)?;
            span.months = span.months.checked_add(i32::try_from(more).ok()?)?;
            Some(())
        };
        let days = |span: &mut Self, factor: i64| {
            span.days = span.days.checked_add(i32::try_from(whole.checked_mul(factor)?).ok()?)?;
            span.micros = span.micros.checked_add(micros * factor * 86_400)?;
            Some(())
        };
        match unit.as_str() {
            "microsecond" | "microseconds" | "us" | "usec" | "usecs" => {
                self.micros = self.micros.checked_add(whole)?;
                Some(())
            }
            "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" => {
                self.micros =
                    self.micros.checked_add(whole.checked_mul(1000)?)?.checked_add(micros / 1000)?;
                Some(())
            }
            "s" | "sec" | "secs" | "second" | "seconds" => seconds(self, 1),
            "m" | "min" | "mins" | "minute" | "minutes" => seconds(self, 60),
            "h" | "hr" | "hrs" | "hour" | "hours" => seconds(self, 3600),
            "d" | "day" | "days" => days(self, 1),
            "w" | "week" | "weeks" => days(self, 7),
            "mon" | "mons" | "month" | "months" => months(self, 1),
            "y" | "yr" | "yrs" | "year" | "years" => months(self, 12),
            "decade" | "decades" => months(self, 120),
            "c" | "century" | "centuries" => months(self, 1200),
            "millennium" | "millennia" => months(self, 12_000),
            _ => None,
        }
    }

    /// `[-]hh:mm[:ss[.ffffff]]`
    fn add_clock(&mut self, text: &str) -> Option<()> {
        let (negative, unsigned) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        let mut fields = unsigned.split(':');
        let (hours, minutes) = (fields.next()?, fields.next()?);
        let seconds = fields.next().unwrap_or("0");
        if fields.next().is_some() {
            return None;
        }
        let mut time = Span::default();
        for (text, unit) in [(hours, "h"), (minutes, "m"), (seconds, "s")] {
            let number = Number::parse(text).filter(|_| text.starts_with(|c: char| c.is_ascii_digit()))?;
            time.add(number, unit)?;
        }
        self.micros = self.micros.checked_add(if negative { -time.micros } else { time.micros })?;
        Some(())
    }
}

fn words(text: &str) -> Option<Span> {
    let mut span = Span::default();
    let (mut number, mut any, mut ago) = (None, false, false);
    for token in text.split_ascii_whitespace().filter(|token| *token != "@") {
        if token.eq_ignore_ascii_case("ago") {
            ago = true;
        } else if token.contains(':') {
            span.add_clock(token)?;
            any = true;
        } else if let Some(found) = number.take() {
            span.add(found, token)?;
        } else {
            // `3days` is a number and its unit.
            let end = token.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(token.len());
            let (digits, unit) = token.split_at(end);
            let found = Number::parse(digits)?;
            any = true;
            if unit.is_empty() { number = Some(found) } else { span.add(found, unit)? }
        }
    }
    if let Some(found) = number {
        // A bare number counts seconds.
        span.add(found, "s")?;
    }
    if ago {
        span = Span { months: -span.months, days: -span.days, micros: -span.micros };
    }
    any.then_some(span)
}

fn iso(text: &str) -> Option<Span> {
    let mut span = Span::default();
    let (date, time) = match text.find(['T', 't']) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    for (mut part, units) in [(date, "YMWD"), (time, "HMS")] {
        while !part.is_empty() {
            let end = part.find(|c: char| c.is_ascii_alphabetic())?;
            let number = Number::parse(&part[..end])?;
            let letter = part[end..].chars().next()?.to_ascii_uppercase();
            if !units.contains(letter) {
                return None;
            }
            let unit = match (letter, units) {
                ('M', "YMWD") => "month",
                ('M', _) => "minute",
                ('Y', _) => "year",
                ('W', _) => "week",
                ('D', _) => "day",
                ('H', _) => "hour",
                _ => "second",
            };
            span.add(number, unit)?;
            part = &part[end + 1..];
        }
    }
    Some(span)
}
