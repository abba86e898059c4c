//! Values of settings: read as PostgreSQL reads them, kept in one form, shown with their unit.

use super::super::zone::Zone;
use super::style::{self, DateStyle};
use super::table::{Definition, Kindly};
use crate::error::{Error, Kind, Result};
use crate::query::functions::text::parse_bool;

/// Settings that can have but one value here, because another would change what statements mean.
const FIXED: &[(&str, &str)] =
    &[("array_nulls", "on"), ("standard_conforming_strings", "on"), ("transform_null_equals", "off")];

/// Integers that are shown in base 8.
const OCTAL: &[&str] = &["data_directory_mode", "log_file_mode", "unix_socket_permissions"];

/// The locales that are there.
const LOCALES: &[&str] = &["C", "C.UTF-8", "C.utf8", "POSIX"];

/// A value in the form it is kept in: numbers in the setting's own unit, words as they are listed. What is set of the
/// date style changes `dates`.
pub(super) fn canonical(known: &Definition, value: &str, dates: DateStyle) -> Result<String> {
    let kept = match &known.kind {
        Kindly::Text => return text(known, value, dates),
        Kindly::Bool => boolean(known, value)?,
        Kindly::Integer(least, most) => integer(known, value, *least, *most)?,
        Kindly::Real(least, most) => real(known, value, *least, *most)?,
        Kindly::Enum(options) => word(known, value, options)?,
    };
    match FIXED.iter().find(|(name, only)| *name == known.name && *only != kept) {
        Some((name, only)) => {
            Err(Error::new(Kind::Unsupported, format!("parameter \"{name}\" can only be \"{only}\"")))
        }
        None => Ok(kept),
    }
}

/// 22023
pub(super) fn invalid(known: &Definition, value: &str) -> Error {
    Error::new(Kind::Invalid, format!("invalid value for parameter \"{}\": \"{value}\"", known.name))
}

fn boolean(known: &Definition, value: &str) -> Result<String> {
    let wrong =
        |_| Error::new(Kind::Invalid, format!("parameter \"{}\" requires a Boolean value", known.name));
    parse_bool(value).map_err(wrong).map(|on| if on { "on" } else { "off" }.into())
}

fn word(known: &Definition, value: &str, options: &[&str]) -> Result<String> {
    let lower = value.to_lowercase();
    let wanted = match lower.as_str() {
        // Words that are taken though they are not listed.
        "true" | "yes" | "1" if options.contains(&"on") => "on",
        "false" | "no" | "0" if options.contains(&"off") => "off",
        "debug" if options.contains(&"debug2") => "debug2",
        "info" if options.contains(&"debug2") => return Ok("info".into()),
        other => other,
    };
    let found = options.iter().find(|option| option.eq_ignore_ascii_case(wanted));
    found
        .map(ToString::to_string)
        .ok_or_else(|| invalid(known, value).with_hint(format!("Available values: {}.", options.join(", "))))
}

fn integer(known: &Definition, value: &str, least: i64, most: i64) -> Result<String> {
    let number = number(known, value)?.round_ties_even();
    if !(f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number) {
        return Err(invalid(known, value).with_hint("Value exceeds integer range."));
    }
    let number = number as i64;
    if !(least..=most).contains(&number) {
        let unit = if known.unit.is_empty() { String::new() } else { format!(" {}", known.unit) };
        return Err(outside(known, &format!("{number}{unit}"), &least.to_string(), &most.to_string()));
    }
    Ok(number.to_string())
}

fn real(known: &Definition, value: &str, least: f64, most: f64) -> Result<String> {
    let number = number(known, value)?;
    if !(least..=most).contains(&number) {
        let unit = if known.unit.is_empty() { String::new() } else { format!(" {}", known.unit) };
        return Err(outside(
            known,
            &format!("{}{unit}", general(number, 6)),
            &general(least, 6),
            &general(most, 6),
        ));
    }
    Ok(general(number, 15))
}

fn outside(known: &Definition, number: &str, least: &str, most: &str) -> Error {
    let what =
        format!("{number} is outside the valid range for parameter \"{}\" ({least} .. {most})", known.name);
    Error::new(Kind::Invalid, what)
}

/// Units by how many of the smallest they have: of bytes, and of microseconds.
const MEMORY: &[(&str, f64)] =
    &[("TB", 1_099_511_627_776.0), ("GB", 1_073_741_824.0), ("MB", 1_048_576.0), ("kB", 1_024.0), ("B", 1.0)];
const TIME: &[(&str, f64)] =
    &[("d", 8.64e10), ("h", 3.6e9), ("min", 6e7), ("s", 1e6), ("ms", 1e3), ("us", 1.0)];

