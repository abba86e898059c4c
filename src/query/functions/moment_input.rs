//! Dates and times as people and drivers write them: the input functions of `date`, `time`, `timestamp` and
//! `timestamptz`, of constants as of parameters. Whether `1/5/2020` is a day of January or of May tells `DateStyle`.

mod words;

use self::words::{Token, is_day, month_of, tokens};
use super::text::{invalid_syntax, quoted_value};
use crate::error::{Error, Kind, Result};
use crate::query::{DateOrder, Reading, Zone};

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// Days of the first and behind the last date.
const DATES: std::ops::Range<i64> = -2_440_588..2_145_042_906;
/// Microseconds of the first and behind the last point in time: the largest number is the infinity.
const POINTS: std::ops::Range<i64> = -210_866_803_200_000_000..i64::MAX;

/// `date`, as days since 1970-01-01; the largest and the smallest number are the infinities. `session` tells what day it
/// is, and in which order days, months and years are.
///
/// # Errors
/// 22007 for what is no date, 22008 for one that there is not, 22009 for an offset that no zone has.
pub fn parse_date(text: &str, session: Reading) -> Result<i32> {
    let read = read(text, "date", session)?;
    match read.special {
        Some(Special::Infinity) => return Ok(i32::MAX),
        Some(Special::MinusInfinity) => return Ok(i32::MIN),
        Some(Special::Local(micros)) => return Ok(micros.div_euclid(MICROS_PER_DAY) as i32),
        None => {}
    }
    let days = read.days(text, "date")?;
    read.clock(text)?;
    match DATES.contains(&days) {
        true => i32::try_from(days).map_err(|_| beyond("date", text)),
        false => Err(beyond("date", text)),
    }
}

/// `timestamp`, in microseconds; a zone in the text is ignored, as PostgreSQL does. Infinities and errors are those of
/// [`parse_date`].
///
/// # Errors
/// See there.
pub fn parse_timestamp(text: &str, session: Reading) -> Result<i64> {
    read(text, "timestamp", session)?.micros(text, "timestamp")
}

/// `timestamp with time zone`, in microseconds UTC; without a zone in the text it is the session's. Infinities and
/// errors are those of [`parse_date`].
///
/// # Errors
/// See there.
pub fn parse_timestamptz(text: &str, session: Reading) -> Result<i64> {
    let read = read(text, "timestamp with time zone", session)?;
    let micros = read.micros(text, "timestamp with time zone")?;
    Ok(match read.special {
        Some(Special::Infinity | Special::MinusInfinity) => micros,
        _ => read.zone.unwrap_or(session.zone).to_utc(micros),
    })
}

/// `time`, in microseconds of the day. `session` tells what time it is.
///
/// # Errors
/// As of [`parse_date`].
pub fn parse_time(text: &str, session: Reading) -> Result<i64> {
    let read = read(text, "time", session)?;
    match (read.special, read.time) {
        (Some(Special::Local(micros)), None) if read.is_now => Ok(micros.rem_euclid(MICROS_PER_DAY)),
        (None, Some(_)) if read.is_full_clock => read.clock(text),
        _ => Err(invalid(text, "time")),
    }
}

/// 22007
fn invalid(text: &str, type_name: &str) -> Error {
    invalid_syntax(type_name, text).with_sqlstate("22007")
}

/// 22008
fn out_of_range(text: &str) -> Error {
    let what = format!("date/time field value out of range: \"{}\"", quoted_value(text));
    Error::new(Kind::Data, what).with_sqlstate("22008")
}

/// 22008, for what no value of the type can hold.
fn beyond(type_name: &str, text: &str) -> Error {
    let what = format!("{type_name} out of range: \"{}\"", quoted_value(text));
    Error::new(Kind::Data, what).with_sqlstate("22008")
}

/// Days since 1970-01-01 of a date, with months that begin in March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn days_in(year: i64, month: i64) -> i64 {
    let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days_from_civil(next_year, next, 1) - days_from_civil(year, month, 1)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Special {
    Infinity,
    MinusInfinity,
    /// What clocks show.
    Local(i64),
}

