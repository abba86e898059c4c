//! `SET`, `SHOW`, `RESET`, `DISCARD`.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::{Command, transaction};
use crate::error::Result;

/// The right side of `SET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::query) enum Value {
    Default,
    /// The words given, in order.
    Given(Vec<String>),
}

/// What `SHOW` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::query) enum Show {
    All,
    One(String),
}

pub(super) fn set(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    if cursor.take_all(&["session", "characteristics", "as", "transaction"]) {
        return transaction::modes(cursor).map(Command::SetTransactions);
    }
    let local = cursor.take("local");
    if !local {
        cursor.take("session");
    }
    if cursor.take("transaction") {
        return transaction::modes(cursor).map(Command::SetTransaction);
    }
    if cursor.take_all(&["time", "zone"]) {
        let value = if cursor.take("local") { Value::Default } else { value(cursor)? };
        return Ok(Command::Set { name: "timezone".into(), value, local });
    }
    if cursor.take("names") {
        let value = if cursor.is_at_end() { Value::Default } else { value(cursor)? };
        return Ok(Command::Set { name: "client_encoding".into(), value, local });
    }
    let name = name(cursor)?;
    if !cursor.take_token(&Token::Eq) && !cursor.take("to") {
        // SET ROLE name, SET SESSION AUTHORIZATION name
        let name = match name.as_str() {
            "role" => name,
            "authorization" => "session_authorization".into(),
            _ => return Err(cursor.unexpected()),
        };
        return Ok(Command::Set { name, value: value(cursor)?, local });
    }
    Ok(Command::Set { name, value: value(cursor)?, local })
}

fn name(cursor: &mut Cursor<'_>) -> Result<String> {
    let mut name = cursor.identifier()?;
    while cursor.take_token(&Token::Period) {
        name = format!("{name}.{}", cursor.identifier()?);
    }
    Ok(name.to_lowercase())
}

fn value(cursor: &mut Cursor<'_>) -> Result<Value> {
    if cursor.take("default") {
        return Ok(Value::Default);
    }
    let mut values = Vec::new();
    loop {
        let sign = if cursor.take_token(&Token::Minus) { "-" } else { "" };
        if sign.is_empty() {
            cursor.take_token(&Token::Plus);
        }
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
    Ok(Value::Given(values))
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

pub(super) fn show(cursor: &mut Cursor<'_>) -> Result<Command> {
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
        Show::One(name(cursor)?)
    };
    Ok(Command::Show(show))
}

pub(super) fn reset(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    if cursor.take("all") {
        return Ok(Command::Reset(None));
    }
    Ok(Command::Reset(Some(if cursor.take_all(&["time", "zone"]) {
        "timezone".into()
    } else if cursor.take_all(&["session", "authorization"]) {
        "session_authorization".into()
    } else if cursor.take_all(&["transaction", "isolation", "level"]) {
        "transaction_isolation".into()
    } else {
        name(cursor)?
    })))
}

pub(super) fn discard(cursor: &mut Cursor<'_>) -> Result<(&'static str, Command)> {
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
