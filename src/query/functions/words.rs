//! Functions of texts and bytes.

mod ascii;
mod compose;
mod quote;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::row::{Args, Definition, Type, Value};
use crate::error::{Error, Kind, Result};

const TEXT: Type = Type::Text;
const BYTEA: Type = Type::Bytea;
const INT: Type = Type::Int4;

/// Bytes of one text that a function may make.
const MAX_BYTES: usize = 16 << 20;

pub(super) const DEFINITIONS: &[&[Definition]] =
    &[HERE, compose::DEFINITIONS, quote::DEFINITIONS, ascii::DEFINITIONS];

const HERE: &[Definition] = &[
    Definition::new("upper", &[TEXT], TEXT, |args| Value::text(upper(args.text(0)))),
    Definition::new("lower", &[TEXT], TEXT, |args| Value::text(args.text(0).to_lowercase())),
    Definition::new("initcap", &[TEXT], TEXT, |args| Value::text(initcap(args.text(0)))),
    Definition::new("length", &[TEXT], INT, |args| Ok(Value::Int(characters(args.text(0))))),
    Definition::new("char_length", &[TEXT], INT, |args| Ok(Value::Int(characters(args.text(0))))),
    Definition::new("character_length", &[TEXT], INT, |args| Ok(Value::Int(characters(args.text(0))))),
    Definition::new("octet_length", &[TEXT], INT, |args| Ok(Value::Int(args.text(0).len() as i64))),
    Definition::new("bit_length", &[TEXT], INT, |args| Ok(Value::Int(args.text(0).len() as i64 * 8))),
    Definition::new("length", &[BYTEA], INT, |args| Ok(Value::Int(args.bytes(0).len() as i64))),
    Definition::new("octet_length", &[BYTEA], INT, |args| Ok(Value::Int(args.bytes(0).len() as i64))),
    Definition::new("bit_length", &[BYTEA], INT, |args| Ok(Value::Int(args.bytes(0).len() as i64 * 8))),
    Definition::new("reverse", &[TEXT], TEXT, |args| {
        Value::text(args.text(0).chars().rev().collect::<String>())
    }),
    Definition::new("repeat", &[TEXT, INT], TEXT, |args| {
        let count = usize::try_from(args.int(1)).unwrap_or(0);
        fits(args.text(0).len().saturating_mul(count))?;
        Value::text(args.text(0).repeat(count))
    }),
    Definition::new("left", &[TEXT, INT], TEXT, |args| {
        let (text, count) = (args.text(0), args.int(1));
        let keep = if count < 0 { (characters(text) + count).max(0) } else { count };
        Value::text(text.chars().take(keep as usize).collect::<String>())
    }),
    Definition::new("right", &[TEXT, INT], TEXT, |args| {
        let (text, count) = (args.text(0), args.int(1));
        let skip = if count < 0 { -count } else { (characters(text) - count).max(0) };
        Value::text(text.chars().skip(skip as usize).collect::<String>())
    }),
    Definition::new("lpad", &[TEXT, INT, TEXT], TEXT, |args| pad(args, true)).optional(1),
    Definition::new("rpad", &[TEXT, INT, TEXT], TEXT, |args| pad(args, false)).optional(1),
    Definition::new("ltrim", &[TEXT, TEXT], TEXT, |args| {
        let set = args.text_or(1, " ");
        Value::text(args.text(0).trim_start_matches(|c| set.contains(c)))
    })
    .optional(1),
    Definition::new("rtrim", &[TEXT, TEXT], TEXT, |args| {
        let set = args.text_or(1, " ");
        Value::text(args.text(0).trim_end_matches(|c| set.contains(c)))
    })
    .optional(1),
    Definition::new("btrim", &[TEXT, TEXT], TEXT, |args| {
        let set = args.text_or(1, " ");
        Value::text(args.text(0).trim_matches(|c| set.contains(c)))
    })
    .optional(1),
    Definition::new("replace", &[TEXT, TEXT, TEXT], TEXT, |args| {
        let (text, from) = (args.text(0), args.text(1));
        Value::text(if from.is_empty() { text.to_string() } else { text.replace(from, args.text(2)) })
    }),
    Definition::new("translate", &[TEXT, TEXT, TEXT], TEXT, |args| {
        let (from, to): (Vec<char>, Vec<char>) =
            (args.text(1).chars().collect(), args.text(2).chars().collect());
        let moved = args.text(0).chars().filter_map(|c| match from.iter().position(|f| *f == c) {
            Some(at) => to.get(at).copied(),
            None => Some(c),
        });
        Value::text(moved.collect::<String>())
    }),
    Definition::new("strpos", &[TEXT, TEXT], INT, position),
    Definition::new("position", &[TEXT, TEXT], INT, position),
    Definition::new("substr", &[TEXT, INT, INT], TEXT, substring).optional(1),
    Definition::new("substring", &[TEXT, INT, INT], TEXT, substring).optional(1),
    Definition::new("substr", &[BYTEA, INT, INT], BYTEA, substring_of_bytes).optional(1),
    Definition::new("substring", &[BYTEA, INT, INT], BYTEA, substring_of_bytes).optional(1),
    Definition::new("like_escape", &[TEXT, TEXT], TEXT, |args| like_escape(args.text(0), args.text(1))),
    Definition::new("overlay", &[TEXT, TEXT, INT, INT], TEXT, |args| {
        let (text, with, from) = (args.text(0), args.text(1), args.int(2));
        let length = args.int_or(3, characters(with));
        if from <= 0 {
            return Err(negative_length());
        }
        let head: String = text.chars().take(from as usize - 1).collect();
        let tail: String = text.chars().skip((from - 1 + length).max(0) as usize).collect();
        Value::text(head + with + &tail)
    })
    .optional(1),
    Definition::new("split_part", &[TEXT, TEXT, INT], TEXT, split_part),
    Definition::new("starts_with", &[TEXT, TEXT], Type::Bool, |args| {
        Ok(Value::Bool(args.text(0).starts_with(args.text(1))))
    }),
    Definition::new("ascii", &[TEXT], INT, |args| {
        Ok(Value::Int(args.text(0).chars().next().map_or(0, |c| i64::from(c as u32))))
    }),
    Definition::new("chr", &[INT], TEXT, |args| {
        let code = args.int(0);
        let limit = |what: String| Err(Error::new(Kind::Limit, what).with_sqlstate("54000"));
        match u32::try_from(code).ok() {
            Some(0) => limit("null character not permitted".into()),
            None => {
                Err(Error::new(Kind::Invalid, "character number must be positive").with_sqlstate("22023"))
            }
            Some(code) => match char::from_u32(code) {
                Some(c) => Value::text(c),
                None if code > 0x10_ffff => {
                    limit(format!("requested character too large for encoding: {code}"))
                }
                None => limit(format!("requested character not valid for encoding: {code}")),
            },
        }
    }),
    Definition::new("to_hex", &[INT], TEXT, |args| Value::text(format!("{:x}", args.int(0) as i32))),
    Definition::new("to_hex", &[Type::Int8], TEXT, |args| Value::text(format!("{:x}", args.int(0)))),
    Definition::new("encode", &[BYTEA, TEXT], TEXT, |args| encode(args.bytes(0), args.text(1))),
    Definition::new("decode", &[TEXT, TEXT], BYTEA, |args| decode(args.text(0), args.text(1))),
    Definition::new("convert_from", &[BYTEA, TEXT], TEXT, |args| {
        check_encoding(args.text(1))?;
        match std::str::from_utf8(args.bytes(0)) {
            Ok(text) => Value::text(text),
            Err(error) => {
                let byte = args.bytes(0)[error.valid_up_to()];
                let what = format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}");
                Err(Error::new(Kind::Data, what).with_sqlstate("22021"))
            }
        }
    }),
    Definition::new("convert_to", &[TEXT, TEXT], BYTEA, |args| {
        check_encoding(args.text(1))?;
        Ok(Value::Bytes(args.text(0).as_bytes().to_vec()))
    }),
    Definition::new("normalize", &[TEXT, TEXT], TEXT, |args| normalize(args.text(0), args.text_or(1, "NFC")))
        .optional(1),
    Definition::new("unistr", &[TEXT], TEXT, |args| unistr(args.text(0))),
    Definition::new("string_to_array", &[TEXT, TEXT, TEXT], Type::Texts, string_to_array)
        .optional(1)
        .lenient(),
    Definition::new("string_to_table", &[TEXT, TEXT, TEXT], Type::Texts, string_to_array)
        .optional(1)
        .lenient(),
];

