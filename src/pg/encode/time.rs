//! Dates, times and intervals as PostgreSQL writes them (`DateStyle` ISO, `IntervalStyle` postgres).

use crate::query::{Span, Zone};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// Days and microseconds from 1970, where Arrow counts from, to 2000, where PostgreSQL's binary form does.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * MICROS_PER_DAY;

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
pub(super) fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as u32, day as u32)
}

/// The reverse of [`civil_from_days`].
pub(crate) fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let day_of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

pub(crate) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[inline]
fn two(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]);
}

/// `2020-01-05`, and whether ` BC` has to follow.
fn ymd(days: i64, out: &mut Vec<u8>) -> bool {
    let (year, month, day) = civil_from_days(days);
    let shown = if year > 0 { year } else { 1 - year } as u64;
    if shown < 10_000 {
        two((shown / 100) as u32, out);
        two((shown % 100) as u32, out);
    } else {
        super::number::integer(shown, out);
    }
    out.push(b'-');
    two(month, out);
    out.push(b'-');
    two(day, out);
    year <= 0
}

pub(super) fn date_text(days: i32, out: &mut Vec<u8>) {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        days => {
            if ymd(i64::from(days), out) {
                out.extend_from_slice(b" BC");
            }
        }
    }
}

pub(super) fn date_binary(days: i32, out: &mut Vec<u8>) {
    let days = match days {
        i32::MAX | i32::MIN => days,
        days => days.saturating_sub(EPOCH_DAYS),
    };
    out.extend_from_slice(&days.to_be_bytes());
}

/// `12:34:56`, with a fraction only where there is one.
pub(super) fn time_text(micros: i64, out: &mut Vec<u8>) {
    let seconds = (micros / MICROS_PER_SECOND) as u32;
    two(seconds / 3600, out);
    out.push(b':');
    two(seconds / 60 % 60, out);
    out.push(b':');
    two(seconds % 60, out);
    fraction((micros % MICROS_PER_SECOND) as u32, out);
}

fn fraction(mut micros: u32, out: &mut Vec<u8>) {
    if micros == 0 {
        return;
    }
    let mut digits = 6;
    while micros.is_multiple_of(10) {
        micros /= 10;
        digits -= 1;
    }
    out.push(b'.');
    let at = out.len();
    out.resize(at + digits, b'0');
    for digit in out[at..].iter_mut().rev() {
        *digit = b'0' + (micros % 10) as u8;
        micros /= 10;
    }
}

/// A timestamp in microseconds; with `zone`, as its clocks show it and followed by the offset.
pub(super) fn timestamp_text(micros: i64, zone: Option<Zone>, out: &mut Vec<u8>) {
    match micros {
        i64::MAX => return out.extend_from_slice(b"infinity"),
        i64::MIN => return out.extend_from_slice(b"-infinity"),
        _ => {}
    }
    let offset = zone.map(|zone| zone.offset_at(micros));
    let local = micros.saturating_add(i64::from(offset.unwrap_or(0)) * MICROS_PER_SECOND);
    let bc = ymd(local.div_euclid(MICROS_PER_DAY), out);
    out.push(b' ');
    time_text(local.rem_euclid(MICROS_PER_DAY), out);
    if let Some(offset) = offset {
        out.push(if offset < 0 { b'-' } else { b'+' });
        let seconds = offset.unsigned_abs();
        two(seconds / 3600, out);
        if seconds % 3600 != 0 {
            out.push(b':');
            two(seconds / 60 % 60, out);
        }
        if seconds % 60 != 0 {
            out.push(b':');
            two(seconds % 60, out);
        }
    }
    if bc {
        out.extend_from_slice(b" BC");
    }
}

pub(super) fn timestamp_binary(micros: i64, out: &mut Vec<u8>) {
    let micros = match micros {
        i64::MAX | i64::MIN => micros,
        micros => micros.saturating_sub(EPOCH_MICROS),
    };
    out.extend_from_slice(&micros.to_be_bytes());
}

