//! Numbers as PostgreSQL writes them.

use arrow::datatypes::i256;

use crate::query::general;

/// An integer in text.
pub(super) fn integer<T: itoa::Integer>(value: T, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Shortest text that reads back as the same `double precision`: fixed from 1e-4 to below 1e15. With
/// `extra_float_digits` not above 0, that many digits more or less than the 15 which are sure.
pub(super) fn float8(value: f64, extra_digits: i8, out: &mut Vec<u8>) {
    match special(value) {
        Some(text) => out.extend_from_slice(text),
        None if extra_digits <= 0 => general(value, rounded(15, extra_digits), out),
        None => shortest(ryu::Buffer::new().format_finite(value).as_bytes(), 15, out),
    }
}

fn rounded(sure: i8, extra_digits: i8) -> usize {
    usize::try_from(sure + extra_digits).unwrap_or(1).max(1)
}

/// Shortest text that reads back as the same `real`: fixed from 1e-4 to below 1e6; see [`float8`].
pub(super) fn float4(value: f32, extra_digits: i8, out: &mut Vec<u8>) {
    match special(f64::from(value)) {
        Some(text) => out.extend_from_slice(text),
        None if extra_digits <= 0 => general(f64::from(value), rounded(6, extra_digits), out),
        None => shortest(ryu::Buffer::new().format_finite(value).as_bytes(), 6, out),
    }
}

fn special(value: f64) -> Option<&'static [u8]> {
    match value {
        v if v.is_nan() => Some(b"NaN"),
        f64::INFINITY => Some(b"Infinity"),
        f64::NEG_INFINITY => Some(b"-Infinity"),
        _ => None,
    }
}

/// Rewrites a shortest form such as `1.5e-7` or `1234.0` in PostgreSQL's layout.
fn shortest(text: &[u8], fixed_below: i32, out: &mut Vec<u8>) {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    // Digits without the point, and how many of them stand before it.
    let mut digits = [0_u8; 32];
    let (mut count, mut point, mut exponent) = (0, None, 0_i32);
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'.' => point = Some(count),
            b'e' => {
                exponent = std::str::from_utf8(tail).ok().and_then(|e| e.parse().ok()).unwrap_or(0);
                break;
            }
            digit => {
                digits[count] = *digit;
                count += 1;
            }
        }
    }
    let mut before = point.unwrap_or(count) as i32 + exponent;
    let leading = digits[..count].iter().take_while(|d| **d == b'0').count();
    let digits = &digits[leading..count];
    before -= leading as i32;
    let trailing = digits.iter().rev().take_while(|d| **d == b'0').count();
    let digits = &digits[..digits.len() - trailing];
    if negative {
        out.push(b'-');
    }
    if digits.is_empty() {
        return out.push(b'0');
    }
    let exponent = before - 1;
    if (-4..fixed_below).contains(&exponent) {
        return fixed(digits, before, out);
    }
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    if exponent.abs() < 10 {
        out.push(b'0');
    }
    integer(exponent.abs(), out);
}

/// Digits with the point after the first `before` of them, which may lie outside of them.
fn fixed(digits: &[u8], before: i32, out: &mut Vec<u8>) {
    let Ok(before @ 1..) = usize::try_from(before) else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + before.unsigned_abs() as usize, b'0');
        return out.extend_from_slice(digits);
    };
    if digits.len() <= before {
        out.extend_from_slice(digits);
        out.resize(out.len() + before - digits.len(), b'0');
    } else {
        out.extend_from_slice(&digits[..before]);
        out.push(b'.');
        out.extend_from_slice(&digits[before..]);
    }
}

/// A decimal number taken apart: sign, digits without leading zeros, and how many of them are fractional.
pub(super) struct Decimal<'a> {
    pub(super) negative: bool,
    pub(super) digits: &'a [u8],
    pub(super) scale: i32,
}

