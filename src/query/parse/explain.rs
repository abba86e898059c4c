//! `EXPLAIN` and its options.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::{Cursor, syntax_error};
use super::{Command, command, query, refuse};
use crate::error::{Error, Kind, Result};

/// How a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::query) struct Explain {
    /// Runs it, and shows what it really took.
    pub(in crate::query) analyze: bool,
    pub(in crate::query) verbose: bool,
    pub(in crate::query) costs: bool,
    pub(in crate::query) timing: bool,
    pub(in crate::query) summary: bool,
    pub(in crate::query) json: bool,
}

pub(super) fn explain(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    let options = options(cursor)?;
    if cursor.is_word(0, "execute") {
        let (name, arguments) = command::execution(cursor)?;
        return Ok(Command::ExplainExecute { name, arguments, options });
    }
    let starts_query = ["select", "with", "values", "table"].iter().any(|word| cursor.is_word(0, word));
    if !starts_query && cursor.peek() != Some(&Token::LParen) {
        return refuse::refused_here(cursor);
    }
    let query = query::query(cursor)?;
    Ok(query.map_or_else(Command::Refused, |query| Command::Explain { query, options }))
}

fn options(cursor: &mut Cursor<'_>) -> Result<Explain> {
    let mut options =
        Explain { analyze: false, verbose: false, costs: true, timing: true, summary: false, json: false };
    if cursor.peek() != Some(&Token::LParen) || is_query_after_parenthesis(cursor) {
        options.analyze = cursor.take("analyze") || cursor.take("analyse");
        options.verbose = cursor.take("verbose");
        options.summary = options.analyze;
        return Ok(options);
    }
    cursor.advance();
    let (mut timing, mut summary, mut wal) = (None, None, false);
    loop {
        let position = cursor.position();
        let option = cursor.identifier()?;
        match option.as_str() {
            "analyze" | "analyse" => options.analyze = switch(cursor, "analyze")?,
            "verbose" => options.verbose = switch(cursor, &option)?,
            "costs" => options.costs = switch(cursor, &option)?,
            "timing" => timing = Some(switch(cursor, &option)?),
            "summary" => summary = Some(switch(cursor, &option)?),
            "wal" => wal = switch(cursor, &option)?,
            // There are no buffers of pages, and no setting that changes a plan.
            "buffers" | "settings" => {
                switch(cursor, &option)?;
            }
            "format" => options.json = format(cursor, position)?,
            _ => {
                let what = format!("unrecognized EXPLAIN option \"{option}\"");
                return Err(syntax_error(what).with_position(position));
            }
        }
        if !cursor.take_token(&Token::Comma) {
            break;
        }
    }
    cursor.expect_token(&Token::RParen)?;
    for (name, is_on) in [("WAL", wal), ("TIMING", timing == Some(true))] {
        if is_on && !options.analyze {
            return Err(Error::new(Kind::Invalid, format!("EXPLAIN option {name} requires ANALYZE")));
        }
    }
    options.timing = timing.unwrap_or(true);
    options.summary = summary.unwrap_or(options.analyze);
    Ok(options)
}

/// The word, text or number behind an option; `None` where there is none.
fn value(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    Ok(Some(match cursor.peek() {
        Some(Token::Comma | Token::RParen) | None => return Ok(None),
        Some(Token::SingleQuotedString(_)) => cursor.text()?,
        Some(Token::Number(number, _)) => {
            let number = number.clone();
            cursor.advance();
            number
        }
        _ => cursor.identifier()?,
    }))
}

fn switch(cursor: &mut Cursor<'_>, option: &str) -> Result<bool> {
    let value = value(cursor)?;
    match value.as_deref().map(str::to_lowercase).as_deref() {
        None | Some("true" | "on" | "1") => Ok(true),
        Some("false" | "off" | "0") => Ok(false),
        Some(_) => Err(syntax_error(format!("{option} requires a Boolean value"))),
    }
}

/// Whether the format is JSON.
fn format(cursor: &mut Cursor<'_>, position: u32) -> Result<bool> {
    let value = value(cursor)?.unwrap_or_default();
    match value.as_str() {
        "text" => Ok(false),
        "json" => Ok(true),
        "xml" | "yaml" => {
            let what = format!("EXPLAIN has no format \"{value}\" here");
            Err(Error::new(Kind::Unsupported, what).with_hint("accepted are TEXT and JSON"))
        }
        _ => {
            let what = format!("unrecognized value for EXPLAIN option \"format\": \"{value}\"");
            Err(Error::new(Kind::Invalid, what).with_position(position))
        }
    }
}

fn is_query_after_parenthesis(cursor: &Cursor<'_>) -> bool {
    ["select", "with", "values", "table"].iter().any(|word| cursor.is_word(1, word))
        || cursor.peek_at(1) == Some(&Token::LParen)
}
