//! Time zones: the one in which a session reads and shows points in time, and those named in statements.

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{OffsetName, Tz};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Zone {
    /// Seconds east of UTC.
    Fixed(i32),
    /// A zone with rules.
    Named(Tz),
}

/// Abbreviations that PostgreSQL knows wherever a zone is written in a value, in seconds east of UTC.
const ABBREVIATIONS: &[(&str, i32)] = &[
    ("acst", 34_200),
    ("aest", 36_000),
    ("akdt", -28_800),
    ("akst", -32_400),
    ("ast", -14_400),
    ("awst", 28_800),
    ("bst", 3_600),
    ("cdt", -18_000),
    ("cest", 7_200),
    ("cet", 3_600),
    ("cst", -21_600),
    ("edt", -14_400),
    ("eest", 10_800),
    ("eet", 7_200),
    ("est", -18_000),
    ("gmt", 0),
    ("hst", -36_000),
    ("ist", 7_200),
    ("jst", 32_400),
    ("kst", 32_400),
    ("mdt", -21_600),
    ("mst", -25_200),
    ("nzdt", 46_800),
    ("nzst", 43_200),
    ("pdt", -25_200),
    ("pst", -28_800),
    ("sast", 7_200),
    ("uct", 0),
    ("ut", 0),
    ("utc", 0),
    ("wet", 0),
    ("z", 0),
    ("zulu", 0),
];

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Zone = Zone::Fixed(0);

    /// Reads what `SET timezone` is given: the zone, and the setting as `SHOW` prints it. A plain number counts hours
    /// east of UTC; in `+02:00` and `ABC+2` the sign is that of POSIX, against all others.
    pub(super) fn of_given(text: &str) -> Option<(Zone, String)> {
        let text = text.trim();
        if let Ok(hours) = text.parse::<f64>() {
            let seconds = (hours * 3_600.0).round();
            let zone = (seconds.abs() < 168.0 * 3_600.0).then_some(Zone::Fixed(seconds as i32))?;
            return Some((zone, shown_offset(seconds as i32)));
        }
        match named(text) {
            Some((zone, name)) => Some((zone, name.to_string())),
            None => posix(text).map(|seconds| (Zone::Fixed(seconds), text.to_uppercase())),
        }
    }

    /// Reads the setting `TimeZone` as `SHOW` prints it.
    pub fn of_setting(text: &str) -> Zone {
        if text == "UTC" {
            return Zone::UTC;
        }
        Zone::of_given(text).map_or(Zone::UTC, |(zone, _)| zone)
    }

    /// The zone that a value or `AT TIME ZONE` names: an abbreviation, a zone with rules, or an offset of POSIX.
    pub fn of_name(text: &str) -> Option<Zone> {
        let lower = text.trim().to_ascii_lowercase();
        if let Some((_, seconds)) = ABBREVIATIONS.iter().find(|(name, _)| *name == lower) {
            return Some(Zone::Fixed(*seconds));
        }
        named(&lower).map(|(zone, _)| zone).or_else(|| posix(&lower).map(Zone::Fixed))
    }

    /// Seconds east of UTC at a point in time.
    pub fn offset_at(self, micros: i64) -> i32 {
        match self {
            Zone::Fixed(seconds) => seconds,
            Zone::Named(zone) => DateTime::from_timestamp_micros(micros)
                .map_or(0, |at| zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()),
        }
    }

    /// The short name of the zone at a point in time, such as `CEST`.
    pub fn abbreviation_at(self, micros: i64) -> String {
        match self {
            Zone::Fixed(0) => "UTC".into(),
            Zone::Fixed(seconds) => {
                let (sign, size) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
                match size / 60 % 60 {
                    0 => format!("{sign}{:02}", size / 3_600),
                    minutes => format!("{sign}{:02}:{minutes:02}", size / 3_600),
                }
            }
            Zone::Named(zone) => {
                let at = DateTime::from_timestamp_micros(micros).unwrap_or_default();
                let offset = zone.offset_from_utc_datetime(&at.naive_utc());
                if let Some(name) = offset.abbreviation() {
                    return name.to_string();
                }
                // Many zones are called by their offset.
                let seconds = offset.fix().local_minus_utc();
                let (sign, size) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
                match size / 60 % 60 {
                    0 => format!("{sign}{:02}", size / 3_600),
                    minutes => format!("{sign}{:02}{minutes:02}", size / 3_600),
                }
            }
        }
    }

    /// What clocks of this zone show at a point in time.
    pub fn to_local(self, micros: i64) -> i64 {
        match micros {
            i64::MAX | i64::MIN => micros,
            _ => micros.saturating_add(i64::from(self.offset_at(micros)) * MICROS_PER_SECOND),
        }
    }

    /// The point in time at which clocks of this zone show `local`. As in PostgreSQL, a time that is skipped is read
    /// by the offset before the change, one that is repeated by the offset after it.
    pub fn to_utc(self, local: i64) -> i64 {
        if matches!(local, i64::MAX | i64::MIN) {
            return local;
        }
        let offset = |at: i64| i64::from(self.offset_at(at)) * MICROS_PER_SECOND;
        let before = local.saturating_sub(offset(local.saturating_sub(MICROS_PER_DAY)));
        let after = local.saturating_sub(offset(local.saturating_add(MICROS_PER_DAY)));
        let shows_it = |at: i64| self.to_local(at) == local;
        if shows_it(after) { after } else { before }
    }
}

