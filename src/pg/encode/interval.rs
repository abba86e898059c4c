//! Intervals as PostgreSQL writes them in each `IntervalStyle`.

use super::number::integer;
use super::time::{MICROS_PER_SECOND, fraction, two};
use crate::query::{IntervalStyle, Span};

pub(super) fn interval_text(span: Span, style: IntervalStyle, out: &mut Vec<u8>) {
    match style {
        IntervalStyle::Postgres => span.write(out),
        IntervalStyle::Verbose => verbose(span, out),
        IntervalStyle::Standard => standard(span, out),
        IntervalStyle::Iso8601 => iso(span, out),
    }
}

/// Years, months, days, hours, minutes, seconds, and microseconds beyond: all of the time with one sign.
fn parts(span: Span) -> [i64; 7] {
    let (micros, second) = (span.micros, MICROS_PER_SECOND);
    [
        i64::from(span.months / 12),
        i64::from(span.months % 12),
        i64::from(span.days),
        micros / (3_600 * second),
        micros / (60 * second) % 60,
        micros / second % 60,
        micros % second,
    ]
}

/// Seconds with a fraction where there is one.
fn seconds(seconds: i64, micros: i64, filled: bool, out: &mut Vec<u8>) {
    let whole = seconds.unsigned_abs() as u32;
    if filled {
        two(whole, out);
    } else {
        integer(whole, out);
    }
    fraction(micros.unsigned_abs() as u32, out);
}

/// `@ 1 mon 2 days 3 hours ago`
fn verbose(span: Span, out: &mut Vec<u8>) {
    let [years, months, days, hours, minutes, secs, micros] = parts(span);
    out.push(b'@');
    // The first part tells the direction; one that goes against it has a sign.
    let mut is_before = None;
    for (value, unit) in [(years, "year"), (months, "mon"), (days, "day"), (hours, "hour"), (minutes, "min")]
    {
        if value == 0 {
            continue;
        }
        let value = match is_before {
            None => {
                is_before = Some(value < 0);
                value.abs()
            }
            Some(true) => -value,
            Some(false) => value,
        };
        out.push(b' ');
        integer(value, out);
        out.push(b' ');
        out.extend_from_slice(unit.as_bytes());
        if value != 1 {
            out.push(b's');
        }
    }
    if secs != 0 || micros != 0 {
        out.push(b' ');
        let is_negative = secs < 0 || micros < 0;
        match is_before {
            None => is_before = Some(is_negative),
            Some(is_before) if is_before != is_negative => out.push(b'-'),
            Some(_) => {}
        }
        seconds(secs, micros, false, out);
        out.extend_from_slice(if secs.abs() == 1 && micros == 0 { b" sec" } else { b" secs" });
    }
    match is_before {
        None => out.extend_from_slice(b" 0"),
        Some(true) => out.extend_from_slice(b" ago"),
        Some(false) => {}
    }
}

/// `1-2`, `3 4:05:06`, or all of it with signs where the standard has no form.
fn standard(span: Span, out: &mut Vec<u8>) {
    let parts = parts(span);
    let has_negative = parts.iter().any(|part| *part < 0);
    let has_positive = parts.iter().any(|part| *part > 0);
    let has_months = parts[0] != 0 || parts[1] != 0;
    let has_time = parts[2..].iter().any(|part| *part != 0);
    let [years, months, days, hours, minutes, secs, micros] = parts;
    let sign = |is_negative: bool| if is_negative { b'-' } else { b'+' };
    let clock = |out: &mut Vec<u8>| {
        integer(hours.unsigned_abs(), out);
        out.push(b':');
        two(minutes.unsigned_abs() as u32, out);
        out.push(b':');
        seconds(secs, micros, true, out);
    };
    if !has_negative && !has_positive {
        return out.push(b'0');
    }
    if (has_negative && has_positive) || (has_months && has_time) {
        out.push(sign(years < 0 || months < 0));
        integer(years.unsigned_abs(), out);
        out.push(b'-');
        integer(months.unsigned_abs(), out);
        out.extend_from_slice(&[b' ', sign(days < 0)]);
        integer(days.unsigned_abs(), out);
        out.extend_from_slice(&[b' ', sign(span.micros < 0)]);
        return clock(out);
    }
    if has_negative {
        out.push(b'-');
    }
    if has_months {
        integer(years.unsigned_abs(), out);
        out.push(b'-');
        return integer(months.unsigned_abs(), out);
    }
    if days != 0 {
        integer(days.unsigned_abs(), out);
        out.push(b' ');
    }
    clock(out);
}

