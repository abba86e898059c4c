//! Numbers from their digits.

/// A whole number, also one written `7.0` or `7e2`.
pub(super) fn integer(text: &str) -> Option<i64> {
    match text.parse::<i64>() {
        Ok(value) => Some(value),
        Err(_) => i64::try_from(decimal(text, 19, 0)?).ok(),
    }
}

/// `text` times ten to the power of `scale`, exactly; `None` when it has more digits than the type, before or after the
/// point.
pub(super) fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let bytes = text.as_bytes();
    let (is_negative, mut rest) = match bytes.first()? {
        b'-' => (true, &bytes[1..]),
        b'+' => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    let mut exponent = 0_i32;
    if let Some(at) = rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        exponent = std::str::from_utf8(&rest[at + 1..]).ok()?.parse().ok()?;
        rest = &rest[..at];
    }
    let (mut value, mut after_point, mut has_digits, mut is_after) = (0_i128, 0_i32, false, false);
    for byte in rest {
        match byte {
            b'0'..=b'9' => {
                has_digits = true;
                if value > (i128::MAX - 9) / 10 {
                    // More digits than any type holds, unless they are zeros behind the point.
                    if is_after && *byte == b'0' {
                        continue;
                    }
                    return None;
                }
                value = value * 10 + i128::from(byte - b'0');
                after_point += i32::from(is_after);
            }
            b'.' if !is_after => is_after = true,
            _ => return None,
        }
    }
    if !has_digits {
        return None;
    }
    let mut shift = i32::from(scale).checked_add(exponent)?.checked_sub(after_point)?;
    while shift < 0 && value != 0 {
        if value % 10 != 0 {
            return None;
        }
        value /= 10;
        shift += 1;
    }
    while shift > 0 && value != 0 {
        value = value.checked_mul(10)?;
        shift -= 1;
    }
    let fits = value < 10_i128.checked_pow(u32::from(precision))?;
    fits.then_some(if is_negative { -value } else { value })
}
