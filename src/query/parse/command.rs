//! Which statement it is, and the statements about sessions and transactions.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::{Command, Parsed, call, people, portal, query, refuse};
use crate::error::{Error, Kind, Result};
use crate::query::verb::VerbSignature;

/// The right side of `SET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::query) enum Value {
    Default,
    Text(String),
}

/// What `SHOW` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::query) enum Show {
    All,
    One(String),
}

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
}

/// Reads a statement and its command tag.
pub(super) fn command(
    cursor: &mut Cursor<'_>,
    text: &str,
    verbs: &[VerbSignature],
) -> Result<(&'static str, Command)> {
    let first = cursor.first_word();
    let starts_query = ["select", "with", "values", "table"].contains(&first.as_str());
    let command = match first.as_str() {
        _ if starts_query || cursor.peek() == Some(&Token::LParen) => {
            let query = query::query(cursor)?;
            cursor.expect_end()?;
            return Ok(("SELECT", query.map_or_else(Command::Refused, Command::Query)));
        }
        "explain" => ("EXPLAIN", explain(cursor)?),
        "copy" => ("COPY", copy(cursor)?),
        "declare" => ("DECLARE CURSOR", portal::declare(cursor)?),
        "fetch" => ("FETCH", portal::fetch(cursor, false)?),
        "move" => ("MOVE", portal::fetch(cursor, true)?),
        "close" => portal::close(cursor)?,
        "call" => ("CALL", call::call(cursor)?),
        "set" => ("SET", set(cursor)?),
        "show" => ("SHOW", show(cursor)?),
        "reset" => ("RESET", reset(cursor)?),
        "discard" => discard(cursor)?,
        "begin" | "start" => begin(cursor)?,
        "commit" | "end" => ("COMMIT", finish(cursor, Command::Commit)?),
        "abort" => ("ROLLBACK", finish(cursor, Command::Rollback)?),
        "rollback" => ("ROLLBACK", rollback(cursor)?),
        "savepoint" => {
            cursor.advance();
            ("SAVEPOINT", Command::Savepoint(cursor.identifier()?))
        }
        "release" => {
            cursor.advance();
            cursor.take("savepoint");
            ("RELEASE", Command::ReleaseSavepoint(cursor.identifier()?))
        }
        "prepare" => ("PREPARE", prepare(cursor, text, verbs)?),
        "execute" => ("EXECUTE", execute(cursor)?),
        "deallocate" => deallocate(cursor)?,
        "listen" => {
            cursor.advance();
            cursor.identifier()?;
            ("LISTEN", Command::Listen)
        }
        "unlisten" => {
            cursor.advance();
            if !cursor.take_token(&Token::Mul) {
                cursor.identifier()?;
            }
            ("UNLISTEN", Command::Unlisten)
        }
        "create" | "alter" | "drop" | "grant" | "revoke" => match people::statement(cursor)? {
            Some(found) => found,
            None => return Ok(("", refuse::refused(cursor)?)),
        },
        _ => return Ok(("", refuse::refused(cursor)?)),
    };
    cursor.expect_end()?;
    Ok(command)
}

fn explain(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    let (mut analyze, mut verbose) = (false, false);
    if cursor.peek() == Some(&Token::LParen) && !is_query_after_parenthesis(cursor) {
        cursor.advance();
        loop {
            let option = cursor.identifier()?;
            let value = match cursor.peek() {
                Some(Token::Comma | Token::RParen) | None => "true".to_string(),
                Some(Token::SingleQuotedString(_)) => cursor.text()?,
                Some(Token::Number(number, _)) => {
                    let number = number.clone();
                    cursor.advance();
                    number
                }
                _ => cursor.identifier()?,
            };
            let on = matches!(value.as_str(), "true" | "on" | "1");
            match option.as_str() {
                "analyze" => analyze = on,
                "verbose" => verbose = on,
                "format" if value == "text" => {}
                "format" => {
                    let error =
                        Error::new(Kind::Unsupported, format!("EXPLAIN has no format `{value}` here"));
                    return Err(error.with_hint("accepted is FORMAT TEXT"));
                }
                "buffers" | "costs" | "timing" | "summary" | "settings" | "wal" => {}
                _ => {
                    let error =
                        Error::new(Kind::Invalid, format!("unrecognized EXPLAIN option \"{option}\""));
                    return Err(error.with_sqlstate("42601"));
                }
            }
            if !cursor.take_token(&Token::Comma) {
                break;
            }
        }
        cursor.expect_token(&Token::RParen)?;
    } else {
        analyze = cursor.take("analyze");
        verbose = cursor.take("verbose");
    }
    let starts_query = ["select", "with", "values", "table"].iter().any(|word| cursor.is_word(0, word));
    if !starts_query && cursor.peek() != Some(&Token::LParen) {
        return Err(
            Error::new(Kind::Unsupported, "EXPLAIN explains queries only").with_position(cursor.position())
        );
    }
    let query = query::query(cursor)?;
    Ok(query.map_or_else(Command::Refused, |query| Command::Explain { query, analyze, verbose }))
}

