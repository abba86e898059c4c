//! Dates and times in the forms that drivers and people send: ISO 8601, `20200105`, `1/5/2020`, `Jan 5, 2020`,
//! `5 January 2020 10:00 pm`, with zone or without.

use super::{bad_syntax, out_of_range};
use crate::error::{Error, Result};
use crate::model::now_micros;
use crate::pg::encode::{Zone, days_from_civil, is_leap};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Days since 1970.
pub(super) fn date(text: &str, zone: Zone) -> Result<i32> {
    match parse(text, "date", zone)? {
        When::Infinite(true) => Ok(i32::MAX),
        When::Infinite(false) => Ok(i32::MIN),
        When::At { day, .. } => i32::try_from(day).map_err(|_| out_of_range("date", text)),
    }
}

/// Microseconds on the clock. A zone in the text is read over, as PostgreSQL does.
pub(super) fn timestamp(text: &str, zone: Zone) -> Result<i64> {
    match parse(text, "timestamp", zone)? {
        When::Infinite(true) => Ok(i64::MAX),
        When::Infinite(false) => Ok(i64::MIN),
        When::At { day, time, .. } => clock(day, time).ok_or_else(|| too_far("timestamp", text)),
    }
}

/// Microseconds UTC. Without a zone in the text the session's counts.
pub(super) fn timestamptz(text: &str, zone: Zone) -> Result<i64> {
    match parse(text, "timestamp with time zone", zone)? {
        When::Infinite(true) => Ok(i64::MAX),
        When::Infinite(false) => Ok(i64::MIN),
        When::At { day, time, zone: told } => {
            let local = clock(day, time).ok_or_else(|| too_far("timestamp", text))?;
            Ok(told.unwrap_or(zone).to_utc(local))
        }
    }
}

/// Microseconds since midnight.
pub(super) fn time(text: &str) -> Result<i64> {
    let mut parts = Parts::default();
    for token in text.split_ascii_whitespace() {
        // A day and a zone may stand beside the time.
        let is_time = token.contains(':') || parts.time.is_some();
        if is_time && !parts.take_time(token) && !parts.take_zone(token) {
            return Err(bad_syntax("time", text).with_sqlstate("22007"));
        }
    }
    parts
        .time()
        .filter(|_| parts.time.is_some())
        .ok_or_else(|| bad_syntax("time", text).with_sqlstate("22007"))
}

fn clock(day: i64, time: i64) -> Option<i64> {
    day.checked_mul(MICROS_PER_DAY)?.checked_add(time)
}

fn too_far(name: &str, text: &str) -> Error {
    out_of_range(name, text).with_sqlstate("22008")
}

enum When {
    /// `infinity` (true) or `-infinity`.
    Infinite(bool),
    At {
        day: i64,
        time: i64,
        zone: Option<Zone>,
    },
}

#[derive(Default)]
struct Parts {
    date: Option<(i64, u32, u32)>,
    month: Option<u32>,
    numbers: Vec<i64>,
    time: Option<i64>,
    afternoon: Option<bool>,
    zone: Option<Zone>,
    bc: bool,
}

