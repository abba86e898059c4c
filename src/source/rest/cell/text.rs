//! Texts from JSON, and what PostgreSQL's protocol cannot carry taken out of them.

use std::borrow::Cow;

use super::Cell;

/// Whether a JSON value is a text.
fn is_string(json: &str) -> bool {
    json.starts_with('"')
}

/// The text of a JSON string, without a look at whether all of it could be kept.
pub(crate) fn string(json: &str) -> Cow<'_, str> {
    unescaped(json).0
}

/// Any JSON value as text, and whether it is exactly that.
pub(super) fn text(json: &str) -> (Cow<'_, str>, bool) {
    match is_string(json) {
        true => unescaped(json),
        false => (Cow::Borrowed(json), true),
    }
}

/// A text without NUL, which no PostgreSQL client can be sent, and whether it had none.
pub(super) fn clean(text: &str) -> (Cow<'_, str>, bool) {
    match text.contains('\0') {
        false => (Cow::Borrowed(text), true),
        true => (Cow::Owned(text.replace('\0', "\u{fffd}")), false),
    }
}

/// A JSON string without its quotes and escapes. Half a surrogate pair and NUL become U+FFFD; the second value says
/// whether there were none. The JSON was read before, so its escapes are complete.
fn unescaped(json: &str) -> (Cow<'_, str>, bool) {
    let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(json);
    if !inner.contains('\\') {
        return (Cow::Borrowed(inner), true);
    }
    let mut text = String::with_capacity(inner.len());
    let mut is_exact = true;
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escape = &rest[at + 1..];
        let (c, used) = match escape.as_bytes().first() {
            Some(b'n') => ('\n', 1),
            Some(b't') => ('\t', 1),
            Some(b'r') => ('\r', 1),
            Some(b'b') => ('\u{8}', 1),
            Some(b'f') => ('\u{c}', 1),
            Some(b'u') => unit(escape),
            Some(other) => (char::from(*other), 1),
            None => ('\u{fffd}', 0),
        };
        let is_replaced = c == '\u{fffd}' && !escape.to_ascii_lowercase().starts_with("ufffd");
        is_exact &= !is_replaced && c != '\0';
        text.push(if c == '\0' { '\u{fffd}' } else { c });
        rest = &escape[used..];
    }
    text.push_str(rest);
    (Cow::Owned(text), is_exact)
}

/// The character of `uXXXX`, or of a pair of them, and how many bytes it takes.
fn unit(escape: &str) -> (char, usize) {
    let hex = |at: usize| escape.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let Some(high) = hex(1) else { return ('\u{fffd}', escape.len().min(1)) };
    if (0xd800..0xdc00).contains(&high)
        && escape.get(5..7) == Some("\\u")
        && let Some(low) = hex(7).filter(|low| (0xdc00..0xe000).contains(low))
    {
        let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(code).unwrap_or('\u{fffd}'), 11);
    }
    (char::from_u32(high).unwrap_or('\u{fffd}'), 5)
}

/// The texts of a JSON list, or of a text separated by `;`.
pub(super) fn list(cell: Cell<'_>) -> Option<Vec<String>> {
    let text = match cell {
        Cell::Json(json) if json.starts_with('[') => {
            let values: Vec<&serde_json::value::RawValue> = serde_json::from_str(json).ok()?;
            return Some(
                values.into_iter().map(|value| clean(&text(value.get()).0).0.into_owned()).collect(),
            );
        }
        Cell::Json(json) if json.starts_with('{') => return None,
        other => other.text(),
    };
    Some(text.split(';').map(str::trim).filter(|part| !part.is_empty()).map(str::to_string).collect())
}
