//! How values are written for a session: `DateStyle`, `IntervalStyle`, `bytea_output`, `extra_float_digits`,
//! `TimeZone`.

use std::fmt;

use super::super::zone::Zone;

/// The settings that the text of a value depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// `TimeZone`
    pub zone: Zone,
    /// `DateStyle`
    pub dates: DateStyle,
    /// `IntervalStyle`
    pub intervals: IntervalStyle,
    /// `bytea_output` is `escape`.
    pub escapes_bytes: bool,
    /// `extra_float_digits`: above 0 the shortest exact text, else so many digits more or less than are sure.
    pub float_digits: i8,
}

impl Style {
    /// What a session has that sets nothing, in a time zone.
    pub const fn in_zone(zone: Zone) -> Self {
        let dates = DateStyle { form: DateForm::Iso, order: DateOrder::Mdy };
        Style { zone, dates, intervals: IntervalStyle::Postgres, escapes_bytes: false, float_digits: 1 }
    }

    /// How the same session reads dates and times.
    pub const fn reading(&self) -> Reading {
        Reading { zone: self.zone, order: self.dates.order }
    }
}

/// The settings that the meaning of a written date or time depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reading {
    /// `TimeZone`, of times without a zone.
    pub zone: Zone,
    /// The order in `DateStyle`, of dates whose numbers do not tell it.
    pub order: DateOrder,
}

impl Reading {
    /// What a session has that sets nothing.
    pub const UTC: Reading = Reading { zone: Zone::UTC, order: DateOrder::Mdy };
}

impl From<Zone> for Reading {
    /// The order is that of a session that sets none.
    fn from(zone: Zone) -> Self {
        Reading { zone, order: DateOrder::Mdy }
    }
}

/// The looks of dates and the order in which days and months are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateStyle {
    /// How dates are written.
    pub form: DateForm,
    /// What comes first.
    pub order: DateOrder,
}

/// How dates are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateForm {
    /// `2020-01-05 10:00:00+00`
    Iso,
    /// `01/05/2020 10:00:00 UTC`
    Sql,
    /// `Sun Jan 05 10:00:00 2020 UTC`
    Postgres,
    /// `05.01.2020 10:00:00 UTC`
    German,
}

/// What comes first in a date: month, day or year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DateOrder {
    /// Month, day, year.
    Mdy,
    /// Day, month, year.
    Dmy,
    /// Year, month, day.
    Ymd,
}

/// How intervals are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntervalStyle {
    /// `1 mon 2 days 03:04:05`
    Postgres,
    /// `@ 1 mon 2 days 3 hours 4 mins 5 secs`
    Verbose,
    /// `+0-1 +2 +3:04:05`
    Standard,
    /// `P1M2DT3H4M5S`
    Iso8601,
}

impl IntervalStyle {
    /// Of the setting's value.
    pub(super) fn of_setting(text: &str) -> Self {
        match text {
            "postgres_verbose" => IntervalStyle::Verbose,
            "sql_standard" => IntervalStyle::Standard,
            "iso_8601" => IntervalStyle::Iso8601,
            _ => IntervalStyle::Postgres,
        }
    }
}

impl Default for DateStyle {
    fn default() -> Self {
        Style::in_zone(Zone::UTC).dates
    }
}

impl DateStyle {
    /// What becomes of it when `DateStyle` is set to `words`; the error is the detail PostgreSQL tells.
    pub(super) fn changed(self, words: &str) -> Result<Self, String> {
        let (mut form, mut order) = (None, None);
        let mut default_order = None;
        let mut conflicts = false;
        for word in super::value::names(words).ok_or("List syntax is invalid.")? {
            let lower = word.to_lowercase();
            let (new_form, new_order) = match lower.as_str() {
                "iso" => (Some(DateForm::Iso), None),
                "sql" => (Some(DateForm::Sql), None),
                _ if lower.starts_with("postgres") => (Some(DateForm::Postgres), None),
                "german" => {
                    default_order = Some(DateOrder::Dmy);
                    (Some(DateForm::German), None)
                }
                "ymd" => (None, Some(DateOrder::Ymd)),
                "dmy" => (None, Some(DateOrder::Dmy)),
                "mdy" | "us" => (None, Some(DateOrder::Mdy)),
                _ if lower.starts_with("euro") => (None, Some(DateOrder::Dmy)),
                _ if lower.starts_with("noneuro") => (None, Some(DateOrder::Mdy)),
                "default" => {
                    let default = DateStyle::default();
                    form = form.or(Some(default.form));
                    order = order.or(Some(default.order));
                    continue;
                }
                _ => return Err(format!("Unrecognized key word: \"{word}\".")),
            };
            conflicts |= form.is_some_and(|form| new_form.is_some_and(|new| new != form));
            conflicts |= order.is_some_and(|order| new_order.is_some_and(|new| new != order));
            form = new_form.or(form);
            order = new_order.or(order);
        }
        if conflicts {
            return Err("Conflicting \"datestyle\" specifications.".into());
        }
        Ok(DateStyle {
            form: form.unwrap_or(self.form),
            order: order.or(default_order).unwrap_or(self.order),
        })
    }
}

impl fmt::Display for DateStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.form {
            DateForm::Iso => "ISO",
            DateForm::Sql => "SQL",
            DateForm::Postgres => "Postgres",
            DateForm::German => "German",
        };
        let order = match self.order {
            DateOrder::Mdy => "MDY",
            DateOrder::Dmy => "DMY",
            DateOrder::Ymd => "YMD",
        };
        write!(f, "{form}, {order}")
    }
}

/// A finite number as C's `%.*g` prints it: so many digits at most, without zeros at the end, and with an exponent of
/// at least two digits where it is below -4 or not below `digits`.
pub fn general(number: f64, digits: usize, out: &mut Vec<u8>) {
    let digits = digits.max(1);
    let text = format!("{number:.*e}", digits - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let without_zeros = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    };
    if exponent < -4 || exponent >= digits as i32 {
        let (sign, size) = (if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs());
        out.extend_from_slice(format!("{}e{sign}{size:02}", without_zeros(mantissa)).as_bytes());
        return;
    }
    let after = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
    out.extend_from_slice(without_zeros(&format!("{number:.after$}")).as_bytes());
}