fn is_query_after_parenthesis(cursor: &Cursor<'_>) -> bool {
    ["select", "with", "values", "table"].iter().any(|word| cursor.is_word(1, word))
        || cursor.peek_at(1) == Some(&Token::LParen)
}

fn copy(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    let query = if cursor.take_token(&Token::LParen) {
        let query = query::query(cursor)?;
        cursor.expect_token(&Token::RParen)?;
        query
    } else {
        Ok(query::copy_table(cursor)?)
    };
    if cursor.take("from") {
        return Err(Error::new(Kind::Denied, "tributary is read-only: COPY FROM is not allowed")
            .with_sqlstate("25006")
            .with_hint("data comes in by CALL sync(...)"));
    }
    cursor.expect("to")?;
    if !cursor.take("stdout") {
        return Err(Error::new(Kind::Denied, "COPY writes to STDOUT only, never to a file or program")
            .with_hint("psql's \\copy writes the file on the client"));
    }
    let options = copy_options(cursor)?;
    Ok(query.map_or_else(Command::Refused, |query| Command::Copy { query, options }))
}

fn copy_options(cursor: &mut Cursor<'_>) -> Result<CopyOptions> {
    let mut given: Vec<(String, String)> = Vec::new();
    cursor.take("with");
    if cursor.take_token(&Token::LParen) {
        loop {
            let name = cursor.identifier()?;
            let value = match cursor.peek() {
                Some(Token::Word(_)) => cursor.identifier()?,
                Some(Token::Comma | Token::RParen) => "true".into(),
                _ => cursor.text()?,
            };
            given.push((name, value));
            if !cursor.take_token(&Token::Comma) {
                break;
            }
        }
        cursor.expect_token(&Token::RParen)?;
    } else {
        while !cursor.is_at_end() {
            let name = cursor.identifier()?;
            match name.as_str() {
                "binary" | "csv" => given.push(("format".into(), name)),
                "header" => given.push((name, "true".into())),
                _ => {
                    cursor.take("as");
                    let value = cursor.text()?;
                    given.push((name, value));
                }
            }
        }
    }
    resolve_copy_options(&given)
}

fn resolve_copy_options(given: &[(String, String)]) -> Result<CopyOptions> {
    let find = |name: &str| given.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
    let invalid = |what: String| Error::new(Kind::Invalid, what);
    let format = match find("format").unwrap_or("text") {
        "text" => CopyFormat::Text,
        "csv" => CopyFormat::Csv,
        "binary" => CopyFormat::Binary,
        other => return Err(invalid(format!("COPY format \"{other}\" not recognized"))),
    };
    let one = |name: &str, default: char| -> Result<char> {
        let Some(value) = find(name) else { return Ok(default) };
        let mut chars = value.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) if c.is_ascii() => Ok(c),
            _ => Err(invalid(format!("COPY {name} must be a single one-byte character"))),
        }
    };
    for (name, _) in given {
        let known = ["format", "header", "delimiter", "null", "quote", "escape", "encoding", "force_quote"];
        if !known.contains(&name.as_str()) {
            return Err(invalid(format!("option \"{name}\" not recognized")).with_sqlstate("42601"));
        }
    }
    let is_csv = format == CopyFormat::Csv;
    let quote = one("quote", '"')?;
    Ok(CopyOptions {
        format,
        header: matches!(find("header"), Some("true" | "on" | "1")),
        delimiter: one("delimiter", if is_csv { ',' } else { '\t' })?,
        null: find("null").unwrap_or(if is_csv { "" } else { "\\N" }).into(),
        quote,
        escape: one("escape", quote)?,
    })
}

