//! Everything that would write, or that tributary does not have.

use super::Command;
use super::cursor::Cursor;
use crate::error::{Error, Kind, Result};

const WRITES: &[&str] = &[
    "insert", "update", "delete", "merge", "truncate", "create", "alter", "drop", "comment", "import",
    "refresh", "reindex", "cluster", "security", "reassign", "upsert", "replace", "grant", "revoke",
];
const UNSUPPORTED: &[&str] = &[
    "do",
    "load",
    "checkpoint",
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

/// Words between `CREATE` and what is created.
const BETWEEN: &[&str] =
    &["or", "replace", "unlogged", "unique", "recursive", "global", "local", "temp", "temporary"];

/// A statement that is never run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::query) enum Refusal {
    Write(String),
    Unsupported(String),
    /// What takes a right that nobody has.
    Denied {
        what: String,
        hint: &'static str,
    },
    /// A temporary table.
    Temporary,
    /// Code in a language.
    Language(String),
}

impl Refusal {
    /// What is said when it is planned in the database of that name.
    pub(in crate::query) fn error(&self, database: &str) -> Error {
        let hint = "data changes in its source system and comes in by CALL sync(...)";
        match self {
            Refusal::Write(what) => {
                Error::new(Kind::Denied, format!("cannot execute {what} in a read-only transaction"))
                    .with_sqlstate("25006")
                    .with_hint(hint)
            }
            Refusal::Unsupported(what) => Error::new(Kind::Unsupported, format!("{what} is not supported")),
            Refusal::Denied { what, hint } => Error::new(Kind::Denied, what.as_str()).with_hint(*hint),
            Refusal::Temporary => {
                let what = format!("permission denied to create temporary tables in database \"{database}\"");
                Error::new(Kind::Denied, what).with_hint("WITH name AS (...) names rows within a statement")
            }
            Refusal::Language(name) => {
                Error::new(Kind::NotFound, format!("language \"{name}\" does not exist"))
                    .with_sqlstate("42704")
            }
        }
    }
}

/// The statement is refused when it is planned, not when it is parsed: those before it in the same text run.
pub(super) fn refused(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.rewind();
    refused_here(cursor)
}

/// The same for a statement within another.
pub(super) fn refused_here(cursor: &mut Cursor<'_>) -> Result<Command> {
    let word = WRITES.iter().chain(UNSUPPORTED).find(|word| cursor.is_word(0, word));
    let Some(word) = word else { return Err(cursor.unexpected()) };
    let refusal = match *word {
        "load" => {
            Refusal::Denied { what: "access to the library is not allowed".into(), hint: "there are none" }
        }
        "checkpoint" => Refusal::Denied {
            what: "must be superuser or have privileges of pg_checkpoint to do CHECKPOINT".into(),
            hint: "there is nothing to be written",
        },
        word if UNSUPPORTED.contains(&word) => Refusal::Unsupported(word.to_uppercase()),
        word => write(cursor, word),
    };
    cursor.skip_all();
    Ok(Command::Refused(refusal))
}

fn write(cursor: &Cursor<'_>, word: &str) -> Refusal {
    let at = |ahead: usize, words: &[&str]| words.iter().any(|word| cursor.is_word(ahead, word));
    if word == "truncate" {
        return Refusal::Write("TRUNCATE TABLE".into());
    }
    if !["create", "alter", "drop"].contains(&word) {
        return Refusal::Write(word.to_uppercase());
    }
    let mut ahead = 1;
    let mut is_temporary = false;
    while at(ahead, BETWEEN) {
        is_temporary |= at(ahead, &["temp", "temporary"]);
        ahead += 1;
    }
    if is_temporary && word == "create" && at(ahead, &["table"]) {
        return Refusal::Temporary;
    }
    let second = cursor.word(ahead);
    let rest = if second == "materialized" { " VIEW" } else { "" };
    Refusal::Write(format!("{} {}{rest}", word.to_uppercase(), second.to_uppercase()).trim_end().into())
}
