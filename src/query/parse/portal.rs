//! `DECLARE`, `FETCH`, `MOVE`, `CLOSE`.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::{Cursor, syntax_error};
use super::{Command, query};
use crate::error::{Error, Kind, Result};

/// Where `FETCH` and `MOVE` go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::query) enum Direction {
    /// So many rows on, or back where negative; [`ALL`] of them. 0: the row it is on.
    By(i64),
    /// The row of that number, counted from the end where negative; 0 is before the first.
    Absolute(i64),
    /// The row so many further, or back where negative.
    Relative(i64),
}

/// As many rows as there are.
pub(in crate::query) const ALL: i64 = i64::MAX;

/// `DECLARE name [options] CURSOR [WITH HOLD] FOR query`
pub(super) fn declare(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.advance();
    let name = cursor.identifier()?;
    let mut scroll = false;
    while !cursor.take("cursor") {
        if cursor.take_all(&["no", "scroll"]) {
            scroll = false;
        } else if cursor.take("scroll") {
            scroll = true;
        } else if cursor.take("binary") {
            return Err(Error::new(Kind::Unsupported, "BINARY cursors are not supported")
                .with_hint("the extended protocol asks for binary results statement by statement"));
        } else if !cursor.take("insensitive") && !cursor.take("asensitive") {
            return Err(cursor.unexpected());
        }
    }
    let hold = cursor.take_all(&["with", "hold"]);
    if !hold {
        cursor.take_all(&["without", "hold"]);
    }
    cursor.expect("for")?;
    let starts_query = ["select", "with", "values", "table"].iter().any(|word| cursor.is_word(0, word));
    if !starts_query && cursor.peek() != Some(&Token::LParen) {
        return Err(cursor.unexpected());
    }
    let query = query::query(cursor)?;
    Ok(query.map_or_else(Command::Refused, |query| Command::Declare { name, query, scroll, hold }))
}

/// `FETCH [direction] [FROM | IN] name`, and `MOVE`.
pub(super) fn fetch(cursor: &mut Cursor<'_>, moves: bool) -> Result<Command> {
    cursor.advance();
    // A word alone is the name, whatever it means elsewhere.
    let direction = match cursor.peek_at(1) {
        None => Direction::By(1),
        Some(_) => direction(cursor)?,
    };
    if !cursor.take("from") {
        cursor.take("in");
    }
    Ok(Command::Fetch { name: cursor.identifier()?, direction, moves })
}

fn direction(cursor: &mut Cursor<'_>) -> Result<Direction> {
    if let Some(count) = count(cursor)? {
        return Ok(Direction::By(count));
    }
    let needed = |cursor: &mut Cursor<'_>| match count(cursor)? {
        Some(count) => Ok(count),
        None => Err(cursor.unexpected()),
    };
    Ok(if cursor.take("next") {
        Direction::By(1)
    } else if cursor.take("prior") {
        Direction::By(-1)
    } else if cursor.take("first") {
        Direction::Absolute(1)
    } else if cursor.take("last") {
        Direction::Absolute(-1)
    } else if cursor.take("all") {
        Direction::By(ALL)
    } else if cursor.take("absolute") {
        Direction::Absolute(needed(cursor)?)
    } else if cursor.take("relative") {
        Direction::Relative(needed(cursor)?)
    } else if cursor.take("forward") {
        Direction::By(many(cursor)?)
    } else if cursor.take("backward") {
        Direction::By(-many(cursor)?)
    } else {
        Direction::By(1)
    })
}

/// What follows `FORWARD` and `BACKWARD`.
fn many(cursor: &mut Cursor<'_>) -> Result<i64> {
    if cursor.take("all") { Ok(ALL) } else { Ok(count(cursor)?.unwrap_or(1)) }
}

/// An integer with an optional sign.
fn count(cursor: &mut Cursor<'_>) -> Result<Option<i64>> {
    let sign = match cursor.peek() {
        Some(Token::Minus) => -1,
        Some(Token::Plus) => 1,
        Some(Token::Number(..)) => 0,
        _ => return Ok(None),
    };
    if sign != 0 {
        cursor.advance();
    }
    let Some(Token::Number(digits, _)) = cursor.peek() else { return Err(cursor.unexpected()) };
    let number: i32 = digits.parse().map_err(|_| {
        syntax_error(format!("syntax error at or near \"{digits}\"")).with_position(cursor.position())
    })?;
    cursor.advance();
    Ok(Some(if sign < 0 { -i64::from(number) } else { i64::from(number) }))
}

/// `CLOSE name` and `CLOSE ALL`.
pub(super) fn close(cursor: &mut Cursor<'_>) -> Result<(&'static str, Command)> {
    cursor.advance();
    if cursor.take("all") {
        return Ok(("CLOSE CURSOR ALL", Command::Close(None)));
    }
    Ok(("CLOSE CURSOR", Command::Close(Some(cursor.identifier()?))))
}