/// What is written in a text.
#[derive(Debug, Default)]
struct Read {
    special: Option<Special>,
    year: Option<(i64, usize)>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    julian: Option<i64>,
    /// Hours, minutes, microseconds of the minute.
    time: Option<(i64, i64, i64)>,
    is_bc: bool,
    is_pm: Option<bool>,
    zone: Option<Zone>,
    is_month_named: bool,
    is_day_named: bool,
    /// Whether it is the time of now, not of a day.
    is_now: bool,
    /// Whether minutes were written, which nothing but a date needs no more than hours for.
    is_full_clock: bool,
}

fn read(text: &str, type_name: &str, session: Reading) -> Result<Read> {
    let invalid = || invalid(text, type_name);
    let tokens = tokens(text).filter(|tokens| !tokens.is_empty()).ok_or_else(invalid)?;
    let mut read = Read::default();
    let (mut wants_time, mut wants_julian) = (type_name == "time", false);
    for token in &tokens {
        match token {
            Token::Time(clock) => {
                let time = clock_of(clock.trim_end_matches(':')).ok_or_else(invalid)?;
                read.is_full_clock = true;
                if read.time.replace(time).is_some() {
                    return Err(invalid());
                }
            }
            Token::Date(date) => {
                read.date(date, session.order).ok_or_else(invalid)?;
            }
            Token::Offset(_) if read.zone.is_some() => return Err(invalid()),
            Token::Offset(offset) => {
                // Behind a date a number with a sign may be a year; behind a time it is a zone.
                let no_zone = || {
                    let what = format!("time zone displacement out of range: \"{}\"", quoted_value(text));
                    Error::new(Kind::Data, what).with_sqlstate("22009")
                };
                read.zone = Some(offset_of(offset).ok_or_else(invalid)?.ok_or_else(no_zone)?);
            }
            Token::Number(number) if wants_julian => {
                read.julian =
                    Some(number.split('.').next().and_then(|n| n.parse().ok()).ok_or_else(invalid)?);
                wants_julian = false;
            }
            Token::Number(number) => {
                let is_clock =
                    wants_time || (read.has_date() && number.split('.').next().map_or(0, str::len) >= 4);
                let is_clock = is_clock && read.time.is_none();
                if is_clock {
                    read.time = Some(joined_clock(number).ok_or_else(invalid)?);
                    read.is_full_clock = number.split('.').next().map_or(0, str::len) >= 4;
                    wants_time = false;
                } else {
                    read.number(number, session.order).ok_or_else(invalid)?;
                }
            }
            Token::Joined(name) => {
                let has_day = read.has_day() || matches!(read.special, Some(Special::Local(_)));
                let is_time_only = type_name == "time" && read.time.is_some() && !has_day;
                if !is_time_only && !has_day {
                    read.date(name, session.order).ok_or_else(invalid)?;
                    continue;
                }
                let name = name.to_lowercase();
                let zone = Zone::of_name(&name).ok_or_else(|| {
                    Error::new(Kind::Invalid, format!("time zone \"{}\" not recognized", quoted_value(&name)))
                })?;
                // Clocks of such a zone differ from day to day.
                if is_time_only && matches!(zone, Zone::Named(_)) {
                    return Err(invalid());
                }
                read.zone = Some(zone);
            }
            Token::Word(word) => {
                let lower = word.to_lowercase();
                match lower.as_str() {
                    "t" if read.has_date() || type_name == "time" => wants_time = true,
                    "j" | "jd" | "julian" => wants_julian = true,
                    "am" | "a.m." => read.is_pm = Some(false),
                    "pm" | "p.m." => read.is_pm = Some(true),
                    "bc" => read.is_bc = true,
                    "ad" | "at" | "on" => {}
                    "epoch" => {
                        read.special = Some(Special::Local(0));
                        read.zone = Some(Zone::UTC);
                    }
                    "infinity" => read.special = Some(Special::Infinity),
                    "-infinity" => read.special = Some(Special::MinusInfinity),
                    "now" | "today" | "tomorrow" | "yesterday" => {
                        let now = crate::model::now_micros();
                        let now = now + i64::from(session.zone.offset_at(now)) * 1_000_000;
                        read.is_now = lower == "now";
                        let midnight = now.div_euclid(MICROS_PER_DAY) * MICROS_PER_DAY;
                        read.special = Some(Special::Local(match lower.as_str() {
                            "now" => now,
                            "today" => midnight,
                            "tomorrow" => midnight + MICROS_PER_DAY,
                            _ => midnight - MICROS_PER_DAY,
                        }));
                    }
                    "allballs" => (read.time, read.is_full_clock) = (Some((0, 0, 0)), true),
                    other if is_day(other) => read.is_day_named = true,
                    other => match month_of(other) {
                        Some(_) if read.is_month_named => return Err(invalid()),
                        Some(month) => {
                            // A number before it was the day.
                            if let (Some(day), None) = (read.month, read.day) {
                                read.day = Some(day);
                            }
                            (read.month, read.is_month_named) = (Some(month), true);
                        }
                        None => match Zone::of_name(other) {
                            Some(zone) => read.zone = Some(zone),
                            None => return Err(invalid()),
                        },
                    },
                }
            }
        }
    }
    Ok(read)
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

/// Microseconds of digits behind the point.
fn fraction(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let is_plain = text.bytes().all(|b| b.is_ascii_digit());
    is_plain.then(|| format!("0.{text}").parse::<f64>().ok())?.map(|f| (f * 1e6).round_ties_even() as i64)
}

/// `12:34`, `12:34:56.789`
fn clock_of(text: &str) -> Option<(i64, i64, i64)> {
    let mut parts = text.split(':');
    let (hours, minutes) = (digits(parts.next()?)?, digits(parts.next()?)?);
    let (seconds, rest) = match parts.next() {
        Some(part) => part.split_once('.').unwrap_or((part, "")),
        None => ("0", ""),
    };
    if parts.next().is_some() {
        return None;
    }
    Some((hours, minutes, digits(seconds)? * 1_000_000 + fraction(rest)?))
}

/// `0405`, `040506`, `040506.789`
fn joined_clock(text: &str) -> Option<(i64, i64, i64)> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let seconds = match whole.len() {
        4 => 0,
        6 => digits(&whole[4..])?,
        2 if rest.is_empty() => return Some((digits(whole)?, 0, 0)),
        _ => return None,
    };
    Some((digits(&whole[..2])?, digits(&whole[2..4])?, seconds * 1_000_000 + fraction(rest)?))
}