/// A pattern of `LIKE` with the backslash in place of another character that escapes, or of none.
fn like_escape(pattern: &str, escape: &str) -> Result<Value> {
    let mut escapes = escape.chars();
    let (escape, rest) = (escapes.next(), escapes.next());
    if rest.is_some() {
        return Err(Error::new(Kind::Data, "invalid escape string")
            .with_sqlstate("22025")
            .with_hint("Escape string must be empty or one character."));
    }
    let mut out = String::with_capacity(pattern.len());
    let mut is_escaped = false;
    for c in pattern.chars() {
        if Some(c) == escape && !is_escaped {
            is_escaped = true;
            out.push('\\');
            continue;
        }
        if c == '\\' && !is_escaped {
            out.push('\\');
        }
        out.push(c);
        is_escaped = false;
    }
    Value::text(out)
}

fn characters(text: &str) -> i64 {
    text.chars().count() as i64
}

fn fits(bytes: usize) -> Result<()> {
    match bytes > MAX_BYTES {
        true => Err(Error::new(Kind::Limit, "requested length too large")
            .with_sqlstate("54000")
            .with_hint(format!("at most {MAX_BYTES} bytes are accepted"))),
        false => Ok(()),
    }
}

/// One character becomes one character, as in the C library.
fn upper(text: &str) -> String {
    let one = |c: char| {
        let mut upper = c.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(upper), None) => upper,
            _ => c,
        }
    };
    text.chars().map(one).collect()
}

