//! Texts read by a pattern of times.

use chrono::{NaiveDate, Weekday};

use super::moment::{DAYS, JULIAN_1970, MONTHS, ROMAN};
use super::template::{Field, Node, Template};
use crate::error::{Error, Kind, Result};
use crate::query::Zone;
use crate::query::functions::text::quoted_value;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    text: String,
    hour: i64,
    minute: i64,
    second: i64,
    second_of_day: Option<i64>,
    micros: i64,
    is_twelve: bool,
    is_pm: bool,
    year: i64,
    year_digits: u8,
    is_bc: bool,
    century: i64,
    month: i64,
    day: i64,
    day_of_year: i64,
    day_of_week: i64,
    week: i64,
    week_of_month: i64,
    julian: i64,
    is_iso: bool,
    offset: Option<(i64, i64, i64)>,
}

fn invalid(what: String) -> Error {
    Error::new(Kind::Data, what).with_sqlstate("22007")
}

struct Source<'a> {
    rest: &'a str,
}

impl<'a> Source<'a> {
    fn next(&mut self) {
        let mut chars = self.rest.chars();
        chars.next();
        self.rest = chars.as_str();
    }

    fn skip_space(&mut self) -> i64 {
        let trimmed = self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let skipped = self.rest.len() - trimmed.len();
        self.rest = trimmed;
        skipped as i64
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// An integer of up to `length` characters, or of as many as there are.
    fn integer(&mut self, name: &str, length: usize, is_open: bool) -> Result<(i64, usize)> {
        self.skip_space();
        let shown: String = self.rest.chars().take(length).collect();
        let bad =
            |detail: String| invalid(format!("invalid value \"{shown}\" for \"{name}\"")).with_detail(detail);
        let limit = if is_open { self.rest.len() } else { shown.len() };
        let hint = "If your source string is not fixed-width, try using the \"FM\" modifier.";
        if !is_open && shown.chars().count() < length {
            let what = format!("source string too short for \"{name}\" formatting field");
            let detail = format!("Field requires {length} characters, but only {} remain.", shown.len());
            return Err(invalid(what).with_detail(detail).with_hint(hint));
        }
        let source = &self.rest[..limit];
        let sign = usize::from(source.starts_with(['+', '-']));
        let digits = source[sign..].bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(bad("Value must be an integer.".into()));
        }
        let used = sign + digits;
        if !is_open && used < length {
            let detail = format!("Field requires {length} characters, but only {used} could be parsed.");
            return Err(bad(detail).with_hint(hint));
        }
        let value: i64 =
            source[..used].parse().ok().filter(|v: &i64| i32::try_from(*v).is_ok()).ok_or_else(|| {
                invalid(format!("value for \"{name}\" in source string is out of range"))
                    .with_sqlstate("22008")
                    .with_detail(format!("Value must be in the range {} to {}.", i32::MIN, i32::MAX))
            })?;
        self.rest = &self.rest[used..];
        Ok((value, used))
    }

    /// The place of one of the words, which may be followed by anything.
    fn word(&mut self, name: &str, words: &[String]) -> Result<i64> {
        let found = words.iter().position(|word| {
            self.rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
        });
        let Some(found) = found else {
            let shown: String = self.rest.chars().take_while(|c| !c.is_ascii_whitespace()).collect();
            let what = format!("invalid value \"{shown}\" for \"{name}\"");
            return Err(invalid(what)
                .with_detail("The given value did not match any of the allowed values for this field."));
        };
        self.rest = &self.rest[words[found].len()..];
        Ok(found as i64)
    }
}

/// Whether no digit can follow a field.
fn is_before_separator(nodes: &[Node], at: usize) -> bool {
    if matches!(nodes.get(at), Some(Node::Field { ordinal: Some(_), .. })) {
        return true;
    }
    match nodes.get(at + 1) {
        None => true,
        Some(Node::Field { field, .. }) => !is_of_digits(*field),
        Some(Node::Text(c) | Node::Separator(c) | Node::Space(c)) => !c.is_ascii_digit(),
    }
}