/// The units that go with the setting's own, and the size of that.
fn units(known: &Definition) -> Option<(&'static [(&'static str, f64)], f64)> {
    if known.unit == "8kB" {
        return Some((MEMORY, 8_192.0));
    }
    let found = |units: &'static [(&'static str, f64)]| {
        units.iter().find(|(name, _)| *name == known.unit).map(|(_, size)| (units, *size))
    };
    found(MEMORY).or_else(|| found(TIME))
}

/// A number with an optional unit, in the setting's own unit.
fn number(known: &Definition, value: &str) -> Result<f64> {
    let text = value.trim();
    let is_integer = matches!(known.kind, Kindly::Integer(..));
    let radix = |digits: &str, radix| i64::from_str_radix(digits, radix).ok().map(|n| (n as f64, ""));
    let plain = || {
        let mut end = 0;
        for (at, c) in text.char_indices() {
            let after_e = text[..at].ends_with(['e', 'E']);
            let is_part = c.is_ascii_digit()
                || c == '.'
                || (matches!(c, '+' | '-') && (at == 0 || after_e))
                || (matches!(c, 'e' | 'E')
                    && text[at + 1..]
                        .trim_start_matches(['+', '-'])
                        .starts_with(|c: char| c.is_ascii_digit()));
            if !is_part {
                break;
            }
            end = at + c.len_utf8();
        }
        text[..end].parse::<f64>().ok().map(|number| (number, text[end..].trim_start()))
    };
    let read = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if is_integer => radix(digits, 16),
        _ if is_integer && text.len() > 1 && text.starts_with('0') => radix(text, 8).or_else(plain),
        _ => plain(),
    };
    let Some((number, unit)) = read.filter(|(number, _)| number.is_finite()) else {
        return Err(invalid(known, value));
    };
    if unit.is_empty() {
        return Ok(number);
    }
    let Some((units, own)) = units(known) else { return Err(invalid(known, value)) };
    let Some(place) = units.iter().position(|(name, _)| *name == unit) else {
        let hint = match units.iter().any(|(name, _)| *name == "kB") {
            true => "Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and \"TB\".",
            false => "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".",
        };
        return Err(invalid(known, value).with_hint(hint));
    };
    let scaled = number * (units[place].1 / own);
    // A fraction is rounded to the next smaller unit first.
    Ok(match units.get(place + 1).map(|(_, size)| size / own) {
        Some(smaller) if is_integer && smaller >= 1.0 => (scaled / smaller).round_ties_even() * smaller,
        _ => scaled,
    })
}

/// A value as `SHOW` prints it: in the largest unit in which it is whole.
pub(super) fn shown(known: &Definition, value: &str) -> String {
    let number = match known.kind {
        Kindly::Integer(..) | Kindly::Real(..) => value.parse::<f64>().unwrap_or(0.0),
        _ => return value.to_string(),
    };
    if OCTAL.contains(&known.name) {
        return format!("{:04o}", number as i64);
    }
    let Some((units, own)) = units(known).filter(|_| number > 0.0) else { return value.to_string() };
    let is_integer = matches!(known.kind, Kindly::Integer(..));
    for (name, size) in units {
        let whole = number * own / size;
        if (is_integer && *size <= own) || (whole >= 1.0 && (whole.round() / whole - 1.0).abs() <= 1e-8) {
            return format!("{}{name}", general(whole, 15));
        }
    }
    value.to_string()
}