/// `+02`, `+0230`, `-02:30`, `+02:30:15`; within, `None` where no zone is so far away.
fn offset_of(text: &str) -> Option<Option<Zone>> {
    let (sign, rest) = (if text.starts_with('-') { -1 } else { 1 }, &text[1..]);
    let parts: Vec<&str> = match rest.contains(':') {
        true => rest.split(':').collect(),
        false if rest.len() == 4 => vec![&rest[..2], &rest[2..]],
        false if rest.len() == 3 => vec![&rest[..1], &rest[1..]],
        false => vec![rest],
    };
    let number = |at: usize| parts.get(at).map_or(Some(0), |part| digits(part));
    let (hours, minutes, seconds) = (number(0)?, number(1)?, number(2)?);
    let fits = hours <= 15 && minutes <= 59 && seconds <= 59;
    let zone = fits.then_some(Zone::Fixed(sign * (hours * 3_600 + minutes * 60 + seconds) as i32));
    (parts.len() <= 3).then_some(zone)
}

impl Read {
    fn has_date(&self) -> bool {
        self.julian.is_some()
            || (self.year.is_some()
                && (self.day_of_year.is_some() || (self.month.is_some() && self.day.is_some())))
    }

    /// Whether a zone may follow, of a date whose year may still follow.
    fn has_day(&self) -> bool {
        self.has_date() || (self.month.is_some() && self.day.is_some())
    }

