//! PostgreSQL's binary `numeric`: base-10000 digits, turned into integers of a fixed scale by integer arithmetic.

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome<T> {
    /// It fits.
    Value(T),
    /// It is a value, and its column cannot hold it.
    Misfit,
    /// The bytes are no value of this type.
    Broken,
}

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;

/// 10 to the power of the index.
const POW10: [i128; 39] = {
    let mut table = [1i128; 39];
    let mut i = 1;
    while i < 39 {
        table[i] = table[i - 1] * 10;
        i += 1;
    }
    table
};

/// The first number with more than `precision` digits.
pub(super) fn bound(precision: u8) -> i128 {
    POW10.get(usize::from(precision)).copied().unwrap_or(i128::MAX)
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u16::from_be_bytes(*word))
}

/// The value times 10 to the power of `scale`. NaN, infinities, more digits after the point than `scale`, and
/// absolute values from `bound` on do not fit.
#[inline]
pub(super) fn decimal(bytes: &[u8], scale: i32, bound: i128) -> Outcome<i128> {
    if bytes.len() < 8 {
        return Outcome::Broken;
    }
    let mut count = usize::from(word(bytes, 0));
    let weight = i32::from(word(bytes, 2) as i16);
    let sign = word(bytes, 4);
    if bytes.len() != 8 + 2 * count {
        return Outcome::Broken;
    }
    if sign != POSITIVE && sign != NEGATIVE {
        return Outcome::Misfit;
    }
    // The power of ten that the last digit stands for, in units of the scale.
    let mut exponent = 4 * (weight - count as i32 + 1) + scale;
    while exponent <= -4 {
        // Such digits lie behind the scale; written without need, they are zeros.
        if count == 0 || word(bytes, 6 + 2 * count) != 0 {
            break;
        }
        count -= 1;
        exponent += 4;
    }
    if count == 0 {
        return Outcome::Value(0);
    }
    let Some(magnitude) = magnitude(bytes.get(8..8 + 2 * count).unwrap_or_default(), exponent) else {
        return Outcome::Misfit;
    };
    if magnitude >= bound {
        return Outcome::Misfit;
    }
    Outcome::Value(if sign == NEGATIVE { -magnitude } else { magnitude })
}

/// `digits` times 10 to the power of `exponent`; `None` when that is no integer, or too large.
#[inline]
fn magnitude(digits: &[u8], exponent: i32) -> Option<i128> {
    let (most, last) = digits.split_at(digits.len() - 2);
    let last = i128::from(word(last, 0));
    // Up to three digits of the last group may lie behind the scale.
    let (factor, last, power) = match exponent {
        0.. => (10_000, last, usize::try_from(exponent).ok()?),
        -1 if last % 10 == 0 => (1_000, last / 10, 0),
        -2 if last % 100 == 0 => (100, last / 100, 0),
        -3 if last % 1_000 == 0 => (10, last / 1_000, 0),
        _ => return None,
    };
    let groups = most.chunks_exact(2).map(|group| u64::from(word(group, 0)));
    if most.len() <= 8 && power <= 18 {
        // At most 4 + 1 groups and 18 zeros: 38 digits cannot overflow.
        let most = groups.fold(0, |value, group| value * 10_000 + group);
        return Some((i128::from(most) * factor + last) * POW10.get(power)?);
    }
    let mut value = 0i128;
    for group in groups {
        value = value.checked_mul(10_000)?.checked_add(i128::from(group))?;
    }
    value.checked_mul(factor)?.checked_add(last)?.checked_mul(*POW10.get(power)?)
}