pub(super) fn interval_text(span: Span, out: &mut Vec<u8>) {
    span.write(out);
}

pub(super) fn interval_binary(span: Span, out: &mut Vec<u8>) {
    out.extend_from_slice(&span.micros.to_be_bytes());
    out.extend_from_slice(&span.days.to_be_bytes());
    out.extend_from_slice(&span.months.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_are_those_of_postgres() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (18_266, "2020-01-05"),
            (-1, "1969-12-31"),
            (-719_528, "0001-01-01 BC"),
            (-735_160, "0044-03-15 BC"),
            (2_932_896, "9999-12-31"),
            (2_932_897, "10000-01-01"),
            (i32::MAX, "infinity"),
        ] {
            assert_eq!(text(|out| date_text(days, out)), expected, "{days}");
        }
    }

    #[test]
    fn civil_days_count_both_ways() {
        for days in (-1_000_000..1_000_000).step_by(97) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn timestamps_are_those_of_postgres() {
        let ten = 1_578_218_400_000_000; // 2020-01-05 10:00:00 UTC
        let berlin = Zone::of_setting("Europe/Berlin");
        for (micros, zone, expected) in [
            (ten, None, "2020-01-05 10:00:00"),
            (ten + 500_000, None, "2020-01-05 10:00:00.5"),
            (ten + 1, Some(Zone::UTC), "2020-01-05 10:00:00.000001+00"),
            (ten, Some(berlin), "2020-01-05 11:00:00+01"),
            (ten + 182 * MICROS_PER_DAY, Some(berlin), "2020-07-05 12:00:00+02"),
            (ten, Some(Zone::of_setting("Asia/Kolkata")), "2020-01-05 15:30:00+05:30"),
            (ten, Some(Zone::of_setting("<-07>+07")), "2020-01-05 03:00:00-07"),
            (-1, None, "1969-12-31 23:59:59.999999"),
            (i64::MAX, None, "infinity"),
            (i64::MIN, Some(Zone::UTC), "-infinity"),
            (-62_167_219_200_000_000, Some(Zone::UTC), "0001-01-01 00:00:00+00 BC"),
        ] {
            assert_eq!(text(|out| timestamp_text(micros, zone, out)), expected);
        }
    }

    #[test]
    fn intervals_are_those_of_postgres() {
        let hms = |h: i64, m: i64, s: i64| ((h * 60 + m) * 60 + s) * MICROS_PER_SECOND;
        for ((months, days, micros), expected) in [
            ((0, 0, 0), "00:00:00"),
            ((14, 3, hms(4, 5, 6) + 500_000), "1 year 2 mons 3 days 04:05:06.5"),
            ((-14, 3, -hms(4, 5, 6)), "-1 years -2 mons +3 days -04:05:06"),
            ((0, -1, hms(2, 3, 4)), "-1 days +02:03:04"),
            ((1, 1, 0), "1 mon 1 day"),
            ((0, 0, hms(100, 0, 0)), "100:00:00"),
            ((0, 0, -1), "-00:00:00.000001"),
        ] {
            assert_eq!(text(|out| interval_text(Span { months, days, micros }, out)), expected);
        }
        assert_eq!(Span::of_micros(hms(49, 0, 0)), Span { months: 0, days: 2, micros: hms(1, 0, 0) });
    }

    #[test]
    fn binary_counts_from_2000() {
        let mut out = Vec::new();
        date_binary(EPOCH_DAYS + 1, &mut out);
        timestamp_binary(EPOCH_MICROS - 1, &mut out);
        interval_binary(Span { months: 1, days: 2, micros: 3 }, &mut out);
        let expected = [&1_i32.to_be_bytes()[..], &(-1_i64).to_be_bytes()].concat();
        assert_eq!(out[..12], expected);
        assert_eq!(out[12..], [0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1]);
    }
}