    /// Parts with separators between them. Such a date comes first.
    fn date(&mut self, text: &str, order: DateOrder) -> Option<()> {
        if self.has_day() || self.time.is_some() || self.is_day_named {
            return None;
        }
        let (named, numbers): (Vec<&str>, Vec<&str>) = text
            .split(['-', '/', '.'])
            .filter(|part| !part.is_empty())
            .partition(|part| part.starts_with(char::is_alphabetic));
        match named.as_slice() {
            [] => {}
            [name] if self.month.is_none() => {
                (self.month, self.is_month_named) = (Some(month_of(name)?), true);
            }
            _ => return None,
        }
        for number in numbers {
            self.part(number, order)?;
        }
        self.has_date().then_some(())
    }

    fn number(&mut self, text: &str, order: DateOrder) -> Option<()> {
        if text.contains('.') {
            return self.date(text, order);
        }
        if self.has_date() {
            return None;
        }
        if text.len() < 6 {
            return self.part(text, order);
        }
        let is_first = self.year.is_none() && self.month.is_none() && self.day.is_none();
        let (year, rest) = text.split_at(text.len() - 4);
        self.year = is_first.then_some((digits(year)?, year.len()));
        (self.month, self.day) = (Some(digits(&rest[..2])?), Some(digits(&rest[2..])?));
        is_first.then_some(())
    }

    /// A number of a date, whose place among the others tells what it is.
    fn part(&mut self, text: &str, order: DateOrder) -> Option<()> {
        let (number, width) = (digits(text)?, text.len());
        let is_year = width >= 3 || order == DateOrder::Ymd;
        let year = Some((number, width));
        match (self.year, self.month, self.day) {
            (Some(_), None, None) if width == 3 && (1..=366).contains(&number) => {
                self.day_of_year = Some(number);
            }
            (None, None, None) if is_year => self.year = year,
            (None, None, None) if order == DateOrder::Dmy => self.day = Some(number),
            (None, None, _) | (Some(_), None, None) => self.month = Some(number),
            (None, Some(_), None) if self.is_month_named && is_year => self.year = year,
            // What was taken for the year was the day, before a month with a name.
            (Some((day, ..=2)), Some(_), None) if self.is_month_named && width >= 3 => {
                (self.year, self.day) = (year, Some(day));
            }
            (_, Some(_), None) => self.day = Some(number),
            (None, Some(_), Some(_)) => self.year = year,
            _ => return None,
        }
        Some(())
    }

