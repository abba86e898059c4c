//! `SIMILAR TO`: patterns of the SQL standard as regular expressions.

use crate::error::{Error, Kind, Result};

/// The expression of a pattern. With `escape`-quote separators in it, the middle part is its first group.
pub(super) fn expression(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = String::from("^(?:");
    let (mut in_brackets, mut separators) = (false, 0);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            match chars.next() {
                Some('"') if !in_brackets => {
                    separators += 1;
                    match separators {
                        // What is before should match as little as it can.
                        1 => out.push_str("){1,1}?("),
                        2 => out.push_str("){1,1}(?:"),
                        _ => {
                            let what = "SQL regular expression may not contain more than two escape-double-quote separators";
                            return Err(Error::new(Kind::Invalid, what).with_sqlstate("2200C"));
                        }
                    }
                }
                Some(c) => push_escaped(c, &mut out),
                None => {
                    return Err(Error::new(Kind::Invalid, "invalid escape string").with_sqlstate("22025"));
                }
            }
            continue;
        }
        match c {
            ']' if in_brackets => {
                in_brackets = false;
                out.push(']');
            }
            '\\' => out.push_str("\\\\"),
            c if in_brackets => out.push(c),
            '[' => {
                in_brackets = true;
                out.push('[');
                // A bracket that stands first is one of the characters.
                let rest = chars.as_str();
                let negated = rest.strip_prefix('^');
                if negated.is_some() {
                    out.push('^');
                    chars.next();
                }
                if negated.unwrap_or(rest).starts_with(']') {
                    out.push_str("\\]");
                    chars.next();
                }
            }
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '(' => out.push_str("(?:"),
            '.' | '^' | '$' => push_escaped(c, &mut out),
            c => out.push(c),
        }
    }
    out.push_str(")$");
    Ok(out)
}

fn push_escaped(c: char, out: &mut String) {
    if !c.is_alphanumeric() {
        out.push('\\');
    }
    out.push(c);
}
