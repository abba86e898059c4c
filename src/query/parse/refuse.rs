//! Everything that would write, or that tributary does not have.

use super::Command;
use super::cursor::Cursor;
use crate::error::{Error, Kind, Result};

const WRITES: &[&str] = &[
    "insert", "update", "delete", "merge", "truncate", "create", "alter", "drop", "comment", "import",
    "refresh", "reindex", "cluster", "security", "reassign", "lock", "upsert", "replace",
];
const UNSUPPORTED: &[&str] = &[
    "do",
    "load",
    "checkpoint",
    "notify",
    "vacuum",
    "analyze",
    "attach",
    "install",
    "use",
    "describe",
    "desc",
    "pragma",
    "export",
    "unload",
    "kill",
];

/// A statement that is never run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::query) enum Refusal {
    Write(String),
    Unsupported(String),
}

impl Refusal {
    /// What is said when it is planned.
    pub(in crate::query) fn error(&self) -> Error {
        match self {
            Refusal::Write(what) => {
                Error::new(Kind::Denied, format!("cannot execute {what}: tributary is read-only"))
                    .with_sqlstate("25006")
                    .with_hint("data changes in its source system and comes in by CALL sync(...)")
            }
            Refusal::Unsupported(what) => Error::new(Kind::Unsupported, format!("{what} is not supported")),
        }
    }
}

/// The statement is refused when it is planned, not when it is parsed: those before it in the same text run.
pub(super) fn refused(cursor: &mut Cursor<'_>) -> Result<Command> {
    let word = cursor.first_word();
    cursor.rewind();
    let refusal = if WRITES.contains(&word.as_str()) {
        Refusal::Write(word.to_uppercase())
    } else if UNSUPPORTED.contains(&word.as_str()) {
        Refusal::Unsupported(word.to_uppercase())
    } else {
        return Err(cursor.unexpected());
    };
    cursor.skip_all();
    Ok(Command::Refused(refusal))
}
