//! Days and points in time, read digit by digit: a page has thousands of them.

const DAY: i64 = 86_400_000_000;

/// Days since 1970: `2026-10-31`, also with a time of midnight behind it, or milliseconds at midnight UTC.
pub(super) fn date(text: &str) -> Option<i32> {
    if let Some(micros) = milliseconds(text) {
        return (micros % DAY == 0).then(|| i32::try_from(micros / DAY).ok())?;
    }
    let bytes = text.as_bytes();
    if bytes.len() == 10 {
        return i32::try_from(days(bytes)?).ok();
    }
    let micros = timestamp(text)?;
    (micros % DAY == 0).then(|| i32::try_from(micros / DAY).ok())?
}

/// Microseconds since 1970 UTC: RFC 3339 with `T` or a blank, with any number of digits of a second, with `Z`,
/// `+hh:mm`, `+hhmm`, `+hh` or nothing (UTC) behind it; a day alone; or milliseconds since 1970. A leap second, 24:00
/// and what is finer than a microsecond do not fit.
pub(crate) fn timestamp(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < 10 || bytes[4] != b'-' {
        return milliseconds(text);
    }
    let day = days(&bytes[..10])?.checked_mul(DAY)?;
    if bytes.len() == 10 {
        return Some(day);
    }
    if !matches!(bytes[10], b'T' | b't' | b' ') || bytes.len() < 16 || bytes[13] != b':' {
        return None;
    }
    let (hour, minute) = (two(&bytes[11..13])?, two(&bytes[14..16])?);
    let mut rest = &bytes[16..];
    let mut second = 0;
    let mut fraction = 0;
    if let [b':', tail @ ..] = rest {
        second = two(tail.get(..2)?)?;
        rest = &tail[2..];
        if let [b'.' | b',', tail @ ..] = rest {
            let length = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
            fraction = micros(&tail[..length])?;
            rest = &tail[length..];
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let clock = ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction;
    Some(day + clock - ahead(rest)?)
}

/// Milliseconds since 1970 as microseconds; a number and nothing else, between the years 1 and 9999.
fn milliseconds(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || digits.len() > 15 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let micros = text.parse::<i64>().ok()?.checked_mul(1000)?;
    (-62_135_596_800_000_000..253_402_300_800_000_000).contains(&micros).then_some(micros)
}

fn two(bytes: &[u8]) -> Option<i64> {
    match bytes {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(i64::from(a - b'0') * 10 + i64::from(b - b'0')),
        _ => None,
    }
}

/// Digits behind the point as microseconds.
fn micros(digits: &[u8]) -> Option<i64> {
    let (kept, dropped) = digits.split_at(digits.len().min(6));
    if digits.is_empty() || dropped.iter().any(|byte| *byte != b'0') {
        return None;
    }
    let value = kept.iter().fold(0, |value, byte| value * 10 + i64::from(byte - b'0'));
    Some(value * 10_i64.pow(6 - kept.len() as u32))
}

/// How far an offset is ahead of UTC, in microseconds.
fn ahead(offset: &[u8]) -> Option<i64> {
    let offset = offset.strip_prefix(b" ").unwrap_or(offset);
    let (sign, digits) = match offset {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits {
        [_, _] => (two(digits)?, 0),
        [a, b, c, d] => (two(&[*a, *b])?, two(&[*c, *d])?),
        [a, b, b':', c, d] => (two(&[*a, *b])?, two(&[*c, *d])?),
        _ => return None,
    };
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000_000)
}

/// Days since 1970 of `YYYY-MM-DD`, for the years 1 to 9999 of the Gregorian calendar
/// (Howard Hinnant's `days_from_civil`).
fn days(text: &[u8]) -> Option<i64> {
    let [a, b, c, d, b'-', e, f, b'-', g, h] = text else { return None };
    let year = two(&[*a, *b])? * 100 + two(&[*c, *d])?;
    let (month, day) = (two(&[*e, *f])?, two(&[*g, *h])?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        _ => return None,
    };
    if year == 0 || !(1..=length).contains(&day) {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}
