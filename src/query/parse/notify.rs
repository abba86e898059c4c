//! `LISTEN`, `UNLISTEN`, `NOTIFY`.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::Command;
use super::cursor::Cursor;
use crate::error::Result;

pub(super) fn listen(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    Ok(Command::Listen(cursor.identifier()?))
}

pub(super) fn unlisten(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    Ok(Command::Unlisten(match cursor.take_token(&Token::Mul) {
        true => None,
        false => Some(cursor.identifier()?),
    }))
}

pub(super) fn notify(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    let channel = cursor.identifier()?;
    let payload = if cursor.take_token(&Token::Comma) { cursor.text()? } else { String::new() };
    Ok(Command::Notify { channel, payload })
}