impl Decimal<'_> {
    /// Calls `then` with the parts of `value`.
    #[inline]
    pub(super) fn of_i128(value: i128, scale: i8, out: &mut Vec<u8>, then: fn(Decimal<'_>, &mut Vec<u8>)) {
        let (mut small, mut large) = (itoa::Buffer::new(), itoa::Buffer::new());
        let magnitude = value.unsigned_abs();
        // Nearly every amount fits 64 bits, whose digits come several times faster.
        let digits = match u64::try_from(magnitude) {
            Ok(0) => "",
            Ok(value) => small.format(value),
            Err(_) => large.format(magnitude),
        };
        then(Decimal { negative: value < 0, digits: digits.as_bytes(), scale: i32::from(scale) }, out);
    }

    /// Calls `then` with the parts of `value`.
    pub(super) fn of_i256(value: i256, scale: i8, out: &mut Vec<u8>, then: fn(Decimal<'_>, &mut Vec<u8>)) {
        let text = value.to_string();
        let digits = text.trim_start_matches('-').trim_start_matches('0').as_bytes();
        then(Decimal { negative: value < i256::ZERO, digits, scale: i32::from(scale) }, out);
    }
}

/// A numeric in text: all digits of its scale.
pub(super) fn numeric_text(number: Decimal<'_>, out: &mut Vec<u8>) {
    let Decimal { negative, digits, scale } = number;
    if negative {
        out.push(b'-');
    }
    if scale <= 0 {
        match digits {
            [] => out.push(b'0'),
            digits => {
                out.extend_from_slice(digits);
                out.resize(out.len() + scale.unsigned_abs() as usize, b'0');
            }
        }
        return;
    }
    let scale = scale as usize;
    if let Some(before @ 1..) = digits.len().checked_sub(scale) {
        out.extend_from_slice(&digits[..before]);
        out.push(b'.');
        out.extend_from_slice(&digits[before..]);
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + scale - digits.len(), b'0');
        out.extend_from_slice(digits);
    }
}

/// A numeric in binary: groups of four digits around the point, without zero groups at either end.
pub(super) fn numeric_binary(number: Decimal<'_>, out: &mut Vec<u8>) {
    let Decimal { negative, digits, scale } = number;
    // Digits before the point; negative when zeros stand between the point and the first digit.
    let before = digits.len() as i32 - scale;
    let integer_groups = before.div_euclid(4) + i32::from(before.rem_euclid(4) != 0);
    // Zeros in front of the first digit that complete its group.
    let pad = (integer_groups * 4 - before) as usize;
    let all = (pad + digits.len()).div_ceil(4);
    let group = |index: usize| {
        (index * 4..index * 4 + 4).fold(0_u16, |value, at| {
            let digit = at.checked_sub(pad).and_then(|at| digits.get(at)).map_or(0, |d| d - b'0');
            value * 10 + u16::from(digit)
        })
    };
    let last = (0..all).rev().find(|index| group(*index) != 0).map_or(0, |last| last + 1);
    let first = (0..last).find(|index| group(*index) != 0).unwrap_or(0);
    let weight = if last == 0 { 0 } else { integer_groups - 1 - first as i32 };
    let sign = if negative && last > 0 { 0x4000_u16 } else { 0 };
    out.extend_from_slice(&((last - first) as u16).to_be_bytes());
    out.extend_from_slice(&(weight as i16).to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&(scale.max(0) as u16).to_be_bytes());
    for index in first..last {
        out.extend_from_slice(&group(index).to_be_bytes());
    }
}