fn parse(text: &str, name: &str, zone: Zone) -> Result<When> {
    let today = |offset: i64| {
        let now = now_micros();
        let local = now + i64::from(zone.offset_at(now)) * MICROS_PER_SECOND;
        When::At { day: local.div_euclid(MICROS_PER_DAY) + offset, time: 0, zone: None }
    };
    match text.to_ascii_lowercase().as_str() {
        "infinity" | "+infinity" => return Ok(When::Infinite(true)),
        "-infinity" => return Ok(When::Infinite(false)),
        "epoch" => return Ok(When::At { day: 0, time: 0, zone: Some(Zone::UTC) }),
        "today" => return Ok(today(0)),
        "tomorrow" => return Ok(today(1)),
        "yesterday" => return Ok(today(-1)),
        "now" => {
            let now = now_micros();
            let local = now + i64::from(zone.offset_at(now)) * MICROS_PER_SECOND;
            let (day, time) = (local.div_euclid(MICROS_PER_DAY), local.rem_euclid(MICROS_PER_DAY));
            return Ok(When::At { day, time, zone: None });
        }
        _ => {}
    }
    let mut parts = Parts::default();
    for token in text.split(|c: char| c.is_ascii_whitespace() || c == ',').filter(|t| !t.is_empty()) {
        // `2020-01-05T10:00:00Z` is two tokens.
        let joined = token.split_once(['T', 't']).filter(|(date, time)| {
            date.len() >= 8
                && date.ends_with(|c: char| c.is_ascii_digit())
                && time.starts_with(|c: char| c.is_ascii_digit())
        });
        let taken = match joined {
            Some((date, time)) => parts.take(date) && parts.take(time),
            None => parts.take(token),
        };
        if !taken {
            return Err(bad_syntax(name, text).with_sqlstate("22007"));
        }
    }
    let invalid = || bad_syntax(name, text).with_sqlstate("22007");
    let (year, month, day) = parts.date().ok_or_else(invalid)?;
    let year = if parts.bc { 1 - year } else { year };
    let in_range = (1..=12).contains(&month) && day >= 1 && day <= days_in(year, month);
    if !in_range || !(-4713..=294_276).contains(&year) || (parts.bc && year > 0) {
        return Err(Error::new(
            crate::error::Kind::Invalid,
            format!("date/time field value out of range: \"{}\"", text.chars().take(100).collect::<String>()),
        )
        .with_sqlstate("22008"));
    }
    let time = parts.time().ok_or_else(invalid)?;
    Ok(When::At { day: days_from_civil(year, month, day), time, zone: parts.zone })
}

fn days_in(year: i64, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Parts {
    fn take(&mut self, token: &str) -> bool {
        self.take_time(token) || self.take_date(token) || self.take_zone(token)
    }

    fn take_date(&mut self, token: &str) -> bool {
        if let Some(month) = month_of(token) {
            return self.month.replace(month).is_none();
        }
        if token.eq_ignore_ascii_case("bc") {
            self.bc = true;
            return true;
        }
        if token.eq_ignore_ascii_case("ad") || weekday(token) {
            return true;
        }
        if token.len() == 8 && token.bytes().all(|b| b.is_ascii_digit()) && self.date.is_none() {
            let number = |range: std::ops::Range<usize>| token[range].parse::<u32>().unwrap_or(0);
            self.date = Some((i64::from(number(0..4)), number(4..6), number(6..8)));
            return true;
        }
        let pieces: Vec<_> = token.split(['-', '/', '.']).collect();
        if let [a, b, c] = pieces[..] {
            return self.take_three(a, b, c);
        }
        let number: Option<i64> =
            token.bytes().all(|b| b.is_ascii_digit()).then(|| token.parse().ok()).flatten();
        match number {
            Some(number) if self.numbers.len() < 2 => {
                self.numbers.push(number);
                true
            }
            _ => false,
        }
    }

    /// `2020-01-05`, `1/5/2020` (month first), `5-Jan-2020`.
    fn take_three(&mut self, a: &str, b: &str, c: &str) -> bool {
        let number = |text: &str| {
            (!text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit()))
                .then(|| text.parse::<u32>().ok())
                .flatten()
        };
        let year = |text: &str, value: u32| match text.len() {
            // As PostgreSQL: two digits mean 1970 to 2069.
            1 | 2 => i64::from(if value < 70 { value + 2000 } else { value + 1900 }),
            _ => i64::from(value),
        };
        self.date = match (number(a), number(b), number(c)) {
            (Some(y), Some(m), Some(d)) if a.len() >= 3 => Some((i64::from(y), m, d)),
            (Some(m), Some(d), Some(y)) => Some((year(c, y), m, d)),
            (Some(d), None, Some(y)) if a.len() < 3 => month_of(b).map(|m| (year(c, y), m, d)),
            (Some(y), None, Some(d)) => month_of(b).map(|m| (i64::from(y), m, d)),
            (None, Some(d), Some(y)) => month_of(a).map(|m| (year(c, y), m, d)),
            _ => None,
        };
        self.date.is_some()
    }

    fn date(&self) -> Option<(i64, u32, u32)> {
        match (self.date, self.month, &self.numbers[..]) {
            (Some(date), None, []) => Some(date),
            // `Jan 5 2020`, `5 Jan 2020`, `2020 Jan 5`: the year is the long one.
            (None, Some(month), [a, b]) => {
                let (year, day) = if *a > 31 { (*a, *b) } else { (*b, *a) };
                Some((year, month, u32::try_from(day).ok()?))
            }
            _ => None,
        }
    }

    /// `10:00`, `10:00:00.5`, `10:00+02`, `10:00Z`, `pm`.
    fn take_time(&mut self, token: &str) -> bool {
        if token.eq_ignore_ascii_case("am") || token.eq_ignore_ascii_case("pm") {
            self.afternoon = Some(token.eq_ignore_ascii_case("pm"));
            return true;
        }
        let end = token.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(token.len());
        let (clock, rest) = token.split_at(end);
        if !clock.contains(':') || self.time.is_some() {
            return false;
        }
        let Some(time) = time_of(clock) else { return false };
        self.time = Some(time);
        rest.is_empty() || (rest.len() == 2 && self.take_time(rest)) || self.take_zone(rest)
    }

    fn take_zone(&mut self, token: &str) -> bool {
        let zone = match token.to_ascii_uppercase().as_str() {
            upper if upper.starts_with(['+', '-']) => offset(upper).map(Zone::Fixed),
            _ => Zone::of_name(token),
        };
        self.zone = zone.or(self.zone);
        zone.is_some()
    }

    fn time(&self) -> Option<i64> {
        let time = self.time.unwrap_or(0);
        let half = 12 * 3600 * MICROS_PER_SECOND;
        match self.afternoon {
            None => Some(time),
            Some(_) if time >= half + 3600 * MICROS_PER_SECOND => None,
            Some(true) => Some(if time < half { time + half } else { time }),
            Some(false) => Some(if time >= half { time - half } else { time }),
        }
    }
}

