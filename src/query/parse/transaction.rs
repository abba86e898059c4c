//! `BEGIN`, `COMMIT`, `ROLLBACK`, and the modes of transactions.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::Command;
use super::cursor::Cursor;
use crate::error::Result;

/// The modes that a transaction is given; what is `None` was not said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::query) struct Modes {
    pub(in crate::query) isolation: Option<&'static str>,
    pub(in crate::query) read_only: Option<bool>,
    pub(in crate::query) deferrable: Option<bool>,
    /// Reads what another transaction reads.
    pub(in crate::query) snapshot: bool,
}

pub(super) fn begin(cursor: &mut Cursor<'_>) -> Result<(&'static str, Command)> {
    let is_start = cursor.is_word(0, "start");
    cursor.advance();
    if is_start {
        cursor.expect("transaction")?;
    } else if !cursor.take("transaction") {
        cursor.take("work");
    }
    let modes = if cursor.is_at_end() { Modes::default() } else { modes(cursor)? };
    Ok((if is_start { "START TRANSACTION" } else { "BEGIN" }, Command::Begin(modes)))
}

/// One mode or several, with commas between them or without.
pub(super) fn modes(cursor: &mut Cursor<'_>) -> Result<Modes> {
    if cursor.take("snapshot") {
        cursor.text()?;
        return Ok(Modes { snapshot: true, ..Modes::default() });
    }
    let mut modes = Modes::default();
    loop {
        if cursor.take_all(&["isolation", "level"]) {
            modes.isolation = Some(if cursor.take_all(&["read", "committed"]) {
                "read committed"
            } else if cursor.take_all(&["read", "uncommitted"]) {
                "read uncommitted"
            } else if cursor.take_all(&["repeatable", "read"]) {
                "repeatable read"
            } else if cursor.take("serializable") {
                "serializable"
            } else {
                return Err(cursor.unexpected());
            });
        } else if cursor.take_all(&["read", "only"]) {
            modes.read_only = Some(true);
        } else if cursor.take_all(&["read", "write"]) {
            modes.read_only = Some(false);
        } else if cursor.take_all(&["not", "deferrable"]) {
            modes.deferrable = Some(false);
        } else if cursor.take("deferrable") {
            modes.deferrable = Some(true);
        } else {
            return Err(cursor.unexpected());
        }
        if !cursor.take_token(&Token::Comma) && cursor.is_at_end() {
            return Ok(modes);
        }
    }
}

pub(super) fn commit(cursor: &mut Cursor<'_>) -> Result<Command> {
    Ok(Command::Commit { chain: end(cursor)? })
}

pub(super) fn rollback(cursor: &mut Cursor<'_>) -> Result<Command> {
    let chain = end(cursor)?;
    if !chain && cursor.take("to") {
        cursor.take("savepoint");
        return Ok(Command::RollbackTo(cursor.identifier()?));
    }
    Ok(Command::Rollback { chain })
}

/// Whether another transaction with the same modes begins at once.
fn end(cursor: &mut Cursor<'_>) -> Result<bool> {
    cursor.advance();
    if !cursor.take("transaction") {
        cursor.take("work");
    }
    let chain = cursor.take_all(&["and", "chain"]);
    if !chain {
        cursor.take_all(&["and", "no", "chain"]);
    }
    Ok(chain)
}