    /// Days since 1970-01-01.
    fn days(&self, text: &str, type_name: &str) -> Result<i64> {
        let range = || out_of_range(text);
        if let Some(julian) = self.julian {
            return Ok(julian - 2_440_588);
        }
        let invalid = || invalid(text, type_name);
        let (year, width) = self.year.ok_or_else(invalid)?;
        let year = match (self.is_bc, width <= 2) {
            (true, _) if year < 1 => return Err(range()),
            (true, _) => 1 - year,
            (false, true) if year < 70 => year + 2_000,
            (false, true) => year + 1_900,
            // There is no year 0.
            (false, false) if year == 0 => return Err(range()),
            _ => year,
        };
        match (self.day_of_year, self.month, self.day) {
            (Some(day), ..) => {
                let first = days_from_civil(year, 1, 1);
                let length = days_from_civil(year + 1, 1, 1) - first;
                if (1..=length).contains(&day) { Ok(first + day - 1) } else { Err(range()) }
            }
            (None, Some(month), Some(day)) => {
                if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
                    let hint = "Perhaps you need a different \"datestyle\" setting.";
                    return Err(range().with_hint(hint));
                }
                if day > days_in(year, month) { Err(range()) } else { Ok(days_from_civil(year, month, day)) }
            }
            _ => Err(invalid()),
        }
    }

    fn clock(&self, text: &str) -> Result<i64> {
        let Some((mut hours, minutes, micros)) = self.time else { return Ok(0) };
        if let Some(is_pm) = self.is_pm {
            if !(0..=12).contains(&hours) {
                return Err(out_of_range(text));
            }
            hours = hours % 12 + if is_pm { 12 } else { 0 };
        }
        let all = (hours * 60 + minutes) * 60_000_000 + micros;
        let fits = hours <= 24 && minutes < 60 && micros <= 60_000_000 && all <= MICROS_PER_DAY;
        if fits { Ok(all) } else { Err(out_of_range(text)) }
    }

    /// What clocks show, in microseconds.
    fn micros(&self, text: &str, type_name: &str) -> Result<i64> {
        match self.special {
            Some(Special::Infinity) => return Ok(i64::MAX),
            Some(Special::MinusInfinity) => return Ok(i64::MIN),
            Some(Special::Local(micros)) => {
                return match self.time {
                    Some(_) => Ok(micros.div_euclid(MICROS_PER_DAY) * MICROS_PER_DAY + self.clock(text)?),
                    None => Ok(micros),
                };
            }
            None => {}
        }
        let (days, clock) = (self.days(text, type_name)?, self.clock(text)?);
        let micros = days.checked_mul(MICROS_PER_DAY).and_then(|micros| micros.checked_add(clock));
        micros.filter(|micros| POINTS.contains(micros)).ok_or_else(|| beyond("timestamp", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::functions::text::{format_date, format_timestamp};

    #[test]
    fn dates_are_read_as_postgresql_reads_them() {
        for (text, shown) in [
            ("January 8, 1999", "1999-01-08"),
            ("1999-Jan-08", "1999-01-08"),
            ("Jan-08-1999", "1999-01-08"),
            ("08-Jan-1999", "1999-01-08"),
            ("8 Jan 1999", "1999-01-08"),
            ("19990108", "1999-01-08"),
            ("990108", "1999-01-08"),
            ("1999.008", "1999-01-08"),
            ("J2451187", "1999-01-08"),
            ("January 8, 99 BC", "0099-01-08 BC"),
            ("1/8/1999", "1999-01-08"),
            ("epoch", "1970-01-01"),
        ] {
            assert_eq!(format_date(parse_date(text, Reading::UTC).unwrap()), shown, "{text}");
        }
        for (order, text, shown) in [
            (DateOrder::Dmy, "05/06/2024", "2024-06-05"),
            (DateOrder::Dmy, "Jun-5-24", "2024-06-05"),
            (DateOrder::Dmy, "2024/6/5", "2024-06-05"),
            (DateOrder::Ymd, "05/06/07", "2005-06-07"),
            (DateOrder::Ymd, "5-Jun-2024", "2024-06-05"),
            (DateOrder::Ymd, "5 Jun 24", "2005-06-24"),
        ] {
            let reading = Reading { order, ..Reading::UTC };
            assert_eq!(format_date(parse_date(text, reading).unwrap()), shown, "{text}");
        }
        assert_eq!(parse_date("2024-02-30", Reading::UTC).unwrap_err().sqlstate(), "22008");
        assert_eq!(parse_date("soon", Reading::UTC).unwrap_err().sqlstate(), "22007");
    }

    #[test]
    fn times_are_read_as_postgresql_reads_them() {
        for (text, shown) in [
            ("Jan 8 1999 04:05:06 PM", "1999-01-08 16:05:06"),
            ("1999-01-08 0405", "1999-01-08 04:05:00"),
            ("1999-01-08T040506", "1999-01-08 04:05:06"),
            ("Fri Jan 8 04:05:06 1999", "1999-01-08 04:05:06"),
            ("1999-01-08 24:00", "1999-01-09 00:00:00"),
        ] {
            assert_eq!(format_timestamp(parse_timestamp(text, Reading::UTC).unwrap()), shown, "{text}");
        }
        let berlin = parse_timestamptz("2024-02-29 12:00 Europe/Berlin", Reading::UTC).unwrap();
        assert_eq!(format_timestamp(berlin), "2024-02-29 11:00:00");
    }
}