/// The value as PostgreSQL prints it, cut after 100 characters: for people to recognise a misfit.
pub(super) fn print(bytes: &[u8]) -> String {
    match word(bytes, 4) {
        POSITIVE | NEGATIVE => {}
        0xd000 => return "Infinity".into(),
        0xf000 => return "-Infinity".into(),
        _ => return "NaN".into(),
    }
    let count = i32::from(word(bytes, 0));
    let weight = i32::from(word(bytes, 2) as i16);
    let scale = usize::from(word(bytes, 6));
    let group =
        |index: i32| if (0..count).contains(&index) { word(bytes, 8 + 2 * index as usize) } else { 0 };
    let mut text = String::from(if word(bytes, 4) == NEGATIVE { "-" } else { "" });
    let mut whole: String = (0..=weight.min(30)).map(|index| format!("{:04}", group(index))).collect();
    whole.drain(..whole.len() - whole.trim_start_matches('0').len());
    text.push_str(if whole.is_empty() { "0" } else { &whole });
    if weight <= 30 && scale > 0 {
        let places = scale.min(100) as i32;
        let fraction: String =
            (0..=places / 4).map(|index| format!("{:04}", group(weight + 1 + index))).collect();
        text.push('.');
        text.push_str(fraction.get(..places as usize).unwrap_or(&fraction));
    }
    if text.len() > 100 || weight > 30 {
        text.truncate(97);
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [digits.len() as u16, weight as u16, sign, scale].iter().chain(digits) {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    #[test]
    fn digits_become_integers_of_the_scale() {
        let seen = wire(0, POSITIVE, 4, &[123, 4500]);
        assert_eq!(seen, [0, 2, 0, 0, 0, 0, 0, 4, 0, 0x7b, 0x11, 0x94], "123.4500 as seen on the wire");
        for (bytes, scale, expected) in [
            (seen.clone(), 4, Outcome::Value(1_234_500)),
            (seen.clone(), 2, Outcome::Value(12_345)),
            (seen.clone(), 1, Outcome::Misfit),
            (seen, 18, Outcome::Value(123_450_000_000_000_000_000)),
            (wire(1, NEGATIVE, 2, &[7, 7600, 5500]), 2, Outcome::Value(-7_760_055)),
            (wire(1, POSITIVE, 0, &[1, 2300]), 0, Outcome::Value(12_300)),
            (wire(-2, POSITIVE, 8, &[1]), 8, Outcome::Value(1)),
            (wire(-2, POSITIVE, 8, &[1]), 7, Outcome::Misfit),
            (wire(0, POSITIVE, 6, &[1, 5000, 0]), 1, Outcome::Value(15)),
            (wire(0, POSITIVE, 2, &[]), 2, Outcome::Value(0)),
            (wire(0, 0xc000, 0, &[]), 2, Outcome::Misfit),
            (wire(0, 0xd000, 0, &[]), 2, Outcome::Misfit),
            (wire(8, POSITIVE, 2, &[9999; 9]), 2, Outcome::Value(10i128.pow(38) - 100)),
            (wire(8, POSITIVE, 2, &[9999; 10]), 2, Outcome::Misfit),
            (wire(9, POSITIVE, 0, &[1]), 2, Outcome::Misfit),
            (wire(8000, POSITIVE, 0, &[1]), 0, Outcome::Misfit),
            (wire(0, POSITIVE, 0, &[1])[..9].to_vec(), 0, Outcome::Broken),
            (vec![], 0, Outcome::Broken),
        ] {
            assert_eq!(decimal(&bytes, scale, bound(38)), expected, "{} at {scale}", print(&bytes));
        }
        // All 38 digits, the last group cut by the scale: 36 before the point and 2 behind.
        let mut digits = [9999; 10];
        digits[9] = 9900;
        assert_eq!(decimal(&wire(8, POSITIVE, 2, &digits), 2, bound(38)), Outcome::Value(10i128.pow(38) - 1));
        assert_eq!(decimal(&wire(0, POSITIVE, 0, &[1000]), 0, bound(3)), Outcome::Misfit);
        assert_eq!(decimal(&wire(0, NEGATIVE, 0, &[999]), 0, bound(3)), Outcome::Value(-999));
    }

    #[test]
    fn misfits_are_printed_for_people() {
        assert_eq!(print(&wire(0, POSITIVE, 4, &[123, 4500])), "123.4500");
        assert_eq!(print(&wire(-2, NEGATIVE, 9, &[1])), "-0.000000010");
        assert_eq!(print(&wire(0, 0xc000, 0, &[])), "NaN");
        assert_eq!(print(&wire(0, 0xf000, 0, &[])), "-Infinity");
        assert!(print(&wire(30_000, POSITIVE, 0, &[1])).len() <= 100);
        assert_eq!(print(&[]), "0");
    }
}