/// A numeric kept as its own text, in binary. `None` when the text is no number.
pub(super) fn numeric_of_text(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let special = match text {
        "NaN" => Some(0xC000_u16),
        "Infinity" => Some(0xD000),
        "-Infinity" => Some(0xF000),
        _ => None,
    };
    if let Some(sign) = special {
        // No digits, weight 0, the sign that says it all, scale 0.
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&sign.to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        return Some(());
    }
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || digits.len() > 100_000 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0').as_bytes();
    numeric_binary(Decimal { negative, digits, scale: fraction.len() as i32 }, out);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Expected texts were read from PostgreSQL 15.
    #[test]
    fn floats_have_postgres_shortest_form() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123456.789, "123456.789"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (123456789012345.0, "123456789012345"),
            (1234567890123456.0, "1.234567890123456e+15"),
            (1.0 / 3.0, "0.3333333333333333"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text(|out| float8(value, 1, out)), expected);
        }
        for (value, expected) in [
            (1e5_f32, "100000"),
            (1e6, "1e+06"),
            (0.1, "0.1"),
            (3.4028235e38, "3.4028235e+38"),
            (-2.5, "-2.5"),
        ] {
            assert_eq!(text(|out| float4(value, 1, out)), expected);
        }
    }

    /// Answered by PostgreSQL with `extra_float_digits` of 0, -3 and -15.
    #[test]
    fn floats_may_have_fewer_digits() {
        for (value, expected) in [
            (1.0 / 3.0, ["0.333333333333333", "0.333333333333", "0.3"]),
            (1e15, ["1e+15", "1e+15", "1e+15"]),
            (123456789012345680.0, ["1.23456789012346e+17", "1.23456789012e+17", "1e+17"]),
            (0.1, ["0.1", "0.1", "0.1"]),
            (0.00001, ["1e-05", "1e-05", "1e-05"]),
            (1234.5, ["1234.5", "1234.5", "1e+03"]),
        ] {
            assert_eq!([0, -3, -15].map(|extra| text(|out| float8(value, extra, out))), expected);
        }
        assert_eq!(text(|out| float4(1.0 / 3.0, 0, out)), "0.333333");
    }

    #[test]
    fn numerics_have_all_digits_of_their_scale() {
        for (value, scale, expected) in [
            (7_760_055_i128, 2_i8, "77600.55"),
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-5, 2, "-0.05"),
            (-123, 0, "-123"),
            (123, -2, "12300"),
            (0, -2, "0"),
            (i128::MAX, 0, "170141183460469231731687303715884105727"),
            (10_i128.pow(20) + 1, 10, "10000000000.0000000001"),
        ] {
            assert_eq!(text(|out| Decimal::of_i128(value, scale, out, numeric_text)), expected);
            let wide = i256::from_i128(value);
            assert_eq!(text(|out| Decimal::of_i256(wide, scale, out, numeric_text)), expected);
        }
    }

    fn binary(value: i128, scale: i8) -> Vec<i16> {
        let mut out = Vec::new();
        Decimal::of_i128(value, scale, &mut out, numeric_binary);
        out.chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    /// Expected words were read with `numeric_send` from PostgreSQL 15: digits, weight, sign, scale, groups.
    #[test]
    fn numerics_in_binary_are_those_of_postgres() {
        assert_eq!(binary(7_760_055, 2), [3, 1, 0, 2, 7, 7600, 5500]);
        assert_eq!(binary(0, 2), [0, 0, 0, 2]);
        assert_eq!(binary(-1, 0), [1, 0, 0x4000, 0, 1]);
        assert_eq!(binary(10_000, 0), [1, 1, 0, 0, 1]);
        assert_eq!(binary(5, 5), [1, -2, 0, 5, 5000]);
        assert_eq!(binary(1, 4), [1, -1, 0, 4, 1]);
        assert_eq!(binary(12_345_678, 4), [2, 0, 0, 4, 1234, 5678]);
        assert_eq!(binary(123, -2), [2, 1, 0, 0, 1, 2300]);
        assert_eq!(binary(100, 2), [1, 0, 0, 2, 1]);
    }

    #[test]
    fn numerics_kept_as_text_have_the_same_binary() {
        let words = |text: &str| {
            let mut out = Vec::new();
            numeric_of_text(text, &mut out)?;
            Some(out.chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect::<Vec<_>>())
        };
        assert_eq!(words("77600.55"), Some(binary(7_760_055, 2)));
        assert_eq!(words("-0.00005"), Some(binary(-5, 5)));
        assert_eq!(words("0.33333333333333333333"), Some(vec![5, -1, 0, 20, 3333, 3333, 3333, 3333, 3333]));
        assert_eq!(words("NaN"), Some(vec![0, 0, 0xC000_u16 as i16, 0]));
        for bad in ["", ".", "1e5", "abc", "--1"] {
            assert_eq!(words(bad), None, "{bad}");
        }
    }
}