fn is_of_digits(field: Field) -> bool {
    !matches!(
        field,
        Field::Meridiem { .. }
            | Field::Era { .. }
            | Field::Day(_)
            | Field::Dy(_)
            | Field::MonthName(_)
            | Field::Mon(_)
            | Field::Roman { .. }
            | Field::Offset
            | Field::Zone { .. }
            | Field::ZoneHour
            | Field::Exact
    )
}

/// Reads a text.
pub(super) fn read(template: &Template, text: &str) -> Result<Read> {
    let mut read = Read { text: text.to_string(), ..Read::default() };
    let mut source = Source { rest: text };
    let nodes = &template.nodes;
    let mut is_exact = false;
    let mut extra = 0_i64;
    for (at, node) in nodes.iter().enumerate() {
        if source.rest.is_empty() {
            break;
        }
        let is_field = matches!(node, Node::Field { .. });
        if !is_exact && (is_field || at == 0) {
            extra += source.skip_space();
        }
        match node {
            Node::Space(_) | Node::Separator(_) if is_exact => source.next(),
            Node::Space(_) | Node::Separator(_) => {
                extra -= 1;
                if source.peek().is_some_and(|c| c.is_ascii_whitespace() || c.is_ascii_punctuation()) {
                    source.next();
                    extra += 1;
                }
            }
            Node::Text(_) if !is_exact && extra > 0 => extra -= 1,
            Node::Text(_) => source.next(),
            Node::Field { field: Field::Exact, .. } => is_exact = true,
            Node::Field { field, name, fill, ordinal } => {
                let is_open = *fill || is_before_separator(nodes, at);
                read.field(*field, name, is_open, &mut source)?;
                if ordinal.is_some() {
                    source.next();
                    source.next();
                }
                if !is_exact {
                    extra = source.skip_space();
                }
            }
        }
    }
    Ok(read)
}