/// A zone with rules by its name, whatever the case, and the name as it is written.
fn named(text: &str) -> Option<(Zone, &'static str)> {
    let found = chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(text))?;
    let is_utc = ["UTC", "Etc/UTC", "UCT", "Etc/UCT", "Zulu", "Etc/Zulu", "Universal", "GMT", "Etc/GMT"];
    let zone = if is_utc.contains(&found.name()) { Zone::UTC } else { Zone::Named(*found) };
    Some((zone, found.name()))
}

/// Seconds east of UTC of `<+02>-02`, `+02:00` or `ABC-2`. The name may be anything, and missing.
fn posix(text: &str) -> Option<i32> {
    let rest = match text.strip_prefix('<') {
        Some(rest) => rest.split_once('>')?.1,
        None => text.split_at(text.find(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | ','))?).1,
    };
    let (sign, digits) = match rest.strip_prefix('-') {
        Some(digits) => (1, digits),
        None => (-1, rest.strip_prefix('+').unwrap_or(rest)),
    };
    // Seven days less an hour, minutes, and seconds of which one may be inserted.
    let mut units = [(3_600, 167), (60, 59), (1, 60)].into_iter();
    let mut seconds = 0;
    for part in digits.split(':') {
        let (unit, most) = units.next()?;
        let is_number = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        seconds += part.parse::<i32>().ok().filter(|number| is_number && *number <= most)? * unit;
    }
    Some(sign * seconds)
}

/// `<+05:30>-05:30`
fn shown_offset(seconds: i32) -> String {
    let (mut digits, sizes) = (String::new(), seconds.unsigned_abs());
    digits += &format!("{:02}", sizes / 3_600);
    if sizes % 3_600 != 0 {
        digits += &format!(":{:02}", sizes / 60 % 60);
    }
    if sizes % 60 != 0 {
        digits += &format!(":{:02}", sizes % 60);
    }
    let (sign, against) = if seconds < 0 { ('-', '+') } else { ('+', '-') };
    format!("<{sign}{digits}>{against}{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600 * MICROS_PER_SECOND;

    /// Each pair was answered by PostgreSQL.
    #[test]
    fn settings_are_read_and_shown_as_in_postgresql() {
        for (given, shown, hours) in [
            ("europe/berlin", Some("Europe/Berlin"), 1.0),
            ("utc", Some("UTC"), 0.0),
            ("+02", Some("<+02>-02"), 2.0),
            ("+02:00", Some("+02:00"), -2.0),
            ("UTC+2", Some("UTC+2"), -2.0),
            ("-7", Some("<-07>+07"), -7.0),
            ("5.5", Some("<+05:30>-05:30"), 5.5),
            ("<+03>-03", Some("<+03>-03"), 3.0),
            ("EST", Some("EST"), -5.0),
            ("Zulu", Some("Zulu"), 0.0),
            ("PST", None, 0.0),
            ("nowhere", None, 0.0),
            ("z", None, 0.0),
        ] {
            let found = Zone::of_given(given);
            assert_eq!(found.as_ref().map(|(_, name)| name.as_str()), shown, "{given}");
            let Some((zone, name)) = found else { continue };
            assert_eq!(f64::from(zone.offset_at(0)) / 3_600.0, hours, "{given}");
            assert_eq!(Zone::of_setting(&name).offset_at(0), zone.offset_at(0), "{given}");
        }
    }

    #[test]
    fn a_zone_is_called_by_its_abbreviation_or_its_offset() {
        for (zone, expected) in [
            ("Europe/Berlin", "CET"),
            ("America/Sao_Paulo", "-03"),
            ("Asia/Kathmandu", "+0530"),
            ("<+05:30>-05:30", "+05:30"),
            ("UTC", "UTC"),
        ] {
            assert_eq!(Zone::of_setting(zone).abbreviation_at(0), expected, "{zone}");
        }
    }

    #[test]
    fn clocks_lead_back_to_points_in_time() {
        let berlin = Zone::of_setting("Europe/Berlin");
        let day = |day: i64| day * MICROS_PER_DAY;
        let (winter, summer) = (day(18_266) + 11 * HOUR, day(18_448) + 11 * HOUR);
        assert_eq!(berlin.to_utc(winter), winter - HOUR);
        assert_eq!(berlin.to_utc(summer), summer - 2 * HOUR);
        // 2020-03-29 02:30 is skipped, 2020-10-25 02:30 is there twice.
        let skipped = day(18_350) + 5 * HOUR / 2;
        assert_eq!(berlin.to_utc(skipped), skipped - HOUR);
        let repeated = day(18_560) + 5 * HOUR / 2;
        assert_eq!(berlin.to_utc(repeated), repeated - HOUR);
        assert_eq!(berlin.to_utc(day(18_350) + 12 * HOUR), day(18_350) + 10 * HOUR);
        assert_eq!(berlin.to_local(i64::MAX), i64::MAX);
    }
}
