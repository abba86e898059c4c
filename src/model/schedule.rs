//! When the nightly batch of a company is due: a time of day in a time zone, once per local day.
//!
//! Pure: the time is an argument, and what was done is one date. A time that a change of clocks skips is due right
//! after the gap; one that comes twice is due the first time. A date that a zone leaves out altogether has no batch.

use chrono::{DateTime, Days, LocalResult, NaiveDate, NaiveTime, TimeZone};
use chrono_tz::{GapInfo, Tz};

use super::Micros;
use crate::error::{Error, Kind, Result, did_you_mean};

/// A time of day in a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    time: NaiveTime,
    zone: Tz,
}

/// What a schedule says at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The batch of that local date is due, since that time.
    Due(NaiveDate, Micros),
    /// Nothing is due before that time.
    Wait(Micros),
    /// Nothing will ever be due: the calendar ends.
    Never,
}

impl Schedule {
    /// Reads a time as `02:00` or `02:30:15` and the name of a zone as `Europe/Berlin`.
    ///
    /// # Errors
    /// `Invalid`, naming what is no time or no zone.
    pub fn parse(time: &str, zone: &str) -> Result<Self> {
        Ok(Schedule { time: time_of_day(time)?, zone: zone_named(zone)? })
    }

    /// The time of day, as `02:00`.
    pub fn time(&self) -> String {
        let form = if self.time.format("%S").to_string() == "00" { "%H:%M" } else { "%H:%M:%S" };
        self.time.format(form).to_string()
    }

    /// The name of the zone.
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// The local date at a moment.
    pub fn date(&self, at: Micros) -> Option<NaiveDate> {
        let at = DateTime::from_timestamp_micros(at)?;
        Some(at.with_timezone(&self.zone).date_naive())
    }

    /// When the batch of a local date is due; `None` for a date that the zone leaves out.
    pub fn due(&self, date: NaiveDate) -> Option<Micros> {
        let due = self.instant(date, self.time)?;
        // Only a gap of a whole day leads from the beginning of a day to another date.
        if due.date_naive() != date && self.instant(date, NaiveTime::MIN)?.date_naive() != date {
            return None;
        }
        Some(due.timestamp_micros())
    }

    /// What is due at `now`, when `done` is the last date whose batch was begun and nothing before `since` counts.
    /// After a time without a server it is the newest batch alone.
    pub fn at(&self, now: Micros, done: Option<NaiveDate>, since: Micros) -> Moment {
        let Some(today) = self.date(now) else { return Moment::Never };
        let Some(last) = today.checked_add_days(Days::new(1)) else { return Moment::Never };
        // From tomorrow, which has begun where clocks go back over midnight, to before a day that is left out.
        let (mut newest, mut next) = (None, None);
        for date in std::iter::successors(Some(last), NaiveDate::pred_opt).take(4) {
            match self.due(date) {
                None => {}
                Some(at) if at > now => next = Some((date, at)),
                Some(at) => {
                    newest = Some((date, at));
                    break;
                }
            }
        }
        if let Some((date, at)) =
            newest.filter(|(date, at)| done.is_none_or(|done| *date > done) && *at > since)
        {
            return Moment::Due(date, at);
        }
        if let Some((_, at)) = next.filter(|(date, _)| done.is_none_or(|done| *date > done)) {
            return Moment::Wait(at);
        }
        // Tomorrow is left out, or the clock was set back.
        let after = newest.map(|(date, _)| date).max(done).unwrap_or(today);
        let following = after.iter_days().skip(1).take(4).find_map(|date| self.due(date));
        following.map_or(Moment::Never, Moment::Wait)
    }

    /// The first moment at which the clocks of the zone show at least that time on that date, or later.
    fn instant(&self, date: NaiveDate, time: NaiveTime) -> Option<DateTime<Tz>> {
        let local = date.and_time(time);
        match self.zone.from_local_datetime(&local) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at),
            LocalResult::None => GapInfo::new(&local, &self.zone)?.end,
        }
    }
}

fn time_of_day(text: &str) -> Result<NaiveTime> {
    let text = text.trim();
    let read =
        NaiveTime::parse_from_str(text, "%H:%M").or_else(|_| NaiveTime::parse_from_str(text, "%H:%M:%S"));
    read.map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        Error::new(Kind::Invalid, format!("`{shown}` is no time of day"))
            .with_sqlstate("22007")
            .with_hint("write hours and minutes, from 00:00 to 23:59, for example '02:00'")
    })
}

