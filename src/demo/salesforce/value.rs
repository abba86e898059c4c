//! Values of fields, and how they are written in JSON and CSV.

use crate::demo::clock::iso_millis;

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// No value. Salesforce has no empty texts.
    Null,
    /// A checkbox.
    Bool(bool),
    /// A number, as plain decimal digits.
    Number(String),
    /// A text, an id, a picklist's value.
    Text(String),
    /// A moment, in milliseconds since 1970, whole seconds.
    Time(i64),
    /// A day: `2025-03-01`.
    Date(String),
    /// A compound value with named parts.
    Compound(Vec<(String, Cell)>),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        if text.is_empty() { Cell::Null } else { Cell::Text(text.into()) }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::from(text.as_str())
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Cell::Bool(value)
    }
}

impl Cell {
    /// A number of plain decimal digits, e.g. `-12.50`.
    pub fn number(digits: impl Into<String>) -> Self {
        Cell::Number(digits.into())
    }

    /// A day, e.g. `2025-03-01`.
    pub fn date(day: impl Into<String>) -> Self {
        Cell::Date(day.into())
    }

    /// Appends the value as JSON; `kind` is the field's type.
    pub(super) fn write_json(&self, kind: &str, out: &mut String) {
        match self {
            Cell::Null => out.push_str("null"),
            Cell::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Cell::Number(digits) => out.push_str(&number(kind, digits)),
            Cell::Text(text) | Cell::Date(text) => quote_json(text, out),
            // Not RFC 3339: the offset has no colon.
            Cell::Time(millis) => quote_json(&iso_millis(*millis).replace('Z', "+0000"), out),
            Cell::Compound(parts) => {
                out.push('{');
                for (at, (name, part)) in parts.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    quote_json(name, out);
                    out.push(':');
                    part.write_json("string", out);
                }
                out.push('}');
            }
        }
    }

    /// The value as text of a Bulk API file: unlike JSON, times end in `Z`.
    pub(super) fn csv(&self, kind: &str) -> String {
        match self {
            Cell::Null | Cell::Compound(_) => String::new(),
            Cell::Bool(value) => value.to_string(),
            Cell::Number(digits) => number(kind, digits),
            Cell::Text(text) | Cell::Date(text) => text.clone(),
            Cell::Time(millis) => iso_millis(*millis),
        }
    }

    /// The value as a number to compare by.
    pub(super) fn as_f64(&self) -> Option<f64> {
        match self {
            Cell::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }
}

fn quote_json(text: &str, out: &mut String) {
    // A text always serialises.
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// A number as Java writes doubles: at least one decimal, an exponent from ten millions on and below a thousandth.
/// Integers stay integers.
fn number(kind: &str, digits: &str) -> String {
    if kind == "int" || kind == "long" {
        return digits.into();
    }
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let all: String = [whole, fraction].concat();
    let significant = all.trim_start_matches('0');
    if significant.is_empty() {
        return format!("{sign}0.0");
    }
    let exponent = match whole.len() {
        0 => -(1 + (all.len() - significant.len()) as i64),
        length => length as i64 - 1,
    };
    if (-3..7).contains(&exponent) {
        let whole = if whole.is_empty() { "0" } else { whole };
        let fraction = if fraction.is_empty() { "0" } else { fraction };
        return format!("{sign}{whole}.{fraction}");
    }
    let (first, rest) = significant.split_at(1);
    let rest = rest.trim_end_matches('0');
    let rest = if rest.is_empty() { "0" } else { rest };
    format!("{sign}{first}.{rest}E{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_java_does() {
        for (digits, written) in [
            ("0", "0.0"),
            ("-0.50", "-0.5"),
            ("350000000", "3.5E8"),
            ("12345678.90", "1.23456789E7"),
            ("9999999.99", "9999999.99"),
            ("0.001", "0.001"),
            ("0.00025", "2.5E-4"),
            ("77600.55", "77600.55"),
            ("10000000", "1.0E7"),
        ] {
            assert_eq!(number("currency", digits), written);
        }
        assert_eq!(number("int", "10000000"), "10000000");
    }

    #[test]
    fn times_are_written_differently_in_json_and_csv() {
        let time = Cell::Time(1_727_148_367_000);
        let mut json = String::new();
        time.write_json("datetime", &mut json);
        assert_eq!(json, "\"2024-09-24T03:26:07.000+0000\"");
        assert_eq!(time.csv("datetime"), "2024-09-24T03:26:07.000Z");
    }
}
