//! Spans of time as PostgreSQL keeps, reads and prints them.

use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit};

use super::text::{invalid_syntax, quoted_value};
use crate::error::{Error, Kind, Result};

/// The Arrow type of `interval`.
pub(in crate::query) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// A span of time: three numbers that do not convert into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Months, years included.
    pub months: i32,
    /// Days, weeks included.
    pub days: i32,
    /// Microseconds; they may be more than a day.
    pub micros: i64,
}

/// 22008
pub(in crate::query) fn out_of_range() -> Error {
    Error::new(Kind::Data, "interval out of range").with_sqlstate("22008")
}

impl Span {
    /// A span of time alone, with whole days set apart, as subtracting two timestamps gives it.
    pub fn of_micros(micros: i64) -> Self {
        Span { months: 0, days: (micros / MICROS_PER_DAY) as i32, micros: micros % MICROS_PER_DAY }
    }

    /// Reads `1 year 2 mons 3 days 04:05:06`, `1-2`, `90 minutes ago`, `P1Y2M3DT4H5M6S`.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_as(text, &[])
    }

    /// Reads an interval whose type names fields, largest first: a number without a unit counts the last of them,
    /// and what is smaller than that is dropped.
    pub(in crate::query) fn parse_as(text: &str, fields: &[&str]) -> Result<Self> {
        let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let span = match trimmed.strip_prefix(['P', 'p']) {
            Some(rest) => iso(rest),
            None => words(trimmed, fields),
        };
        match span {
            Ok(span) => Ok(span.only(fields)),
            Err(Fault::Syntax) => Err(invalid_syntax("interval", text).with_sqlstate("22007")),
            Err(Fault::Range) => {
                let what = format!("interval field value out of range: \"{}\"", quoted_value(text));
                Err(Error::new(Kind::Data, what).with_sqlstate("22015"))
            }
        }
    }

    fn only(mut self, fields: &[&str]) -> Self {
        let Some(last) = fields.last() else { return self };
        let cut = |micros: i64, unit: i64| micros / unit * unit;
        match *last {
            "year" => self = Span { months: self.months / 12 * 12, ..Span::default() },
            "month" => self = Span { months: self.months, ..Span::default() },
            "day" => self.micros = 0,
            "hour" => self.micros = cut(self.micros, 3_600 * MICROS_PER_SECOND),
            "minute" => self.micros = cut(self.micros, 60 * MICROS_PER_SECOND),
            _ => {}
        }
        self
    }

    /// The value that Arrow keeps, whose time part reaches 292 years.
    pub fn arrow(self) -> Result<IntervalMonthDayNano> {
        let nanoseconds = self
            .micros
            .checked_mul(1_000)
            .ok_or_else(|| out_of_range().with_hint("the time part of an interval may be up to 292 years"))?;
        Ok(IntervalMonthDayNano { months: self.months, days: self.days, nanoseconds })
    }

    pub(in crate::query) fn of_arrow(span: IntervalMonthDayNano) -> Self {
        Span { months: span.months, days: span.days, micros: span.nanoseconds / 1_000 }
    }

    /// The length by which spans are compared: a month counts 30 days.
    pub(in crate::query) fn length(self) -> i128 {
        let days = i128::from(self.months) * 30 + i128::from(self.days);
        days * i128::from(MICROS_PER_DAY) + i128::from(self.micros)
    }

    pub(in crate::query) fn negated(self) -> Result<Self> {
        let parts = (self.months.checked_neg(), self.days.checked_neg(), self.micros.checked_neg());
        match parts {
            (Some(months), Some(days), Some(micros)) => Ok(Span { months, days, micros }),
            _ => Err(out_of_range()),
        }
    }

    pub(in crate::query) fn plus(self, other: Self) -> Result<Self> {
        let parts = (
            self.months.checked_add(other.months),
            self.days.checked_add(other.days),
            self.micros.checked_add(other.micros),
        );
        match parts {
            (Some(months), Some(days), Some(micros)) => Ok(Span { months, days, micros }),
            _ => Err(out_of_range()),
        }
    }

    /// Multiplied: fractions of months become days of which a month has 30, fractions of days time.
    pub(in crate::query) fn times(self, factor: f64) -> Result<Self> {
        let limit = |value: f64| {
            let fits = value >= f64::from(i32::MIN) && value <= f64::from(i32::MAX);
            if fits { Ok(value) } else { Err(out_of_range()) }
        };
        let months = limit(f64::from(self.months) * factor)?;
        let days = limit(f64::from(self.days) * factor)?;
        let microsecond = |value: f64| (value * 1e6).round_ties_even() / 1e6;
        let from_months = microsecond((months - months.trunc()) * 30.0);
        let mut seconds = microsecond((days - days.trunc() + from_months - from_months.trunc()) * 86_400.0);
        let mut whole_days = days.trunc() as i32 + from_months.trunc() as i32;
        if seconds.abs() >= 86_400.0 {
            whole_days += (seconds / 86_400.0) as i32;
            seconds -= (seconds / 86_400.0).trunc() * 86_400.0;
        }
        let micros = (self.micros as f64 * factor + seconds * 1e6).round_ties_even();
        if !(micros >= i64::MIN as f64 && micros < i64::MAX as f64) {
            return Err(out_of_range());
        }
        Ok(Span { months: months.trunc() as i32, days: whole_days, micros: micros as i64 })
    }

    pub(in crate::query) fn justified_hours(self) -> Self {
        let (mut days, mut micros) =
            (self.days + (self.micros / MICROS_PER_DAY) as i32, self.micros % MICROS_PER_DAY);
        if days > 0 && micros < 0 {
            (days, micros) = (days - 1, micros + MICROS_PER_DAY);
        } else if days < 0 && micros > 0 {
            (days, micros) = (days + 1, micros - MICROS_PER_DAY);
        }
        Span { months: self.months, days, micros }
    }

    pub(in crate::query) fn justified_days(self) -> Self {
        let (mut months, mut days) = (self.months + self.days / 30, self.days % 30);
        if months > 0 && days < 0 {
            (months, days) = (months - 1, days + 30);
        } else if months < 0 && days > 0 {
            (months, days) = (months + 1, days - 30);
        }
        Span { months, days, micros: self.micros }
    }

    pub(in crate::query) fn justified(self) -> Self {
        let mut span = Span {
            months: self.months,
            days: self.days + (self.micros / MICROS_PER_DAY) as i32,
            micros: self.micros % MICROS_PER_DAY,
        };
        span = Span { months: span.months + span.days / 30, days: span.days % 30, micros: span.micros };
        if span.months > 0 && (span.days < 0 || (span.days == 0 && span.micros < 0)) {
            (span.months, span.days) = (span.months - 1, span.days + 30);
        } else if span.months < 0 && (span.days > 0 || (span.days == 0 && span.micros > 0)) {
            (span.months, span.days) = (span.months + 1, span.days - 30);
        }
        if span.days > 0 && span.micros < 0 {
            (span.days, span.micros) = (span.days - 1, span.micros + MICROS_PER_DAY);
        } else if span.days < 0 && span.micros > 0 {
            (span.days, span.micros) = (span.days + 1, span.micros - MICROS_PER_DAY);
        }
        span
    }

    /// Writes it as `IntervalStyle` postgres does: `1 year 2 mons -3 days +04:05:06.5`.
    pub fn write(self, out: &mut Vec<u8>) {
        let mut number = itoa::Buffer::new();
        let (mut empty, mut before) = (true, false);
        let parts = [(self.months / 12, "year"), (self.months % 12, "mon"), (self.days, "day")];
        for (value, unit) in parts.into_iter().filter(|(value, _)| *value != 0) {
            if !empty {
                out.push(b' ');
            }
            if before && value > 0 {
                out.push(b'+');
            }
            out.extend_from_slice(number.format(value).as_bytes());
            out.push(b' ');
            out.extend_from_slice(unit.as_bytes());
            if value != 1 {
                out.push(b's');
            }
            (empty, before) = (false, value < 0);
        }
        if self.micros == 0 && !empty {
            return;
        }
        if !empty {
            out.push(b' ');
        }
        if self.micros < 0 {
            out.push(b'-');
        } else if before {
            out.push(b'+');
        }
        let micros = self.micros.unsigned_abs();
        let seconds = micros / MICROS_PER_SECOND as u64;
        let fraction = micros % MICROS_PER_SECOND as u64;
        for (at, part) in [seconds / 3_600, seconds / 60 % 60, seconds % 60].into_iter().enumerate() {
            if at > 0 {
                out.push(b':');
            }
            if part < 10 {
                out.push(b'0');
            }
            out.extend_from_slice(number.format(part).as_bytes());
        }
        if fraction != 0 {
            out.extend_from_slice(format!(".{fraction:06}").trim_end_matches('0').as_bytes());
        }
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = Vec::new();
        self.write(&mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Syntax,
    Range,
}

/// A number with its fraction in millionths of millionths.
#[derive(Clone, Copy)]
struct Amount {
    whole: i64,
    fraction: f64,
}

impl Amount {
    fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
            return None;
        }
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let fraction: f64 = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().ok()? };
        Some(match negative {
            true => Amount { whole: -whole, fraction: -fraction },
            false => Amount { whole, fraction },
        })
    }
}