/// The zone of that name, whatever the case of its letters.
fn zone_named(text: &str) -> Result<Tz> {
    let text = text.trim();
    if let Ok(zone) = text.parse::<Tz>() {
        return Ok(zone);
    }
    let mut names = chrono_tz::TZ_VARIANTS.iter();
    if let Some(zone) = names.find(|zone| zone.name().eq_ignore_ascii_case(text)) {
        return Ok(*zone);
    }
    let close = did_you_mean(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
    let shown: String = text.chars().take(80).collect();
    Err(Error::new(Kind::Invalid, format!("there is no time zone `{shown}`{close}"))
        .with_hint("write a name of the IANA database, for example 'Europe/Berlin' or 'UTC'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Micros {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
    }

    fn due(time: &str, zone: &str, date: &str) -> Option<Micros> {
        Schedule::parse(time, zone).unwrap().due(date.parse().unwrap())
    }

    #[test]
    fn a_gap_is_due_right_after_it_and_a_time_that_comes_twice_the_first_time() {
        for (time, zone, date, expected) in [
            ("02:00", "Europe/Berlin", "2026-03-28", "2026-03-28T01:00:00Z"),
            ("02:00", "Europe/Berlin", "2026-03-29", "2026-03-29T01:00:00Z"),
            ("02:30", "Europe/Berlin", "2026-03-29", "2026-03-29T01:00:00Z"),
            ("03:00", "Europe/Berlin", "2026-03-29", "2026-03-29T01:00:00Z"),
            ("02:30", "Europe/Berlin", "2026-10-25", "2026-10-25T00:30:00Z"),
            ("03:00", "Europe/Berlin", "2026-10-25", "2026-10-25T02:00:00Z"),
            ("00:00", "America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z"),
            ("02:15", "Australia/Lord_Howe", "2026-10-04", "2026-10-03T15:30:00Z"),
            ("23:59:59", "Asia/Kathmandu", "2026-01-01", "2026-01-01T18:14:59Z"),
        ] {
            assert_eq!(due(time, zone, date), Some(at(expected)), "{date} {time} {zone}");
        }
        // Samoa went from the 29th to the 31st.
        assert_eq!(due("02:00", "Pacific/Apia", "2011-12-30"), None);
        assert_eq!(due("00:00", "Pacific/Apia", "2011-12-31"), Some(at("2011-12-30T10:00:00Z")));
    }

    #[test]
    fn what_was_missed_is_made_up_for_once() {
        let schedule = Schedule::parse("02:00", "Europe/Berlin").unwrap();
        let date = |text: &str| text.parse::<NaiveDate>().unwrap();
        let began = at("2026-05-01T12:00:00Z");
        let first = at("2026-05-02T00:00:00Z");
        assert_eq!(schedule.at(began, None, began), Moment::Wait(first), "not at once");
        assert_eq!(schedule.at(first, None, began), Moment::Due(date("2026-05-02"), first));
        let late = at("2026-05-09T17:00:00Z");
        let newest = Moment::Due(date("2026-05-09"), at("2026-05-09T00:00:00Z"));
        assert_eq!(schedule.at(late, Some(date("2026-05-02")), began), newest);
        let next = Moment::Wait(at("2026-05-10T00:00:00Z"));
        assert_eq!(schedule.at(late, Some(date("2026-05-09")), began), next);
        // A clock that goes wrong by a day or a year begins nothing twice.
        assert_eq!(schedule.at(first, Some(date("2026-05-09")), began), next);
        assert_eq!(schedule.at(at("2025-05-09T17:00:00Z"), Some(date("2026-05-09")), began), next);
    }

    #[test]
    fn what_is_no_time_or_no_zone_is_named() {
        for text in ["24:00", "2", "02:60", "noon", ""] {
            let error = Schedule::parse(text, "UTC").unwrap_err();
            assert_eq!(error.sqlstate(), "22007", "{text}");
        }
        let error = Schedule::parse("02:00", "Europe/Berlim").unwrap_err();
        assert!(error.what().contains("`Europe/Berlim` (did you mean `Europe/Berlin`?)"), "{error}");
        assert_eq!(Schedule::parse("02:00", "europe/berlin").unwrap().zone(), "Europe/Berlin");
        assert_eq!(Schedule::parse(" 2:05 ", "UTC").unwrap().time(), "02:05");
    }
}