/// A number as C's `%.*g` prints it.
pub(super) fn general(number: f64, digits: usize) -> String {
    let mut out = Vec::new();
    style::general(number, digits, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

fn text(known: &Definition, value: &str, dates: DateStyle) -> Result<String> {
    Ok(match known.name {
        "client_encoding" => {
            // Only letters and digits count; one driver puts its encoding in quotes.
            let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
            match plain.to_ascii_uppercase().as_str() {
                "UTF8" | "UNICODE" | "AUTO" => "UTF8".into(),
                "SQLASCII" => "SQL_ASCII".into(),
                _ => return Err(invalid(known, value).with_hint("the encoding is always UTF8")),
            }
        }
        "TimeZone" | "log_timezone" if value.trim().eq_ignore_ascii_case("local") => known.default.into(),
        "TimeZone" | "log_timezone" => match Zone::of_given(value.trim()) {
            Some((_, shown)) => shown,
            None => {
                return Err(invalid(known, value)
                    .with_hint("accepted are names such as Europe/Berlin, and hours such as +2"));
            }
        },
        "DateStyle" => {
            let changed = dates.changed(value);
            changed.map_err(|why| invalid(known, value).with_detail(why))?.to_string()
        }
        "search_path" => match names(value) {
            Some(_) => value.to_string(),
            None => return Err(invalid(known, value).with_detail("List syntax is invalid.")),
        },
        "application_name" | "cluster_name" => {
            value.bytes().map(|byte| if (32..127).contains(&byte) { char::from(byte) } else { '?' }).collect()
        }
        "lc_messages" | "lc_monetary" | "lc_numeric" | "lc_time"
            if !value.is_empty() && !LOCALES.contains(&value) =>
        {
            return Err(invalid(known, value).with_hint(format!("accepted are {}", LOCALES.join(", "))));
        }
        "default_tablespace" if !["", "pg_default", "pg_global"].contains(&value) => {
            return Err(invalid(known, value).with_detail(format!("Tablespace \"{value}\" does not exist.")));
        }
        "default_table_access_method" if value != "heap" => {
            let detail = format!("Table access method \"{value}\" does not exist.");
            return Err(invalid(known, value).with_detail(detail));
        }
        "timezone_abbreviations" if !value.eq_ignore_ascii_case("default") => {
            return Err(invalid(known, value).with_hint("accepted is Default"));
        }
        _ => value.to_string(),
    })
}

/// The names of a list such as `"$user", public`; `None` when it is none.
pub(super) fn names(list: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = list.trim();
    if rest.is_empty() {
        return Some(names);
    }
    loop {
        let name;
        (name, rest) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let mut text = String::new();
                let mut tail = quoted;
                loop {
                    let (before, after) = tail.split_once('"')?;
                    text.push_str(before);
                    match after.strip_prefix('"') {
                        Some(more) => {
                            text.push('"');
                            tail = more;
                        }
                        None => break (text, after.trim_start()),
                    }
                }
            }
            None => {
                let end =
                    rest.find(|c: char| c == ',' || c == '"' || c.is_whitespace()).unwrap_or(rest.len());
                (rest[..end].to_lowercase(), rest[end..].trim_start())
            }
        };
        if name.is_empty() && !list.contains("\"\"") {
            return None;
        }
        names.push(name);
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None => return rest.is_empty().then_some(names),
        }
        if rest.is_empty() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::settings::table::find;

    /// Each pair was answered by PostgreSQL.
    #[test]
    fn values_are_read_and_shown_as_in_postgresql() {
        for (name, value, expected) in [
            ("work_mem", "8MB", Some("8MB")),
            ("work_mem", "65536", Some("64MB")),
            ("work_mem", "0x400", Some("1MB")),
            ("work_mem", "1.5 MB", Some("1536kB")),
            ("work_mem", "0.1GB", Some("102MB")),
            ("work_mem", "8XB", None),
            ("work_mem", "63", None),
            ("statement_timeout", "1.5s", Some("1500ms")),
            ("statement_timeout", "2 min", Some("2min")),
            ("statement_timeout", "0", Some("0")),
            ("statement_timeout", "1e3", Some("1s")),
            ("statement_timeout", "-1", None),
            ("temp_buffers", "16MB", Some("16MB")),
            ("temp_buffers", "2000", Some("16000kB")),
            ("random_page_cost", "1.50", Some("1.5")),
            ("random_page_cost", "1e-7", Some("1e-07")),
            ("vacuum_cost_delay", "0.5", Some("500us")),
            ("enable_seqscan", "of", Some("off")),
            ("enable_seqscan", "o", None),
            ("bytea_output", "ESCAPE", Some("escape")),
            ("synchronous_commit", "true", Some("on")),
            ("client_min_messages", "debug", Some("debug2")),
            ("datestyle", "german", Some("German, DMY")),
            ("application_name", "é", Some("??")),
            ("unix_socket_permissions", "511", Some("0777")),
        ] {
            let known = find(name).unwrap();
            let got = canonical(known, value, DateStyle::default()).ok().map(|value| shown(known, &value));
            assert_eq!(got.as_deref(), expected, "{name} = {value}");
        }
    }

    #[test]
    fn lists_of_names_are_taken_apart() {
        let list = |text: &str| names(text).map(|names| names.join("|"));
        assert_eq!(list("\"$user\", public").as_deref(), Some("$user|public"));
        assert_eq!(list("A,\"B \"\"c\"").as_deref(), Some("a|B \"c"));
        assert_eq!(list("").as_deref(), Some(""));
        assert_eq!(list("\"\"").as_deref(), Some(""));
        for wrong in ["a,", ",a", "a b", "\"a"] {
            assert_eq!(list(wrong), None, "{wrong}");
        }
    }
}