impl Span {
    /// Adds a number of a unit. A fraction goes to the next smaller unit.
    fn add(&mut self, amount: Amount, unit: &str) -> Result<(), Fault> {
        let months = match unit {
            "mon" | "mons" | "month" | "months" => 1,
            "y" | "yr" | "yrs" | "year" | "years" => 12,
            "dec" | "decs" | "decade" | "decades" => 120,
            "c" | "cent" | "century" | "centuries" => 1_200,
            "mil" | "mils" | "millennium" | "millennia" => 12_000,
            _ => 0,
        };
        if months > 0 {
            self.add_months(amount.whole.checked_mul(months).ok_or(Fault::Range)?)?;
            return match months {
                1 => self.add_days_fraction(amount.fraction * 30.0),
                // Years and more: to the nearest month.
                _ => self.add_months((amount.fraction * months as f64).round_ties_even() as i64),
            };
        }
        let days = match unit {
            "d" | "day" | "days" => 1,
            "w" | "week" | "weeks" => 7,
            _ => 0,
        };
        if days > 0 {
            self.add_days(amount.whole.checked_mul(days).ok_or(Fault::Range)?)?;
            return self.add_days_fraction(amount.fraction * days as f64);
        }
        let micros = match unit {
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecond" | "microseconds" => 1,
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecond" | "milliseconds" => 1_000,
            "s" | "sec" | "secs" | "second" | "seconds" => MICROS_PER_SECOND,
            "m" | "min" | "mins" | "minute" | "minutes" => 60 * MICROS_PER_SECOND,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3_600 * MICROS_PER_SECOND,
            _ => return Err(Fault::Syntax),
        };
        self.add_micros(amount.whole.checked_mul(micros).ok_or(Fault::Range)?)?;
        self.add_micros((amount.fraction * micros as f64).round_ties_even() as i64)
    }

