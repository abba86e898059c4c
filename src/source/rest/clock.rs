//! Times as sources write them, and the source's own clock.

use chrono::{DateTime, SecondsFormat};

use crate::catalog::manifest::TimeFormat;
use crate::model::Micros;

/// A time in a source's format, rounded down; `None` for one that the format cannot hold.
pub(crate) fn written(format: TimeFormat, micros: Micros) -> Option<String> {
    let text = |digits| DateTime::from_timestamp_micros(micros).map(|at| at.to_rfc3339_opts(digits, true));
    match format {
        TimeFormat::Rfc3339 => text(SecondsFormat::Millis),
        TimeFormat::Rfc3339Seconds => text(SecondsFormat::Secs),
        TimeFormat::Date => text(SecondsFormat::Secs)?.get(..10).map(str::to_string),
        TimeFormat::EpochMs => Some(micros.div_euclid(1000).to_string()),
        TimeFormat::EpochSeconds => Some(micros.div_euclid(1_000_000).to_string()),
        TimeFormat::Opaque => None,
    }
}

/// The time of a `Date` or `Retry-After` header (RFC 9110: always GMT).
pub(crate) fn http_date(text: &str) -> Option<Micros> {
    Some(DateTime::parse_from_rfc2822(&text.replace("GMT", "+0000")).ok()?.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_sources_want_them() {
        let at = 1_727_000_000_123_999;
        for (format, expected) in [
            (TimeFormat::Rfc3339, "2024-09-22T10:13:20.123Z"),
            (TimeFormat::Rfc3339Seconds, "2024-09-22T10:13:20Z"),
            (TimeFormat::Date, "2024-09-22"),
            (TimeFormat::EpochMs, "1727000000123"),
            (TimeFormat::EpochSeconds, "1727000000"),
        ] {
            assert_eq!(written(format, at).as_deref(), Some(expected));
        }
        assert_eq!(http_date("Sun, 22 Sep 2024 10:13:20 GMT"), Some(1_727_000_000_000_000));
        assert_eq!(http_date("soon"), None);
    }
}
