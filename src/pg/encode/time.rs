//! Dates and times as PostgreSQL writes them in each `DateStyle`.

use crate::query::{DateForm, DateOrder, DateStyle, Style};

pub(super) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(super) const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
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

#[inline]
pub(super) fn two(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]);
}

fn year(year: i64, out: &mut Vec<u8>) {
    let shown = if year > 0 { year } else { 1 - year } as u64;
    if shown < 10_000 {
        two((shown / 100) as u32, out);
        two((shown % 100) as u32, out);
    } else {
        super::number::integer(shown, out);
    }
}

/// `2020-01-05`, `01/05/2020` or what else the style says, and whether ` BC` has to follow.
fn ymd(days: i64, style: DateStyle, out: &mut Vec<u8>) -> bool {
    let (civil_year, month, day) = civil_from_days(days);
    let (first, second, between) = match (style.form, style.order) {
        (DateForm::Iso, _) => {
            year(civil_year, out);
            out.push(b'-');
            two(month, out);
            out.push(b'-');
            two(day, out);
            return civil_year <= 0;
        }
        (DateForm::German, _) => (day, month, b'.'),
        (DateForm::Sql, DateOrder::Dmy) => (day, month, b'/'),
        (DateForm::Sql, _) => (month, day, b'/'),
        (DateForm::Postgres, DateOrder::Dmy) => (day, month, b'-'),
        (DateForm::Postgres, _) => (month, day, b'-'),
    };
    two(first, out);
    out.push(between);
    two(second, out);
    out.push(between);
    year(civil_year, out);
    civil_year <= 0
}

pub(super) fn date_text(days: i32, style: DateStyle, out: &mut Vec<u8>) {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        days => {
            if ymd(i64::from(days), style, out) {
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

pub(super) fn fraction(mut micros: u32, out: &mut Vec<u8>) {
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

/// A timestamp in microseconds; with a zone, as the clocks of the session's show it, followed by the offset or the
/// zone's abbreviation.
pub(super) fn timestamp_text(micros: i64, style: Style, has_zone: bool, out: &mut Vec<u8>) {
    match micros {
        i64::MAX => return out.extend_from_slice(b"infinity"),
        i64::MIN => return out.extend_from_slice(b"-infinity"),
        _ => {}
    }
    let offset = has_zone.then(|| style.zone.offset_at(micros));
    let local = micros.saturating_add(i64::from(offset.unwrap_or(0)) * MICROS_PER_SECOND);
    let (days, clock) = (local.div_euclid(MICROS_PER_DAY), local.rem_euclid(MICROS_PER_DAY));
    let is_bc = match style.dates.form {
        DateForm::Postgres => worded(days, clock, style.dates.order, out),
        _ => {
            let is_bc = ymd(days, style.dates, out);
            out.push(b' ');
            time_text(clock, out);
            is_bc
        }
    };
    if let Some(seconds) = offset {
        match style.dates.form {
            DateForm::Iso => offset_text(seconds, out),
            _ => {
                out.push(b' ');
                out.extend_from_slice(style.zone.abbreviation_at(micros).as_bytes());
            }
        }
    }
    if is_bc {
        out.extend_from_slice(b" BC");
    }
}

/// `Sun Jan 05 10:00:00 2020`, and whether ` BC` has to follow.
fn worded(days: i64, clock: i64, order: DateOrder, out: &mut Vec<u8>) -> bool {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (civil_year, month, day) = civil_from_days(days);
    let month = MONTHS[(month as usize - 1) % 12];
    out.extend_from_slice(DAYS[days.rem_euclid(7) as usize].as_bytes());
    out.push(b' ');
    if order == DateOrder::Dmy {
        two(day, out);
        out.push(b' ');
        out.extend_from_slice(month.as_bytes());
    } else {
        out.extend_from_slice(month.as_bytes());
        out.push(b' ');
        two(day, out);
    }
    out.push(b' ');
    time_text(clock, out);
    out.push(b' ');
    year(civil_year, out);
    civil_year <= 0
}

/// `+02`, `-03:30`
fn offset_text(offset: i32, out: &mut Vec<u8>) {
    out.push(if offset < 0 { b'-' } else { b'+' });
    let seconds = offset.unsigned_abs();
    two(seconds / 3600, out);
    if !seconds.is_multiple_of(3600) {
        out.push(b':');
        two(seconds / 60 % 60, out);
    }
    if !seconds.is_multiple_of(60) {
        out.push(b':');
        two(seconds % 60, out);
    }
}

pub(super) fn timestamp_binary(micros: i64, out: &mut Vec<u8>) {
    let micros = match micros {
        i64::MAX | i64::MIN => micros,
        micros => micros.saturating_sub(EPOCH_MICROS),
    };
    out.extend_from_slice(&micros.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Reading, Zone, parse_date};

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
            assert_eq!(text(|out| date_text(days, DateStyle::default(), out)), expected, "{days}");
        }
    }

    #[test]
    fn civil_days_count_both_ways() {
        for days in (-1_000_000..1_000_000).step_by(97) {
            let (year, month, day) = civil_from_days(days);
            let text = format!(
                "{:04}-{month:02}-{day:02}{}",
                if year > 0 { year } else { 1 - year },
                if year > 0 { "" } else { " BC" }
            );
            assert_eq!(i64::from(parse_date(&text, Reading::UTC).unwrap()), days, "{text}");
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
            let style = Style::in_zone(zone.unwrap_or(Zone::UTC));
            assert_eq!(text(|out| timestamp_text(micros, style, zone.is_some(), out)), expected);
        }
    }

    /// Answered by PostgreSQL for `2020-07-05 10:00:00.5+00` in each style.
    #[test]
    fn styles_are_those_of_postgres() {
        let micros = 1_593_943_200_500_000;
        let berlin = Zone::of_setting("Europe/Berlin");
        let of = |form, order| DateStyle { form, order };
        use DateForm::{German, Postgres, Sql};
        use DateOrder::{Dmy, Mdy, Ymd};
        for (dates, date, timestamp) in [
            (of(Sql, Mdy), "07/05/2020", "07/05/2020 12:00:00.5 CEST"),
            (of(Sql, Ymd), "07/05/2020", "07/05/2020 12:00:00.5 CEST"),
            (of(Sql, Dmy), "05/07/2020", "05/07/2020 12:00:00.5 CEST"),
            (of(German, Mdy), "05.07.2020", "05.07.2020 12:00:00.5 CEST"),
            (of(Postgres, Mdy), "07-05-2020", "Sun Jul 05 12:00:00.5 2020 CEST"),
            (of(Postgres, Dmy), "05-07-2020", "Sun 05 Jul 12:00:00.5 2020 CEST"),
        ] {
            let style = Style { dates, ..Style::in_zone(berlin) };
            assert_eq!(text(|out| date_text(18_448, dates, out)), date);
            assert_eq!(text(|out| timestamp_text(micros, style, true, out)), timestamp);
        }
    }

    #[test]
    fn binary_counts_from_2000() {
        let mut out = Vec::new();
        date_binary(EPOCH_DAYS + 1, &mut out);
        timestamp_binary(EPOCH_MICROS - 1, &mut out);
        let expected = [&1_i32.to_be_bytes()[..], &(-1_i64).to_be_bytes()].concat();
        assert_eq!(out, expected);
    }
}