impl Read {
    fn field(&mut self, field: Field, name: &str, is_open: bool, source: &mut Source<'_>) -> Result<()> {
        let full = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let short = |words: &[&str]| words.iter().map(|word| word[..3].to_string()).collect::<Vec<_>>();
        match field {
            Field::Meridiem { dots, .. } => {
                let words: &[&str] = if dots { &["a.m.", "p.m."] } else { &["am", "pm"] };
                self.is_pm = source.word(name, &full(words))? == 1;
                self.is_twelve = true;
            }
            Field::Era { dots, .. } => {
                let words: &[&str] = if dots { &["a.d.", "b.c."] } else { &["ad", "bc"] };
                self.is_bc = source.word(name, &full(words))? == 1;
            }
            Field::Hour12 => {
                self.hour = source.integer(name, 2, is_open)?.0;
                self.is_twelve = true;
            }
            Field::Hour24 => self.hour = source.integer(name, 2, is_open)?.0,
            Field::Minute => self.minute = source.integer(name, 2, is_open)?.0,
            Field::Second => self.second = source.integer(name, 2, is_open)?.0,
            Field::Millisecond => self.fraction(source.integer(name, 3, is_open)?),
            Field::Microsecond => self.fraction(source.integer(name, 6, is_open)?),
            Field::Fraction(digits) => self.fraction(source.integer(name, digits.into(), is_open)?),
            Field::SecondOfDay => self.second_of_day = Some(source.integer(name, name.len(), is_open)?.0),
            Field::Offset | Field::Zone { .. } => {
                let what = format!("formatting field \"{name}\" is only supported in to_char");
                return Err(Error::new(Kind::Unsupported, what));
            }
            Field::ZoneHour => {
                let sign = if source.peek() == Some('-') { -1 } else { 1 };
                if matches!(source.peek(), Some('+' | '-' | ' ')) {
                    source.next();
                }
                let minutes = self.offset.map_or(0, |(_, _, minutes)| minutes);
                self.offset = Some((sign, source.integer(name, 2, is_open)?.0, minutes));
            }
            Field::ZoneMinute => {
                let minutes = source.integer(name, 2, is_open)?.0;
                let (sign, hours, _) = self.offset.unwrap_or((1, 0, 0));
                self.offset = Some((sign, hours, minutes));
            }
            Field::MonthName(_) => self.month = source.word(name, &full(&MONTHS))? + 1,
            Field::Mon(_) => self.month = source.word(name, &short(&MONTHS))? + 1,
            Field::Month => self.month = source.integer(name, 2, is_open)?.0,
            Field::Day(_) => self.day_of_week = source.word(name, &full(&DAYS))? + 1,
            Field::Dy(_) => self.day_of_week = source.word(name, &short(&DAYS))? + 1,
            Field::DayOfYear => self.day_of_year = source.integer(name, 3, is_open)?.0,
            Field::IsoDayOfYear => {
                (self.day_of_year, self.is_iso) = (source.integer(name, 3, is_open)?.0, true);
            }
            Field::DayOfMonth => self.day = source.integer(name, 2, is_open)?.0,
            Field::DayOfWeek => self.day_of_week = source.integer(name, 1, is_open)?.0,
            Field::IsoDayOfWeek => {
                // Counted from Sunday, as `D` is.
                let day = source.integer(name, 1, is_open)?.0 + 1;
                (self.day_of_week, self.is_iso) = (if day > 7 { 1 } else { day }, true);
            }
            Field::WeekOfYear => self.week = source.integer(name, 2, is_open)?.0,
            Field::IsoWeek => (self.week, self.is_iso) = (source.integer(name, 2, is_open)?.0, true),
            Field::WeekOfMonth => self.week_of_month = source.integer(name, 1, is_open)?.0,
            Field::Quarter => {
                source.integer(name, 1, is_open)?;
            }
            Field::Century => self.century = source.integer(name, 2, is_open)?.0,
            Field::YearComma => {
                let (thousands, _) = source.integer(name, 9, true)?;
                if source.peek() == Some(',') {
                    source.next();
                    self.year = thousands * 1_000 + source.integer(name, 3, false)?.0;
                } else {
                    return Err(invalid(format!("invalid input string for \"{name}\"")));
                }
                self.year_digits = 4;
            }
            Field::Year(digits) | Field::IsoYear(digits) => {
                let (year, used) = source.integer(name, digits.into(), is_open)?;
                self.is_iso |= matches!(field, Field::IsoYear(_));
                self.year = match year {
                    year if digits == 4 || used >= 4 => year,
                    0..70 => year + 2_000,
                    70..100 => year + 1_900,
                    100..520 => year + 2_000,
                    520..1_000 => year + 1_000,
                    year => year,
                };
                self.year_digits = digits;
            }
            Field::Roman { .. } => {
                let mut words: Vec<_> = ROMAN.iter().map(ToString::to_string).collect();
                words.reverse();
                words.sort_by_key(|word| std::cmp::Reverse(word.len()));
                let found = source.word(name, &words)? as usize;
                let month = ROMAN.iter().position(|month| *month == words[found]).unwrap_or_default();
                self.month = month as i64 + 1;
            }
            Field::Julian => self.julian = source.integer(name, 9, true)?.0,
            Field::Exact => {}
        }
        Ok(())
    }

    fn fraction(&mut self, (value, used): (i64, usize)) {
        self.micros = value * 10_i64.pow(6_u32.saturating_sub(used as u32));
    }

    /// 22008
    fn out_of_range(&self) -> Error {
        let what = format!("date/time field value out of range: \"{}\"", quoted_value(&self.text));
        Error::new(Kind::Data, what).with_sqlstate("22008")
    }