fn initcap(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        match in_word {
            true => out.extend(c.to_lowercase()),
            false => out.push_str(&upper(c.encode_utf8(&mut [0; 4]))),
        }
        in_word = c.is_alphanumeric();
    }
    out
}

fn pad(args: &Args<'_>, at_start: bool) -> Result<Value> {
    let (text, length, fill) = (args.text(0), args.int(1).max(0) as usize, args.text_or(2, " "));
    fits(length.saturating_mul(4))?;
    let own = text.chars().count();
    if own >= length || fill.is_empty() {
        return Value::text(text.chars().take(length).collect::<String>());
    }
    let padding: String = fill.chars().cycle().take(length - own).collect();
    Value::text(if at_start { padding + text } else { text.to_string() + &padding })
}

fn position(args: &Args<'_>) -> Result<Value> {
    let (text, part) = (args.text(0), args.text(1));
    Ok(Value::Int(text.find(part).map_or(0, |at| characters(&text[..at]) + 1)))
}

/// 22011
fn negative_length() -> Error {
    Error::new(Kind::Data, "negative substring length not allowed").with_sqlstate("22011")
}

/// The part of so many units from a place, which may lie before the first one.
fn range(args: &Args<'_>) -> Result<(usize, usize)> {
    let from = args.int(1);
    if !args.is_given(2) {
        return Ok(((from - 1).max(0) as usize, usize::MAX));
    }
    let length = args.int(2);
    if length < 0 {
        return Err(negative_length());
    }
    let end = (from - 1 + length).max(0);
    let from = (from - 1).max(0);
    Ok((from as usize, (end - from).max(0) as usize))
}

fn substring(args: &Args<'_>) -> Result<Value> {
    let (from, count) = range(args)?;
    Value::text(args.text(0).chars().skip(from).take(count).collect::<String>())
}

fn substring_of_bytes(args: &Args<'_>) -> Result<Value> {
    let (from, count) = range(args)?;
    Ok(Value::Bytes(args.bytes(0).iter().skip(from).take(count).copied().collect()))
}

fn split_part(args: &Args<'_>) -> Result<Value> {
    let (text, separator, nth) = (args.text(0), args.text(1), args.int(2));
    if nth == 0 {
        return Err(Error::new(Kind::Invalid, "field position must not be zero"));
    }
    let parts: Vec<&str> = if separator.is_empty() { vec![text] } else { text.split(separator).collect() };
    let at = super::json::place(parts.len(), if nth > 0 { nth - 1 } else { nth });
    Value::text(at.map_or("", |at| if text.is_empty() { "" } else { parts[at] }))
}

fn unknown_encoding(name: &str) -> Error {
    Error::new(Kind::Invalid, format!("unrecognized encoding: \"{name}\""))
}

fn encode(bytes: &[u8], format: &str) -> Result<Value> {
    Value::text(match format.to_ascii_lowercase().as_str() {
        "hex" => super::shown::bytes(bytes)[2..].to_string(),
        "base64" => {
            let text = STANDARD.encode(bytes);
            let lines: Vec<_> = text.as_bytes().chunks(76).map(String::from_utf8_lossy).collect();
            lines.join("\n")
        }
        "escape" => bytes
            .iter()
            .map(|byte| match byte {
                b'\\' => "\\\\".to_string(),
                0 | 0x80.. => format!("\\{byte:03o}"),
                byte => (*byte as char).to_string(),
            })
            .collect(),
        _ => return Err(unknown_encoding(format)),
    })
}

