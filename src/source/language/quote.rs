//! One function a language that makes a value a literal. Whatever bytes it holds, the query around it stays the same.

use crate::catalog::manifest::Language;

/// The text as a literal of the language; `None` for one that the language cannot write.
pub(crate) fn quote(language: Language, text: &str) -> Option<String> {
    match language {
        Language::Soql => soql(text),
        Language::Coql => coql(text),
        Language::Odata => doubled(text),
        Language::Suiteql => doubled(text),
    }
}

/// Backslash escapes, as the SOQL and SOSL reference lists them under "Quoted String Escape Sequences".
fn soql(text: &str) -> Option<String> {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for c in text.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push_str("\\'"),
            '"' => quoted.push_str("\\\""),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            c if c.is_control() => return None,
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    Some(quoted)
}

/// Backslash before quote and backslash; other escapes are not documented for COQL.
fn coql(text: &str) -> Option<String> {
    if text.chars().any(char::is_control) {
        return None;
    }
    Some(format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")))
}

/// Quotes doubled: OData 4.01 ABNF (`SQUOTE-in-string`) and Oracle's text literals.
fn doubled(text: &str) -> Option<String> {
    if text.chars().any(char::is_control) {
        return None;
    }
    Some(format!("'{}'", text.replace('\'', "''")))
}
