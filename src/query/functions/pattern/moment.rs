//! Times and spans shown by a pattern.

use chrono::{Datelike, NaiveDate, Timelike};

use super::template::{Case, Field, Node, Template};
use crate::error::{Error, Kind, Result};
use crate::query::Zone;
use crate::query::functions::interval::Span;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
pub(super) const ROMAN: [&str; 12] =
    ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// The day of the Julian calendar on which Arrow's days begin.
pub(super) const JULIAN_1970: i64 = 2_440_588;

/// What a pattern asks about.
pub(super) struct Moment {
    /// Astronomical: the year before 1 is 0.
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    /// `None` for spans, which are not tied to a calendar.
    date: Option<NaiveDate>,
    day_of_year: i64,
    /// Seconds east of UTC, and the name of the zone.
    zone: Option<(i32, String)>,
}

impl Moment {
    /// A time as clocks show it, in `zone` when it is a point in time. `None` for infinity.
    pub(super) fn of_timestamp(micros: i64, zone: Option<Zone>) -> Option<Self> {
        if matches!(micros, i64::MAX | i64::MIN) {
            return None;
        }
        let local = zone.map_or(micros, |zone| zone.to_local(micros));
        let time = chrono::DateTime::from_timestamp_micros(local)?.naive_utc();
        Some(Moment {
            year: time.year().into(),
            month: time.month().into(),
            day: time.day().into(),
            hour: time.hour().into(),
            minute: time.minute().into(),
            second: time.second().into(),
            micros: i64::from(time.nanosecond() / 1_000),
            date: Some(time.date()),
            day_of_year: time.ordinal().into(),
            zone: zone.map(|zone| (zone.offset_at(micros), zone.abbreviation_at(micros))),
        })
    }

    pub(super) fn of_span(span: Span) -> Self {
        let seconds = span.micros / 1_000_000;
        let (year, month, day) = (span.months / 12, span.months % 12, span.days);
        Moment {
            year: year.into(),
            month: month.into(),
            day: day.into(),
            hour: seconds / 3_600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            micros: span.micros % 1_000_000,
            date: None,
            day_of_year: i64::from(span.months) * 30 + i64::from(day),
            zone: None,
        }
    }

    pub(super) fn show(&self, template: &Template) -> Result<String> {
        let mut out = String::new();
        for node in &template.nodes {
            match node {
                Node::Field { field, fill, ordinal, .. } => self.field(*field, *fill, *ordinal, &mut out)?,
                Node::Space(c) | Node::Separator(c) | Node::Text(c) => out.push(*c),
            }
        }
        Ok(out)
    }

    fn dated(&self) -> Result<NaiveDate> {
        self.date.ok_or_else(|| {
            Error::new(Kind::Invalid, "invalid format specification for an interval value")
                .with_sqlstate("22007")
                .with_hint("Intervals are not tied to specific calendar dates.")
        })
    }

    /// The year as people count it: there is none before 1.
    fn counted_year(&self, year: i64) -> i64 {
        if self.date.is_some() && year <= 0 { 1 - year } else { year }
    }