fn decode(text: &str, format: &str) -> Result<Value> {
    let invalid = |what: String| Error::new(Kind::Invalid, what);
    Ok(Value::Bytes(match format.to_ascii_lowercase().as_str() {
        "hex" => hex(text)?,
        "base64" => {
            let plain: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            STANDARD.decode(&plain).map_err(|error| match error {
                base64::DecodeError::InvalidByte(_, byte) => {
                    let what =
                        format!("invalid symbol \"{}\" found while decoding base64 sequence", byte as char);
                    invalid(what)
                }
                _ => invalid("invalid base64 end sequence".into())
                    .with_hint("Input data is missing padding, is truncated, or is otherwise corrupted."),
            })?
        }
        "escape" => super::text::parse_bytea_escapes(text)?,
        _ => return Err(unknown_encoding(format)),
    }))
}

/// The bytes of hexadecimal digits, between which there may be blanks.
pub(in crate::query) fn hex(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for c in text.chars().filter(|c| high.is_some() || !c.is_ascii_whitespace()).collect::<Vec<_>>() {
        let Some(digit) = c.to_digit(16) else {
            return Err(Error::new(Kind::Invalid, format!("invalid hexadecimal digit: \"{c}\"")));
        };
        match high.take() {
            Some(first) => bytes.push((first * 16 + digit) as u8),
            None => high = Some(digit),
        }
    }
    match high {
        Some(_) => Err(Error::new(Kind::Invalid, "invalid hexadecimal data: odd number of digits")),
        None => Ok(bytes),
    }
}

fn check_encoding(name: &str) -> Result<()> {
    let plain: String = name.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    match plain.as_str() {
        "utf8" | "unicode" | "sqlascii" => Ok(()),
        _ => Err(Error::new(Kind::Unsupported, format!("encoding \"{name}\" is not supported"))
            .with_hint("accepted is UTF8")),
    }
}

/// A text in one of the normal forms of Unicode.
fn normalize(text: &str, form: &str) -> Result<Value> {
    use unicode_normalization::UnicodeNormalization;
    Value::text(match form.to_ascii_uppercase().as_str() {
        "NFC" => text.nfc().collect::<String>(),
        "NFD" => text.nfd().collect(),
        "NFKC" => text.nfkc().collect(),
        "NFKD" => text.nfkd().collect(),
        _ => return Err(Error::new(Kind::Invalid, format!("invalid normalization form: {form}"))),
    })
}

/// `\XXXX`, `\+XXXXXX`, `\uXXXX`, `\UXXXXXXXX` and `\\`.
fn unistr(text: &str) -> Result<Value> {
    let invalid = || {
        Error::new(Kind::Invalid, "invalid Unicode escape")
            .with_sqlstate("42601")
            .with_hint("Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX.")
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (skip, digits) = match rest.chars().next() {
            Some('\\') => {
                out.push('\\');
                rest = &rest[1..];
                continue;
            }
            Some('u') => (1, 4),
            Some('U') => (1, 8),
            Some('+') => (1, 6),
            _ => (0, 4),
        };
        let code = rest.get(skip..skip + digits).and_then(|code| u32::from_str_radix(code, 16).ok());
        out.push(code.and_then(char::from_u32).ok_or_else(invalid)?);
        rest = &rest[skip + digits..];
    }
    out.push_str(rest);
    Ok(Value::Text(out))
}

fn string_to_array(args: &Args<'_>) -> Result<Value> {
    if args.is_null(0) {
        return Ok(Value::Null);
    }
    let text = args.text(0);
    let null = (args.is_given(2) && !args.is_null(2)).then(|| args.text(2));
    let parts: Vec<String> = match args.is_null(1) {
        true => text.chars().map(String::from).collect(),
        false if text.is_empty() => Vec::new(),
        false if args.text(1).is_empty() => vec![text.to_string()],
        false => text.split(args.text(1)).map(str::to_string).collect(),
    };
    let item = |part: String| if Some(part.as_str()) == null { Value::Null } else { Value::Text(part) };
    Ok(Value::List(parts.into_iter().map(item).collect()))
}