/// `+02`, `-0530`, `+05:30`, `+05:30:15` in seconds.
fn offset(text: &str) -> Option<i32> {
    let (sign, digits) = text.split_at(1);
    let fields: Vec<&str> = match digits.contains(':') {
        true => digits.split(':').collect(),
        false if digits.len() <= 2 => vec![digits],
        false => vec![digits.get(..digits.len() - 2)?, digits.get(digits.len() - 2..)?],
    };
    if fields.len() > 3 || fields.iter().any(|f| f.is_empty() || !f.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let mut seconds = 0_i32;
    for (field, unit) in fields.iter().zip([3600, 60, 1]) {
        let value: i32 = field.parse().ok()?;
        let limit = if unit == 3600 { 15 } else { 59 };
        seconds += (value <= limit).then_some(value * unit)?;
    }
    Some(if sign == "-" { -seconds } else { seconds })
}

/// `hh:mm[:ss[.ffffff]]` in microseconds; `24:00` is the end of the day.
pub(super) fn time_of(text: &str) -> Option<i64> {
    let mut fields = text.split(':');
    let (hours, minutes) = (fields.next()?, fields.next()?);
    let seconds = fields.next().unwrap_or("0");
    let number = |text: &str| (text.len() <= 2).then(|| text.parse::<u32>().ok()).flatten();
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let whole = number(whole)?;
    if fields.next().is_some() || hours > 24 || minutes > 59 || whole > 60 {
        return None;
    }
    let micros = micros_of_fraction(fraction)?;
    let total = i64::from((hours * 60 + minutes) * 60 + whole) * MICROS_PER_SECOND + micros;
    (total <= MICROS_PER_DAY).then_some(total)
}

/// Digits behind a point as microseconds, rounded.
pub(super) fn micros_of_fraction(digits: &str) -> Option<i64> {
    if digits.is_empty() {
        return Some(0);
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) || digits.len() > 18 {
        return None;
    }
    let value: i64 = digits.parse().ok()?;
    Some(match 6 - digits.len() as i32 {
        missing @ 0.. => value * 10_i64.pow(missing as u32),
        extra => {
            let unit = 10_i64.pow(extra.unsigned_abs());
            (value + unit / 2) / unit
        }
    })
}

fn month_of(text: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let text = text.to_ascii_lowercase();
    let is = |month: &str| text == month || text == month[..3] || (text == "sept" && month == "september");
    MONTHS.iter().position(|month| is(month)).map(|index| index as u32 + 1)
}

fn weekday(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]
        .iter()
        .any(|day| text == *day || text == day[..3])
}