    fn add_months(&mut self, months: i64) -> Result<(), Fault> {
        let sum = i64::from(self.months).checked_add(months).ok_or(Fault::Range)?;
        self.months = i32::try_from(sum).map_err(|_| Fault::Range)?;
        Ok(())
    }

    fn add_days(&mut self, days: i64) -> Result<(), Fault> {
        let sum = i64::from(self.days).checked_add(days).ok_or(Fault::Range)?;
        self.days = i32::try_from(sum).map_err(|_| Fault::Range)?;
        Ok(())
    }

    fn add_micros(&mut self, micros: i64) -> Result<(), Fault> {
        self.micros = self.micros.checked_add(micros).ok_or(Fault::Range)?;
        Ok(())
    }

    fn add_days_fraction(&mut self, days: f64) -> Result<(), Fault> {
        self.add_days(days.trunc() as i64)?;
        self.add_micros(((days - days.trunc()) * MICROS_PER_DAY as f64).round_ties_even() as i64)
    }

    /// `[-]hh:mm[:ss[.ffffff]]`, or `mm:ss` where the type is one of minutes and seconds.
    fn add_clock(&mut self, text: &str, fields: &[&str]) -> Result<(), Fault> {
        let (negative, unsigned) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        let parts: Vec<_> = unsigned.split(':').collect();
        let units: &[&str] = match (parts.len(), fields) {
            (2, ["minute", "second"]) => &["m", "s"],
            (2, _) if parts[1].contains('.') => &["m", "s"],
            (2, _) => &["h", "m"],
            (3, _) => &["h", "m", "s"],
            _ => return Err(Fault::Syntax),
        };
        let mut time = Span::default();
        for (at, (part, unit)) in parts.iter().zip(units).enumerate() {
            let is_plain = part.starts_with(|c: char| c.is_ascii_digit());
            let amount = Amount::parse(part).filter(|_| is_plain).ok_or(Fault::Syntax)?;
            if at > 0 && amount.whole >= 60 + i64::from(*unit == "s") {
                return Err(Fault::Range);
            }
            time.add(amount, unit)?;
        }
        self.add_micros(if negative { -time.micros } else { time.micros })
    }
}

