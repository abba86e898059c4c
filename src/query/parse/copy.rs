//! `COPY ... TO STDOUT` and its options.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::{Cursor, syntax_error};
use super::refuse::Refusal;
use super::{Command, query};
use crate::error::{Error, Kind, Result};

/// The format of `COPY ... TO STDOUT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// Tab-separated with backslash escapes.
    Text,
    /// Comma-separated with quotes.
    Csv,
    /// PostgreSQL's binary format.
    Binary,
}

/// Which values are quoted in CSV though they need not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForceQuote {
    /// All that are not NULL.
    All,
    /// Those of these columns.
    Columns(Vec<String>),
}

/// How `COPY ... TO STDOUT` wants its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// The format.
    pub format: CopyFormat,
    /// Whether the first line has the column names.
    pub header: bool,
    /// Between columns.
    pub delimiter: char,
    /// What stands for NULL.
    pub null: String,
    /// Around values in CSV.
    pub quote: char,
    /// Before quotes in CSV.
    pub escape: char,
    /// What is quoted in CSV besides what must be.
    pub force_quote: ForceQuote,
}

pub(super) fn copy(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    let is_binary = cursor.take("binary");
    let query = if cursor.take_token(&Token::LParen) {
        let query = query::query(cursor)?;
        cursor.expect_token(&Token::RParen)?;
        query
    } else {
        Ok(query::copy_table(cursor)?)
    };
    if cursor.take("from") {
        cursor.skip_all();
        return Ok(Command::Refused(Refusal::Write("COPY FROM".into())));
    }
    cursor.expect("to")?;
    if !cursor.take("stdout") {
        let (role, what) = match cursor.take("program") {
            true => ("pg_execute_server_program", "to or from an external program"),
            false => ("pg_write_server_files", "to a file"),
        };
        cursor.text()?;
        cursor.skip_all();
        let what = format!("must be superuser or have privileges of the {role} role to COPY {what}");
        return Ok(Command::Refused(Refusal::Denied {
            what,
            hint: "Anyone can COPY to stdout or from stdin. psql's \\copy command also works for anyone.",
        }));
    }
    let options = options(cursor, is_binary)?;
    Ok(query.map_or_else(Command::Refused, |query| Command::Copy { query, options }))
}

/// An option: its name, its value, where it stands.
type Setting = (String, Given, u32);

/// An option's value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Given {
    Text(String),
    Columns(ForceQuote),
}

fn options(cursor: &mut Cursor<'_>, is_binary: bool) -> Result<CopyOptions> {
    let mut given: Vec<Setting> = Vec::new();
    let yes = || Given::Text("true".into());
    if is_binary {
        given.push(("format".into(), Given::Text("binary".into()), cursor.position()));
    }
    if cursor.is_at_end() {
        return resolve(&given);
    }
    cursor.take("with");
    if cursor.take_token(&Token::LParen) {
        loop {
            let position = cursor.position();
            let name = cursor.identifier()?;
            if given.iter().any(|(known, ..)| *known == name) {
                return Err(syntax_error("conflicting or redundant options").with_position(position));
            }
            let value = match cursor.peek() {
                Some(Token::Word(_)) => Given::Text(cursor.identifier()?),
                Some(Token::Comma | Token::RParen) => yes(),
                Some(Token::Number(number, _)) => {
                    let number = number.clone();
                    cursor.advance();
                    Given::Text(number)
                }
                Some(Token::Mul) | Some(Token::LParen) => Given::Columns(columns(cursor)?),
                _ => Given::Text(cursor.text()?),
            };
            given.push((name, value, position));
            if !cursor.take_token(&Token::Comma) {
                break;
            }
        }
        cursor.expect_token(&Token::RParen)?;
    } else {
        while !cursor.is_at_end() {
            let position = cursor.position();
            let name = cursor.identifier()?;
            let (name, value) = match name.as_str() {
                "binary" | "csv" => ("format".to_string(), Given::Text(name)),
                "header" | "freeze" => (name, yes()),
                "force" => {
                    cursor.expect("quote")?;
                    ("force_quote".into(), Given::Columns(columns(cursor)?))
                }
                "delimiter" | "null" | "quote" | "escape" | "encoding" => {
                    cursor.take("as");
                    (name, Given::Text(cursor.text()?))
                }
                _ => {
                    let what = format!("syntax error at or near \"{name}\"");
                    return Err(syntax_error(what).with_position(position));
                }
            };
            if given.iter().any(|(known, ..)| *known == name) {
                return Err(syntax_error("conflicting or redundant options").with_position(position));
            }
            given.push((name, value, position));
        }
    }
    resolve(&given)
}

/// `*`, `(a, b)`, or `a, b`.
fn columns(cursor: &mut Cursor<'_>) -> Result<ForceQuote> {
    if cursor.take_token(&Token::Mul) {
        return Ok(ForceQuote::All);
    }
    let is_enclosed = cursor.take_token(&Token::LParen);
    let mut columns = vec![cursor.identifier()?];
    while cursor.take_token(&Token::Comma) {
        columns.push(cursor.identifier()?);
    }
    if is_enclosed {
        cursor.expect_token(&Token::RParen)?;
    }
    Ok(ForceQuote::Columns(columns))
}

