//! The clock of a simulated vendor: it runs with the machine's, ahead or behind, or stands still.

use std::time::Duration;

use parking_lot::Mutex;

use crate::model::{Micros, now_micros};

/// The vendor's time. Tokens, windows, stamps of records and the `Date` header come from it.
#[derive(Debug, Default)]
pub struct Clock(Mutex<Hands>);

#[derive(Debug, Default)]
struct Hands {
    ahead: i64,
    frozen: Option<Micros>,
}

impl Clock {
    /// The vendor's time in microseconds since 1970.
    pub fn micros(&self) -> Micros {
        let hands = self.0.lock();
        hands.frozen.unwrap_or_else(|| now_micros() + hands.ahead)
    }

    /// The vendor's time in milliseconds since 1970.
    pub fn millis(&self) -> i64 {
        self.micros().div_euclid(1_000)
    }

    /// Jumps to a moment, forwards or backwards, and goes on from there (or stands there, when it stood).
    pub fn set_micros(&self, moment: Micros) {
        let mut hands = self.0.lock();
        match hands.frozen {
            Some(_) => hands.frozen = Some(moment),
            None => hands.ahead = moment - now_micros(),
        }
    }

    /// Jumps forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX / 4);
        self.set_micros(self.micros() + by);
    }

    /// Jumps backward.
    pub fn set_back(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX / 4);
        self.set_micros(self.micros() - by);
    }

    /// Stands still from now on: everything that happens has one and the same time.
    pub fn freeze(&self) {
        let now = self.micros();
        self.0.lock().frozen = Some(now);
    }

    /// Runs again from where it stands.
    pub fn thaw(&self) {
        let mut hands = self.0.lock();
        if let Some(moment) = hands.frozen.take() {
            hands.ahead = moment - now_micros();
        }
    }
}

/// `2024-09-13T20:23:03.332Z`.
pub(super) fn iso_millis(millis: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The `Date` header of an answer (RFC 9110, IMF-fixdate).
pub(super) fn http_date(micros: Micros) -> String {
    let time = chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default();
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Reads `2024-09-13T20:23:03.332Z` and the other spellings of RFC 3339, and `2024-09-13`, as milliseconds.
pub(super) fn parse_millis(text: &str) -> Option<i64> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_clock_stands_and_goes_on_from_there() {
        let clock = Clock::default();
        clock.freeze();
        let moment = clock.micros();
        assert_eq!(clock.micros(), moment);
        clock.advance(Duration::from_secs(3600));
        assert_eq!(clock.micros(), moment + 3_600_000_000);
        clock.thaw();
        assert!((clock.micros() - moment - 3_600_000_000).abs() < 5_000_000);
        clock.set_back(Duration::from_secs(7200));
        assert!((clock.micros() - moment + 3_600_000_000).abs() < 5_000_000);
    }

    #[test]
    fn times_are_written_as_the_vendors_write_them() {
        assert_eq!(iso_millis(1_726_258_983_332), "2024-09-13T20:23:03.332Z");
        assert_eq!(parse_millis("2024-09-13T20:23:03.332Z"), Some(1_726_258_983_332));
        assert_eq!(parse_millis("2024-09-13"), Some(1_726_185_600_000));
        assert_eq!(http_date(784_111_777_000_000), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
