//! Which statement it is, and the statements about sessions and transactions.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::{
    Command, Parsed, call, copy, explain, maintain, notify, people, portal, query, refuse, setting,
    transaction,
};
use crate::error::Result;
use crate::query::verb::VerbSignature;

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
        "explain" => ("EXPLAIN", explain::explain(cursor)?),
        "copy" => ("COPY", copy::copy(cursor)?),
        "declare" => ("DECLARE CURSOR", portal::declare(cursor)?),
        "fetch" => ("FETCH", portal::fetch(cursor, false)?),
        "move" => ("MOVE", portal::fetch(cursor, true)?),
        "close" => portal::close(cursor)?,
        "call" => ("CALL", call::call(cursor)?),
        "set" => ("SET", setting::set(cursor)?),
        "show" => ("SHOW", setting::show(cursor)?),
        "reset" => ("RESET", setting::reset(cursor)?),
        "discard" => setting::discard(cursor)?,
        "begin" | "start" => transaction::begin(cursor)?,
        "commit" | "end" => ("COMMIT", transaction::commit(cursor)?),
        "abort" | "rollback" => ("ROLLBACK", transaction::rollback(cursor)?),
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
        "listen" => ("LISTEN", notify::listen(cursor)?),
        "unlisten" => ("UNLISTEN", notify::unlisten(cursor)?),
        "notify" => ("NOTIFY", notify::notify(cursor)?),
        "vacuum" => ("VACUUM", maintain::vacuum(cursor)?),
        "analyze" | "analyse" => ("ANALYZE", maintain::vacuum(cursor)?),
        "lock" => ("LOCK TABLE", maintain::lock(cursor)?),
        "comment" => ("COMMENT", maintain::comment(cursor)?),
        "do" => ("DO", maintain::block(cursor)?),
        "create" | "alter" | "drop" | "grant" | "revoke" => match people::statement(cursor)? {
            Some(found) => found,
            None => return Ok(("", refuse::refused(cursor)?)),
        },
        _ => return Ok(("", refuse::refused(cursor)?)),
    };
    cursor.expect_end()?;
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
    let (name, arguments) = execution(cursor)?;
    Ok(Command::Execute { name, arguments })
}

/// `EXECUTE name (arguments)`
pub(super) fn execution(cursor: &mut Cursor<'_>) -> Result<(String, Vec<ast::Expr>)> {
    cursor.advance();
    let name = cursor.identifier()?;
    let mut arguments: Vec<ast::Expr> = Vec::new();
    if cursor.take_token(&Token::LParen) {
        if cursor.peek() != Some(&Token::RParen) {
            arguments = cursor.parse(|parser| parser.parse_comma_separated(|parser| parser.parse_expr()))?;
        }
        cursor.expect_token(&Token::RParen)?;
    }
    Ok((name, arguments))
}

fn deallocate(cursor: &mut Cursor<'_>) -> Result<(&'static str, Command)> {
    cursor.advance();
    cursor.take("prepare");
    if cursor.take("all") {
        return Ok(("DEALLOCATE ALL", Command::Deallocate(None)));
    }
    Ok(("DEALLOCATE", Command::Deallocate(Some(cursor.identifier()?))))
}