/// `P1Y2M3DT4H5M6S`
fn iso(span: Span, out: &mut Vec<u8>) {
    let [years, months, days, hours, minutes, secs, micros] = parts(span);
    let part = |value: i64, unit: u8, out: &mut Vec<u8>| {
        if value != 0 {
            integer(value, out);
            out.push(unit);
        }
    };
    if (Span { months: 0, days: 0, micros: 0 }) == span {
        return out.extend_from_slice(b"PT0S");
    }
    out.push(b'P');
    part(years, b'Y', out);
    part(months, b'M', out);
    part(days, b'D', out);
    if span.micros != 0 {
        out.push(b'T');
    }
    part(hours, b'H', out);
    part(minutes, b'M', out);
    if secs != 0 || micros != 0 {
        if secs < 0 || micros < 0 {
            out.push(b'-');
        }
        seconds(secs, micros, false, out);
        out.push(b'S');
    }
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
            assert_eq!(
                text(|out| interval_text(Span { months, days, micros }, IntervalStyle::Postgres, out)),
                expected
            );
        }
        assert_eq!(Span::of_micros(hms(49, 0, 0)), Span { months: 0, days: 2, micros: hms(1, 0, 0) });
    }

    /// Each was answered by PostgreSQL.
    #[test]
    fn styles_are_those_of_postgres() {
        let hms = |h: i64, m: i64, s: i64| ((h * 60 + m) * 60 + s) * MICROS_PER_SECOND;
        for ((months, days, micros), verbose, standard, iso) in [
            ((0, 0, 0), "@ 0", "0", "PT0S"),
            ((14, 0, 0), "@ 1 year 2 mons", "1-2", "P1Y2M"),
            ((0, 3, hms(4, 5, 6)), "@ 3 days 4 hours 5 mins 6 secs", "3 4:05:06", "P3DT4H5M6S"),
            ((0, 0, -hms(4, 5, 1)), "@ 4 hours 5 mins 1 sec ago", "-4:05:01", "PT-4H-5M-1S"),
            (
                (-14, 3, -hms(4, 5, 6) - 500_000),
                "@ 1 year 2 mons -3 days 4 hours 5 mins 6.5 secs ago",
                "-1-2 +3 -4:05:06.5",
                "P-1Y-2M3DT-4H-5M-6.5S",
            ),
            ((0, 1, -1), "@ 1 day -0.000001 secs", "+0-0 +1 -0:00:00.000001", "P1DT-0.000001S"),
            ((1, 0, hms(0, 0, 1)), "@ 1 mon 1 sec", "+0-1 +0 +0:00:01", "P1MT1S"),
        ] {
            let span = Span { months, days, micros };
            let of = |style| text(|out| interval_text(span, style, out));
            assert_eq!(of(IntervalStyle::Verbose), verbose);
            assert_eq!(of(IntervalStyle::Standard), standard);
            assert_eq!(of(IntervalStyle::Iso8601), iso);
        }
    }

    #[test]
    fn binary_has_three_parts() {
        let mut out = Vec::new();
        interval_binary(Span { months: 1, days: 2, micros: 3 }, &mut out);
        assert_eq!(out, [0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1]);
    }
}
