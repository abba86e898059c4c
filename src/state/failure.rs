//! What the errors of the state database mean to people. Its own words stay in the log: they may quote values.

use crate::error::{Error, Kind};

/// What an error means: its kind, an exacter SQLSTATE, and what to say and to do.
struct Meaning {
    kind: Kind,
    sqlstate: Option<&'static str>,
    what: &'static str,
    hint: &'static str,
}

const fn meaning(kind: Kind, what: &'static str, hint: &'static str) -> Meaning {
    Meaning { kind, sqlstate: None, what, hint }
}

const FULL: Meaning = Meaning {
    kind: Kind::Limit,
    sqlstate: Some("53100"),
    what: "the disk is full: the state database cannot be written",
    hint: "free some space; nothing that was committed is lost",
};
const DEFECT: Meaning = meaning(Kind::Internal, "the state database refused a statement", "the log says why");
const AWAY: Meaning = meaning(
    Kind::Unavailable,
    "the state database does not answer",
    "check the `state` setting and that the database runs",
);

/// An error of a statement.
pub(super) fn failed(error: sqlx::Error) -> Error {
    let meaning = of(&error);
    tell(meaning.what.to_string(), &meaning, error)
}

/// An error while opening the database called `name`.
pub(super) fn unopened(name: &str, error: sqlx::Error) -> Error {
    let meaning = of(&error);
    tell(format!("cannot open the state database `{name}`: {}", meaning.what), &meaning, error)
}

/// A unique violation told as what it means; other errors as they are.
pub(super) fn already(error: sqlx::Error, what: impl FnOnce() -> String) -> Error {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => {
            Error::new(Kind::AlreadyExists, format!("{} exists already", what()))
        }
        _ => failed(error),
    }
}

fn tell(what: String, meaning: &Meaning, error: sqlx::Error) -> Error {
    let out = Error::new(meaning.kind, what).with_hint(meaning.hint).with_source(error);
    match meaning.sqlstate {
        Some(sqlstate) => out.with_sqlstate(sqlstate),
        None => out,
    }
}

fn of(error: &sqlx::Error) -> Meaning {
    match error {
        sqlx::Error::Database(error) => {
            // PostgreSQL's codes have five characters, SQLite's are numbers of at most four digits.
            let code = error.code().unwrap_or_default();
            if code.len() == 5 { of_postgres(&code) } else { of_sqlite(&code) }
        }
        sqlx::Error::Configuration(_) => meaning(
            Kind::Invalid,
            "its URL is not valid",
            "write it as postgres://user:password@host:5432/database, special characters as %XX",
        ),
        sqlx::Error::Tls(_) => meaning(
            Kind::Unavailable,
            "no secure connection to the state database",
            "check sslmode and certificates",
        ),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => DEFECT,
        _ => AWAY,
    }
}

fn of_postgres(code: &str) -> Meaning {
    match code {
        "53100" => FULL,
        "28000" | "28P01" => meaning(
            Kind::Unauthenticated,
            "the state database refused the login",
            "check its user and password",
        ),
        "3D000" => meaning(Kind::NotFound, "the database does not exist", "make it with CREATE DATABASE"),
        "42501" => {
            meaning(Kind::Denied, "the user of the state database lacks a right", "let it own the database")
        }
        "40001" | "40P01" | "55P03" => meaning(
            Kind::Conflict,
            "another process changed the same rows of the state database",
            "try again",
        ),
        // Shutting down, starting up, out of connections or memory, a statement over its time.
        _ if code.starts_with("57") || code.starts_with("53") || code.starts_with("08") => AWAY,
        _ => DEFECT,
    }
}

/// The low byte of SQLite's codes is the primary one.
fn of_sqlite(code: &str) -> Meaning {
    match code.parse::<i32>().unwrap_or_default() & 0xff {
        5 | 6 => meaning(Kind::Conflict, "the state database is busy", "try again"),
        8 => {
            meaning(Kind::Unavailable, "the state database is read-only", "check the permissions of its file")
        }
        10 => meaning(
            Kind::Unavailable,
            "the file of the state database cannot be read or written",
            "check the disk",
        ),
        11 | 26 => {
            meaning(Kind::Corrupt, "the file is damaged or holds no database", "restore it from a backup")
        }
        13 => FULL,
        14 => meaning(
            Kind::Unavailable,
            "the file of the state database cannot be opened",
            "let this user read and write the data folder",
        ),
        _ => DEFECT,
    }
}