fn set(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    if cursor.take_all(&["session", "characteristics", "as", "transaction"]) {
        return transaction_modes(cursor).map(|()| Command::SetTransaction);
    }
    let local = cursor.take("local");
    if !local {
        cursor.take("session");
    }
    if cursor.take("transaction") {
        return transaction_modes(cursor).map(|()| Command::SetTransaction);
    }
    if cursor.take_all(&["time", "zone"]) {
        let value = if cursor.take("local") { Value::Default } else { set_value(cursor)? };
        return Ok(Command::Set { name: "timezone".into(), value, local });
    }
    if cursor.take("names") {
        let value = if cursor.is_at_end() { Value::Default } else { set_value(cursor)? };
        return Ok(Command::Set { name: "client_encoding".into(), value, local });
    }
    let name = setting_name(cursor)?;
    if !cursor.take_token(&Token::Eq) && !cursor.take("to") {
        // SET ROLE name, SET SESSION AUTHORIZATION name
        if name == "role" || name == "authorization" {
            let value = set_value(cursor)?;
            return Ok(Command::Set { name: "role".into(), value, local });
        }
        return Err(cursor.unexpected());
    }
    Ok(Command::Set { name, value: set_value(cursor)?, local })
}

fn setting_name(cursor: &mut Cursor<'_>) -> Result<String> {
    let mut name = cursor.identifier()?;
    while cursor.take_token(&Token::Period) {
        name = format!("{name}.{}", cursor.identifier()?);
    }
    Ok(name.to_lowercase())
}

fn set_value(cursor: &mut Cursor<'_>) -> Result<Value> {
    if cursor.take("default") {
        return Ok(Value::Default);
    }
    let mut values = Vec::new();
    loop {
        let sign = if cursor.take_token(&Token::Minus) { "-" } else { "" };
        let value = match cursor.peek() {
            Some(Token::Number(number, _)) => {
                let number = format!("{sign}{number}");
                cursor.advance();
                number
            }
            Some(Token::Word(_)) if sign.is_empty() => {
                let word = cursor.identifier()?;
                // SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE
                if word == "interval" {
                    let text = cursor.text()?;
                    while matches!(cursor.peek(), Some(Token::Word(_))) {
                        cursor.advance();
                    }
                    hours(&text).unwrap_or(text)
                } else {
                    word
                }
            }
            _ if sign.is_empty() => cursor.text()?,
            _ => return Err(cursor.unexpected()),
        };
        values.push(value);
        if !cursor.take_token(&Token::Comma) {
            break;
        }
    }
    Ok(Value::Text(values.join(", ")))
}

/// The hours of `-08:30` as a number: an interval east of UTC, unlike the offset of a zone's name.
fn hours(interval: &str) -> Option<String> {
    let (sign, clock) = match interval.strip_prefix('-') {
        Some(clock) => (-1.0, clock),
        None => (1.0, interval.trim_start_matches('+')),
    };
    let (hours, minutes) = clock.split_once(':').unwrap_or((clock, "0"));
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    Some((sign * (f64::from(hours) + f64::from(minutes) / 60.0)).to_string())
}

fn show(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    let show = if cursor.take("all") {
        Show::All
    } else if cursor.take_all(&["time", "zone"]) {
        Show::One("timezone".into())
    } else if cursor.take_all(&["transaction", "isolation", "level"]) {
        Show::One("transaction_isolation".into())
    } else if cursor.take_all(&["session", "authorization"]) {
        Show::One("session_authorization".into())
    } else {
        Show::One(setting_name(cursor)?)
    };
    Ok(Command::Show(show))
}

fn reset(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    if cursor.take("all") {
        return Ok(Command::Reset(None));
    }
    if cursor.take_all(&["time", "zone"]) {
        return Ok(Command::Reset(Some("timezone".into())));
    }
    if cursor.take_all(&["session", "authorization"]) {
        return Ok(Command::Reset(Some("role".into())));
    }
    Ok(Command::Reset(Some(setting_name(cursor)?)))
}

fn discard(cursor: &mut Cursor<'_>) -> Result<(&'static str, Command)> {
    cursor.advance();
    Ok(match cursor.identifier()?.as_str() {
        "all" => ("DISCARD ALL", Command::DiscardAll),
        "plans" => ("DISCARD PLANS", Command::DiscardPlans),
        "sequences" => ("DISCARD SEQUENCES", Command::DiscardPlans),
        "temp" | "temporary" => ("DISCARD TEMP", Command::DiscardPlans),
        _ => {
            cursor.rewind();
            cursor.advance();
            return Err(cursor.unexpected());
        }
    })
}