    fn full_year(&self) -> i64 {
        let mut year = self.year;
        if self.century != 0 && self.year_digits > 0 && self.year_digits <= 2 {
            year = self.year % 100;
            if year == 0 {
                return self.century * 100;
            }
            return year + (self.century - 1) * 100;
        }
        if self.year_digits == 0 && self.century != 0 {
            year = if self.century > 0 { (self.century - 1) * 100 + 1 } else { self.century * 100 + 1 };
        }
        if self.is_bc && year > 0 { 1 - year } else { year }
    }

    /// Days since 1970-01-01.
    pub(super) fn days(&self) -> Result<i32> {
        let range = || self.out_of_range();
        if self.julian != 0 {
            return i32::try_from(self.julian - JULIAN_1970).map_err(|_| range());
        }
        let year = i32::try_from(self.full_year()).map_err(|_| range())?;
        let (mut month, mut day, mut day_of_year) = (self.month, self.day, self.day_of_year);
        if self.week != 0 {
            if self.is_iso {
                let weekday = match self.day_of_week {
                    0 => Weekday::Mon,
                    n => Weekday::try_from(((n + 5) % 7) as u8).unwrap_or(Weekday::Mon),
                };
                let week = u32::try_from(self.week).map_err(|_| range())?;
                let date = NaiveDate::from_isoywd_opt(year, week, weekday).ok_or_else(range)?;
                return Ok((date - NaiveDate::default()).num_days() as i32);
            }
            day_of_year = (self.week - 1) * 7 + 1;
        }
        if self.week_of_month != 0 {
            day = (self.week_of_month - 1) * 7 + 1;
        }
        if day_of_year != 0 && (month == 0 || day == 0) {
            if self.year_digits == 0 && !self.is_bc {
                return Err(invalid("cannot calculate day of year without year information".into()));
            }
            let first = match self.is_iso {
                true => NaiveDate::from_isoywd_opt(year, 1, Weekday::Mon),
                false => NaiveDate::from_yo_opt(year, 1),
            };
            let date = first.ok_or_else(range)?;
            let is_in_year = day_of_year <= if date.leap_year() { 366 } else { 365 };
            if !self.is_iso && !is_in_year {
                return Err(range());
            }
            let date = date + chrono::Duration::days(day_of_year - 1);
            return Ok((date - NaiveDate::default()).num_days() as i32);
        }
        month = if month == 0 { 1 } else { month };
        day = if day == 0 { 1 } else { day };
        let (month, day) = (u32::try_from(month), u32::try_from(day));
        let (Ok(month), Ok(day)) = (month, day) else { return Err(range()) };
        let date = NaiveDate::from_ymd_opt(year, month, day).ok_or_else(range)?;
        Ok((date - NaiveDate::default()).num_days() as i32)
    }

    /// Microseconds since 1970 in UTC, in the zone that was read or `zone`.
    pub(super) fn point(&self, zone: Zone) -> Result<i64> {
        let (mut hour, mut minute, mut second) = (self.hour, self.minute, self.second);
        if let Some(of_day) = self.second_of_day {
            (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        }
        if self.is_twelve {
            if !(1..=12).contains(&hour) {
                let what = format!("hour \"{hour}\" is invalid for the 12-hour clock");
                let hint = "Use the 24-hour clock, or give an hour between 1 and 12.";
                return Err(invalid(what).with_hint(hint));
            }
            hour = hour % 12 + if self.is_pm { 12 } else { 0 };
        }
        let fits = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
        if !fits {
            return Err(self.out_of_range());
        }
        let seconds = i64::from(self.days()?) * 86_400 + hour * 3_600 + minute * 60 + second;
        let local = seconds * 1_000_000 + self.micros;
        Ok(match self.offset {
            Some((sign, hours, minutes)) => local - sign * (hours * 3_600 + minutes * 60) * 1_000_000,
            None => zone.to_utc(local),
        })
    }
}