/// Read from the end, because a number without a unit takes it from what follows.
fn words(text: &str, fields: &[&str]) -> Result<Span, Fault> {
    let mut span = Span::default();
    let mut unit: Option<String> = None;
    let mut implied = fields.last().copied().unwrap_or("second");
    let (mut any, mut ago) = (false, false);
    let tokens = tokens(text);
    for (at, token) in tokens.iter().enumerate().rev() {
        if token == "@" {
            continue;
        }
        if token == "ago" && at + 1 == tokens.len() {
            ago = true;
        } else if token.contains(':') {
            span.add_clock(token, fields)?;
            (any, implied) = (true, "day");
        } else if token.starts_with(|c: char| c.is_ascii_alphabetic()) {
            if unit.is_some() {
                return Err(Fault::Syntax);
            }
            unit = Some(token.clone());
        } else if let Some((years, months)) =
            token.get(1..).and_then(|rest| rest.find('-')).map(|dash| token.split_at(dash + 1))
        {
            let (years, months) = (Amount::parse(years), Amount::parse(&months[1..]));
            let (Some(years), Some(mut months)) = (years, months) else { return Err(Fault::Syntax) };
            if months.whole > 11 || unit.is_some() {
                return Err(Fault::Range);
            }
            if token.starts_with('-') {
                months.whole = -months.whole;
            }
            span.add(years, "year")?;
            span.add(months, "month")?;
            any = true;
        } else {
            let amount = Amount::parse(token).ok_or(Fault::Syntax)?;
            let name = unit.take().unwrap_or_else(|| implied.to_string());
            span.add(amount, &name)?;
            any = true;
            implied = match name.as_str() {
                "second" => "minute",
                "minute" => "hour",
                "hour" => "day",
                "month" => "year",
                _ => "day",
            };
        }
    }
    if unit.is_some() || !any {
        return Err(Fault::Syntax);
    }
    if ago { span.negated().map_err(|_| Fault::Range) } else { Ok(span) }
}

/// Lower-case words; `3days` are two.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for word in text.split_ascii_whitespace() {
        let mut rest = word.to_ascii_lowercase();
        while !rest.is_empty() {
            let is_letter = rest.starts_with(|c: char| c.is_ascii_alphabetic());
            let end = rest.find(|c: char| c.is_ascii_alphabetic() != is_letter).unwrap_or(rest.len());
            let tail = rest.split_off(end);
            tokens.push(std::mem::replace(&mut rest, tail));
        }
    }
    tokens
}

fn iso(text: &str) -> Result<Span, Fault> {
    let mut span = Span::default();
    let (date, time) = match text.find(['T', 't']) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    };
    if date.is_empty() && time.is_empty() {
        return Err(Fault::Syntax);
    }
    for (mut part, is_time) in [(date, false), (time, true)] {
        while !part.is_empty() {
            let end = part.find(|c: char| c.is_ascii_alphabetic()).ok_or(Fault::Syntax)?;
            let amount = Amount::parse(&part[..end]).ok_or(Fault::Syntax)?;
            let unit = match (part.as_bytes()[end].to_ascii_uppercase(), is_time) {
                (b'Y', false) => "year",
                (b'M', false) => "month",
                (b'W', false) => "week",
                (b'D', false) => "day",
                (b'H', true) => "hour",
                (b'M', true) => "minute",
                (b'S', true) => "second",
                _ => return Err(Fault::Syntax),
            };
            span.add(amount, unit)?;
            part = &part[end + 1..];
        }
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_those_of_postgresql() {
        for (text, shown) in [
            ("1 year 2 months 3 days 04:05:06.5", "1 year 2 mons 3 days 04:05:06.5"),
            ("-1 year -2 mons +3 days -04:05:06", "-1 years -2 mons +3 days -04:05:06"),
            ("1-2", "1 year 2 mons"),
            ("-1-2", "-1 years -2 mons"),
            ("3 4:05:06", "3 days 04:05:06"),
            ("3days ago", "-3 days"),
            ("1.5 months", "1 mon 15 days"),
            ("90", "00:01:30"),
            ("P1Y2M3DT4H5M6S", "1 year 2 mons 3 days 04:05:06"),
            ("100 hours", "100:00:00"),
        ] {
            assert_eq!(Span::parse(text).unwrap().to_string(), shown, "{text}");
        }
        assert_eq!(Span::parse_as("1 2", &["day", "hour"]).unwrap().to_string(), "1 day 02:00:00");
        for bad in ["", "day", "1 fortnight", "1 day 2 nothing", "P", "1:2:3:4"] {
            assert_eq!(Span::parse(bad).unwrap_err().sqlstate(), "22007", "{bad}");
        }
    }
}