fn begin(cursor: &mut Cursor<'_>) -> Result<(&'static str, Command)> {
    let is_start = cursor.is_word(0, "start");
    cursor.advance();
    if is_start {
        cursor.expect("transaction")?;
    } else if !cursor.take("transaction") {
        cursor.take("work");
    }
    transaction_modes(cursor)?;
    Ok((if is_start { "START TRANSACTION" } else { "BEGIN" }, Command::Begin))
}

/// A transaction reads one release, which is more than any isolation level asks for. Writing ones are accepted,
/// too: nothing in them could write.
fn transaction_modes(cursor: &mut Cursor<'_>) -> Result<()> {
    while !cursor.is_at_end() {
        let known = cursor.take_all(&["isolation", "level", "read", "committed"])
            || cursor.take_all(&["isolation", "level", "read", "uncommitted"])
            || cursor.take_all(&["isolation", "level", "repeatable", "read"])
            || cursor.take_all(&["isolation", "level", "serializable"])
            || cursor.take_all(&["read", "only"])
            || cursor.take_all(&["read", "write"])
            || cursor.take_all(&["not", "deferrable"])
            || cursor.take("deferrable");
        if !known {
            return Err(cursor.unexpected());
        }
        cursor.take_token(&Token::Comma);
    }
    Ok(())
}

fn finish(cursor: &mut Cursor<'_>, command: Command) -> Result<Command> {
    cursor.advance();
    if !cursor.take("transaction") {
        cursor.take("work");
    }
    if cursor.take_all(&["and", "chain"]) {
        return Err(Error::new(Kind::Unsupported, "AND CHAIN is not supported"));
    }
    cursor.take_all(&["and", "no", "chain"]);
    Ok(command)
}

fn rollback(cursor: &mut Cursor<'_>) -> Result<Command> {
    let command = finish(cursor, Command::Rollback)?;
    if cursor.take("to") {
        cursor.take("savepoint");
        return Ok(Command::RollbackTo(cursor.identifier()?));
    }
    Ok(command)
}

fn prepare(cursor: &mut Cursor<'_>, text: &str, verbs: &[VerbSignature]) -> Result<Command> {
    cursor.advance();
    let name = cursor.identifier()?;
    let mut types = Vec::new();
    if cursor.take_token(&Token::LParen) {
        types = cursor.parse(|parser| parser.parse_comma_separated(|parser| parser.parse_data_type()))?;
        cursor.expect_token(&Token::RParen)?;
    }
    cursor.expect("as")?;
    let statement = inner(cursor, text, verbs)?;
    Ok(Command::Prepare { name, types, statement })
}

/// The statement after `PREPARE name AS`, as a statement of its own.
fn inner(cursor: &mut Cursor<'_>, text: &str, verbs: &[VerbSignature]) -> Result<Parsed> {
    let rest = cursor.rest_of(text);
    let mut statements = super::parse(rest, verbs).map_err(|error| cursor.moved(error))?;
    cursor.skip_all();
    let statement = statements.pop().ok_or_else(|| cursor.unexpected())?;
    match statement.command() {
        Command::Query(_) | Command::Call { .. } | Command::Refused(_) => Ok(statement),
        _ => Err(super::cursor::syntax_error("PREPARE takes a query or a CALL")),
    }
}

fn execute(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    let name = cursor.identifier()?;
    let mut arguments: Vec<ast::Expr> = Vec::new();
    if cursor.take_token(&Token::LParen) {
        if cursor.peek() != Some(&Token::RParen) {
            arguments = cursor.parse(|parser| parser.parse_comma_separated(|parser| parser.parse_expr()))?;
        }
        cursor.expect_token(&Token::RParen)?;
    }
    Ok(Command::Execute { name, arguments })
}

fn deallocate(cursor: &mut Cursor<'_>) -> Result<(&'static str, Command)> {
    cursor.advance();
    cursor.take("prepare");
    if cursor.take("all") {
        return Ok(("DEALLOCATE ALL", Command::Deallocate(None)));
    }
    Ok(("DEALLOCATE", Command::Deallocate(Some(cursor.identifier()?))))
}
