//! Statements about tables that change nothing here: `VACUUM`, `ANALYZE`, `LOCK`, `COMMENT`, and `DO`.

use datafusion::common::TableReference;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::Command;
use super::cursor::{Cursor, syntax_error};
use super::refuse::{self, Refusal};
use crate::error::Result;

/// How `LOCK` locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::query) enum Mode {
    /// What reading does: whoever may read may lock.
    AccessShare,
    /// Whatever keeps others from something.
    Stronger,
}

const VACUUM_OPTIONS: &[&str] = &[
    "full",
    "freeze",
    "verbose",
    "analyze",
    "disable_page_skipping",
    "skip_locked",
    "index_cleanup",
    "process_toast",
    "truncate",
    "parallel",
];
const ANALYZE_OPTIONS: &[&str] = &["verbose", "skip_locked"];

/// `VACUUM` and `ANALYZE`
pub(super) fn vacuum(cursor: &mut Cursor<'_>) -> Result<Command> {
    let verb = if cursor.is_word(0, "vacuum") { "vacuum" } else { "analyze" };
    cursor.advance();
    if cursor.take_token(&Token::LParen) {
        let known = if verb == "vacuum" { VACUUM_OPTIONS } else { ANALYZE_OPTIONS };
        loop {
            let position = cursor.position();
            let option = cursor.identifier()?;
            if !known.contains(&option.as_str()) {
                let what = format!("unrecognized {} option \"{option}\"", verb.to_uppercase());
                return Err(syntax_error(what).with_position(position));
            }
            while !matches!(cursor.peek(), Some(Token::Comma | Token::RParen) | None) {
                cursor.advance();
            }
            if !cursor.take_token(&Token::Comma) {
                break;
            }
        }
        cursor.expect_token(&Token::RParen)?;
    } else {
        for option in ["full", "freeze", "verbose", "analyze"] {
            cursor.take(option);
        }
    }
    let mut tables = Vec::new();
    while !cursor.is_at_end() {
        tables.push(table(cursor)?);
        if cursor.take_token(&Token::LParen) {
            while !cursor.take_token(&Token::RParen) {
                cursor.identifier()?;
                cursor.take_token(&Token::Comma);
            }
        }
        if !cursor.take_token(&Token::Comma) {
            break;
        }
    }
    Ok(Command::Maintain { verb, tables })
}

/// `LOCK [TABLE] [ONLY] name [*] [, ...] [IN mode MODE] [NOWAIT]`
pub(super) fn lock(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    cursor.take("table");
    let mut tables = Vec::new();
    loop {
        cursor.take("only");
        tables.push(table(cursor)?);
        cursor.take_token(&Token::Mul);
        if !cursor.take_token(&Token::Comma) {
            break;
        }
    }
    let mut mode = Mode::Stronger;
    if cursor.take("in") {
        let stronger: [&[&str]; 7] = [
            &["row", "share"],
            &["row", "exclusive"],
            &["share", "update", "exclusive"],
            &["share", "row", "exclusive"],
            &["share"],
            &["exclusive"],
            &["access", "exclusive"],
        ];
        if cursor.take_all(&["access", "share"]) {
            mode = Mode::AccessShare;
        } else if !stronger.iter().any(|words| cursor.take_all(words)) {
            return Err(cursor.unexpected());
        }
        cursor.expect("mode")?;
    }
    cursor.take("nowait");
    Ok(Command::Lock { tables, mode })
}

/// `COMMENT ON TABLE name IS ...`, `COMMENT ON COLUMN name.column IS ...`; on anything else it would be a write.
pub(super) fn comment(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    cursor.expect("on")?;
    let what = match cursor.identifier()?.as_str() {
        "table" => "table",
        "column" => "relation",
        _ => {
            cursor.skip_all();
            return Ok(Command::Refused(Refusal::Write("COMMENT".into())));
        }
    };
    let mut names = parts(cursor)?;
    if what == "relation" && names.len() > 1 {
        names.pop();
    }
    cursor.expect("is")?;
    if !cursor.take("null") {
        cursor.text()?;
    }
    Ok(Command::Owner { what, table: reference(names) })
}

/// `DO [LANGUAGE name] 'code'`. There is no language to run it.
pub(super) fn block(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    let mut language = "plpgsql".to_string();
    let mut has_code = false;
    while !cursor.is_at_end() {
        if cursor.take("language") {
            language = match cursor.peek() {
                Some(Token::Word(_)) => cursor.identifier()?,
                _ => cursor.text()?,
            };
        } else {
            cursor.text()?;
            has_code = true;
        }
    }
    match has_code {
        true => Ok(Command::Refused(Refusal::Language(language))),
        false => refuse::refused(cursor),
    }
}

fn parts(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    let mut names = vec![cursor.identifier()?];
    while cursor.take_token(&Token::Period) {
        names.push(cursor.identifier()?);
    }
    Ok(names)
}

fn table(cursor: &mut Cursor<'_>) -> Result<TableReference> {
    parts(cursor).map(reference)
}

fn reference(names: Vec<String>) -> TableReference {
    let mut names = names.into_iter().rev();
    let table = names.next().unwrap_or_default();
    match (names.next(), names.next()) {
        (Some(schema), Some(catalog)) => TableReference::full(catalog, schema, table),
        (Some(schema), None) => TableReference::partial(schema, table),
        (None, _) => TableReference::bare(table),
    }
}