    fn field(&self, field: Field, fill: bool, ordinal: Option<bool>, out: &mut String) -> Result<()> {
        let number = |value: i64, width: usize| {
            let width = if fill { 0 } else { width + usize::from(value < 0) };
            let mut text = format!("{value:0width$}");
            if let Some(upper) = ordinal {
                let suffix = ordinal_suffix(&text);
                text += &if upper { suffix.to_uppercase() } else { suffix.to_string() };
            }
            text
        };
        let padded = |name: String, width: usize| if fill { name } else { format!("{name:width$}") };
        let two_cases = |dots: bool, lower: bool, first: &str| {
            let text: String =
                if dots { first.chars().flat_map(|c| [c, '.']).collect() } else { first.to_string() };
            if lower { text.to_lowercase() } else { text }
        };
        let twelve = if self.hour % 12 == 0 { 12 } else { self.hour % 12 };
        let last_digits = |year: i64, digits: u8| match digits {
            4 => number(self.counted_year(year), 4),
            digits => number(self.counted_year(year) % 10_i64.pow(digits.into()), digits.into()),
        };
        let text = match field {
            Field::Meridiem { dots, lower } => {
                two_cases(dots, lower, if self.hour.rem_euclid(24) >= 12 { "PM" } else { "AM" })
            }
            Field::Era { dots, lower } => {
                self.dated()?;
                two_cases(dots, lower, if self.year <= 0 { "BC" } else { "AD" })
            }
            Field::Century => number(
                match (self.date, self.year) {
                    (None, year) => year / 100,
                    (_, year) if year > 0 => (year - 1) / 100 + 1,
                    (_, year) => year / 100 - 1,
                },
                2,
            ),
            Field::Day(case) => padded(case.apply(self.day_name()?), 9),
            Field::Dy(case) => case.apply(&self.day_name()?[..3]),
            // A sign counts as a digit here.
            Field::DayOfYear => number(self.day_of_year, 3 - usize::from(self.day_of_year < 0)),
            Field::DayOfMonth => number(self.day, 2 - usize::from(self.day < 0)),
            Field::DayOfWeek => number(i64::from(self.dated()?.weekday().num_days_from_sunday()) + 1, 1),
            Field::Fraction(digits) => number(self.micros / 10_i64.pow(6 - u32::from(digits)), digits.into()),
            Field::Hour24 => number(self.hour, 2),
            Field::Hour12 => number(twelve, 2),
            Field::IsoDayOfYear => {
                let week = self.dated()?.iso_week();
                let day = i64::from(self.dated()?.weekday().number_from_monday());
                number(i64::from(week.week() - 1) * 7 + day, 3)
            }
            Field::IsoDayOfWeek => number(self.dated()?.weekday().number_from_monday().into(), 1),
            Field::IsoWeek => number(self.dated()?.iso_week().week().into(), 2),
            Field::IsoYear(digits) => {
                let year = self.date.map_or(self.year, |date| date.iso_week().year().into());
                last_digits(year, digits)
            }
            Field::Julian => {
                let days = (self.dated()? - NaiveDate::default()).num_days();
                number(days + JULIAN_1970, 1)
            }
            Field::Minute => number(self.minute, 2),
            Field::Month => number(self.month, 2 - usize::from(self.month < 0)),
            Field::MonthName(case) => padded(case.apply(self.month_name()?), 9),
            Field::Mon(case) => case.apply(&self.month_name()?[..3]),
            Field::Millisecond => number(self.micros / 1_000, 3),
            Field::Microsecond => number(self.micros, 6),
            Field::Quarter if self.month == 0 => String::new(),
            Field::Quarter => number((self.month - 1) / 3 + 1, 1),
            Field::Roman { .. } if self.month == 0 => String::new(),
            Field::Roman { lower } => {
                let index = (self.month - 1).rem_euclid(12) as usize;
                padded(if lower { Case::Lower } else { Case::Upper }.apply(ROMAN[index]), 4)
            }
            Field::SecondOfDay => number(self.hour * 3_600 + self.minute * 60 + self.second, 1),
            Field::Second => number(self.second, 2),
            Field::Offset | Field::ZoneHour | Field::ZoneMinute | Field::Zone { .. } => {
                self.dated()?;
                self.zone_field(field, fill)
            }
            Field::WeekOfYear => number((self.day_of_year - 1) / 7 + 1, 2),
            Field::WeekOfMonth => number((self.day - 1) / 7 + 1, 1),
            Field::YearComma => {
                let year = self.counted_year(self.year);
                let text = format!("{},{:03}", year / 1_000, (year % 1_000).abs());
                match ordinal {
                    Some(upper) => {
                        let suffix = ordinal_suffix(&text);
                        text + &if upper { suffix.to_uppercase() } else { suffix.to_string() }
                    }
                    None => text,
                }
            }
            Field::Year(digits) => last_digits(self.year, digits),
            Field::Exact => String::new(),
        };
        out.push_str(&text);
        Ok(())
    }

    fn zone_field(&self, field: Field, fill: bool) -> String {
        let (offset, name) = self.zone.as_ref().map_or((0, ""), |(offset, name)| (*offset, name.as_str()));
        let sign = if offset < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset.abs() / 3_600, offset.abs() / 60 % 60);
        match field {
            Field::ZoneHour => format!("{sign}{hours:02}"),
            Field::ZoneMinute => format!("{minutes:02}"),
            Field::Zone { lower: true } => name.to_lowercase(),
            Field::Zone { .. } => name.to_string(),
            _ => {
                let hours = if fill { hours.to_string() } else { format!("{hours:02}") };
                let minutes = if minutes == 0 { String::new() } else { format!(":{minutes:02}") };
                format!("{sign}{hours}{minutes}")
            }
        }
    }

    fn day_name(&self) -> Result<&'static str> {
        Ok(DAYS[self.dated()?.weekday().num_days_from_sunday() as usize])
    }

    fn month_name(&self) -> Result<&'static str> {
        Ok(MONTHS[self.dated()?.month0() as usize])
    }
}

/// `st`, `nd`, `rd` or `th`, by the last digits.
pub(super) fn ordinal_suffix(number: &str) -> &'static str {
    let digits: Vec<u8> = number.bytes().filter(u8::is_ascii_digit).collect();
    let last = digits.last().copied().unwrap_or(b'0');
    let is_teen = digits.len() > 1 && digits[digits.len() - 2] == b'1';
    match last {
        _ if is_teen => "th",
        b'1' => "st",
        b'2' => "nd",
        b'3' => "rd",
        _ => "th",
    }
}