/// Characters that a text line needs for itself.
const RESERVED: &str = "\\.abcdefghijklmnopqrstuvwxyz0123456789";

fn resolve(given: &[Setting]) -> Result<CopyOptions> {
    let find = |name: &str| {
        given.iter().find(|(known, ..)| known == name).and_then(|(_, value, _)| match value {
            Given::Text(text) => Some(text.as_str()),
            Given::Columns(_) => None,
        })
    };
    let place = |name: &str| given.iter().find(|(known, ..)| known == name).map_or(1, |(.., place)| *place);
    let invalid = |what: String| Error::new(Kind::Invalid, what);
    let unsupported = |what: &str| Err(Error::new(Kind::Unsupported, what));
    for (name, value, place) in given {
        let takes_columns = ["force_quote", "force_not_null", "force_null"].contains(&name.as_str());
        let known = ["format", "header", "delimiter", "null", "quote", "escape", "encoding", "freeze"];
        if !takes_columns && !known.contains(&name.as_str()) {
            return Err(syntax_error(format!("option \"{name}\" not recognized")).with_position(*place));
        }
        if takes_columns != matches!(value, Given::Columns(_)) {
            return Err(match takes_columns {
                true => invalid(format!("argument to option \"{name}\" must be a list of column names")),
                false => syntax_error(format!("option \"{name}\" takes no list")),
            });
        }
    }
    let format = match find("format").unwrap_or("text") {
        "text" => CopyFormat::Text,
        "csv" => CopyFormat::Csv,
        "binary" => CopyFormat::Binary,
        other => {
            let what = format!("COPY format \"{other}\" not recognized");
            return Err(invalid(what).with_position(place("format")));
        }
    };
    let (is_csv, is_binary) = (format == CopyFormat::Csv, format == CopyFormat::Binary);
    let header = match find("header").map(str::to_lowercase).as_deref() {
        None | Some("false" | "off" | "0") => false,
        Some("true" | "on" | "1") => true,
        Some("match") => return unsupported("cannot use \"match\" with HEADER in COPY TO"),
        Some(_) => return Err(syntax_error("header requires a Boolean value or \"match\"")),
    };
    if is_binary {
        for (name, is_given) in [("DELIMITER", find("delimiter").is_some()), ("NULL", find("null").is_some())]
        {
            if is_given {
                return Err(syntax_error(format!("cannot specify {name} in BINARY mode")));
            }
        }
        if header {
            return unsupported("cannot specify HEADER in BINARY mode");
        }
    }
    let one = |name: &str, default: char| -> Result<char> {
        let Some(value) = find(name) else { return Ok(default) };
        let mut chars = value.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) if c.is_ascii() => Ok(c),
            _ => {
                Err(Error::new(Kind::Unsupported, format!("COPY {name} must be a single one-byte character")))
            }
        }
    };
    let delimiter = one("delimiter", if is_csv { ',' } else { '\t' })?;
    let null = find("null").unwrap_or(if is_csv { "" } else { "\\N" });
    if matches!(delimiter, '\n' | '\r') {
        return Err(invalid("COPY delimiter cannot be newline or carriage return".into()));
    }
    if null.contains(['\n', '\r']) {
        return Err(invalid("COPY null representation cannot use newline or carriage return".into()));
    }
    if !is_csv && RESERVED.contains(delimiter) {
        return Err(invalid(format!("COPY delimiter cannot be \"{delimiter}\"")));
    }
    for name in ["quote", "escape", "force_quote"] {
        if !is_csv && given.iter().any(|(known, ..)| known == name) {
            return unsupported(&format!("COPY {} available only in CSV mode", name.replace('_', " ")));
        }
    }
    let quote = one("quote", '"')?;
    let escape = one("escape", quote)?;
    if is_csv && delimiter == quote {
        return Err(invalid("COPY delimiter and quote must be different".into()));
    }
    for (name, shown) in [("force_not_null", "force not null"), ("force_null", "force null")] {
        if given.iter().any(|(known, ..)| known == name) {
            return unsupported(&format!("COPY {shown} only available using COPY FROM"));
        }
    }
    if find("freeze").is_some_and(|value| !["false", "off", "0"].contains(&value)) {
        return unsupported("COPY FREEZE only available using COPY FROM");
    }
    if !is_binary && null.contains(delimiter) {
        return unsupported("COPY delimiter must not appear in the NULL specification");
    }
    if is_csv && null.contains(quote) {
        return unsupported("CSV quote character must not appear in the NULL specification");
    }
    if let Some(encoding) = find("encoding") {
        let plain = encoding.to_ascii_uppercase().replace(['-', '_'], "");
        if !["UTF8", "UNICODE"].contains(&plain.as_str()) {
            let what = "argument to option \"encoding\" must be a valid encoding name";
            let error = invalid(what.into()).with_position(place("encoding"));
            return Err(error.with_hint("the encoding is always UTF8"));
        }
    }
    let force_quote = given.iter().find_map(|(name, value, _)| match value {
        Given::Columns(columns) if name == "force_quote" => Some(columns.clone()),
        _ => None,
    });
    Ok(CopyOptions {
        format,
        header,
        delimiter,
        null: null.into(),
        quote,
        escape,
        force_quote: force_quote.unwrap_or_else(|| ForceQuote::Columns(Vec::new())),
    })
}
