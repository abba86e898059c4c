//! The files `*.slt` in the format of sqllogictest, asked over the wire of a real PostgreSQL and of tributary.
//!
//! A record ends with an empty line. `statement ok`, `statement error <regex>` and `query error <regex>` are followed by
//! SQL, `query <types> [nosort|rowsort]` by SQL, `----` and the rows: one a line, values between blanks, `NULL` and
//! `(empty)` by name. Types are `I` for integers, `R` for other numbers, `B` for booleans, `T` for the rest. An error is
//! `SQLSTATE: message`. `skipif` and `onlyif` before a record name `postgres` or `tributary`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use regex_automata::meta::Regex;

use super::{BOTH, READER, folder, log_in};
use crate::support::postgres;
use crate::support::server::{ADMIN, ADMIN_PASSWORD, COMPANY};
use crate::support::wire::{Raw, Reply};

enum Expected {
    Ok,
    Error(Regex),
    Rows { types: String, rows: Vec<String>, sorted: bool },
}

struct Record {
    line: usize,
    /// Which of the two is not asked.
    skipped: Option<&'static str>,
    sql: String,
    expected: Expected,
}

const ENGINES: [&str; 2] = ["postgres", "tributary"];

fn records(path: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().enumerate().peekable();
    let (mut records, mut skipped) = (Vec::new(), None);
    while let Some((number, line)) = lines.next() {
        let place = format!("{}:{}", path.display(), number + 1);
        let words: Vec<&str> = line.split_whitespace().collect();
        let pattern = || Regex::new(line.splitn(3, ' ').nth(2).unwrap_or_default()).expect(&place);
        let mut expected = match words.as_slice() {
            [] => continue,
            [first, ..] if first.starts_with('#') => continue,
            [condition @ ("skipif" | "onlyif"), name] => {
                assert!(ENGINES.contains(name), "{place}: {name} is none of {ENGINES:?}");
                skipped = ENGINES.iter().copied().find(|engine| (engine == name) == (*condition == "skipif"));
                continue;
            }
            ["statement", "ok"] => Expected::Ok,
            ["statement" | "query", "error", ..] => Expected::Error(pattern()),
            ["query", types, rest @ ..] => {
                let sorted = match rest {
                    [] | ["nosort"] => false,
                    ["rowsort"] => true,
                    _ => panic!("{place}: {rest:?}"),
                };
                Expected::Rows { types: (*types).to_string(), rows: Vec::new(), sorted }
            }
            _ => panic!("{place}: no record begins with {line:?}"),
        };
        let mut part = || {
            let mut part = Vec::new();
            while let Some((_, line)) = lines.next_if(|(_, line)| !line.is_empty() && *line != "----") {
                part.push(line.to_string());
            }
            part
        };
        let sql = part().join("\n");
        assert!(!sql.is_empty(), "{place}: no SQL");
        if let Expected::Rows { rows, sorted, .. } = &mut expected {
            assert_eq!(lines.next().map(|(_, line)| line), Some("----"), "{place}: no rows");
            let mut part = Vec::new();
            while let Some((_, line)) = lines.next_if(|(_, line)| !line.is_empty()) {
                part.push(spaced(line));
            }
            if *sorted {
                part.sort();
            }
            *rows = part;
        }
        records.push(Record { line: number + 1, skipped: skipped.take(), sql, expected });
    }
    records
}

/// Blanks between values, and within, count as one.
fn spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The letter of a type by its number.
fn letter(oid: u32) -> char {
    match oid {
        16 => 'B',
        20 | 21 | 23 | 26 => 'I',
        700 | 701 | 1700 => 'R',
        _ => 'T',
    }
}

/// The types and rows that came, or the error.
fn answer(replies: &[Reply]) -> Result<(String, Vec<String>), String> {
    let (mut types, mut rows) = (String::new(), Vec::new());
    for reply in replies {
        let mut rest = reply.body.get(2..).unwrap_or_default();
        match reply.kind {
            b'E' => {
                let fields = reply.fields();
                return Err(format!("{}: {}", fields[&'C'], fields[&'M']));
            }
            b'T' => {
                types.clear();
                while !rest.is_empty() {
                    let end = rest.iter().position(|byte| *byte == 0).unwrap();
                    types.push(letter(u32::from_be_bytes(rest[end + 7..end + 11].try_into().unwrap())));
                    rest = &rest[end + 19..];
                }
            }
            b'D' => {
                let mut values = Vec::new();
                while !rest.is_empty() {
                    let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
                    rest = &rest[4..];
                    let value = &rest[..usize::try_from(length).unwrap_or(0)];
                    rest = &rest[value.len()..];
                    values.push(match length {
                        -1 => "NULL".to_string(),
                        0 => "(empty)".to_string(),
                        _ => String::from_utf8_lossy(value).into_owned(),
                    });
                }
                rows.push(spaced(&values.join(" ")));
            }
            _ => {}
        }
    }
    Ok((types, rows))
}

/// What is wrong with an answer; nothing where it is the expected one.
fn mistake(expected: &Expected, got: Result<(String, Vec<String>), String>) -> Option<String> {
    match (expected, got) {
        (Expected::Ok, Ok(_)) => None,
        (Expected::Error(pattern), Err(error)) => {
            (!pattern.is_match(&error)).then(|| format!("fails otherwise: {error}"))
        }
        (Expected::Error(_), Ok((_, rows))) => Some(format!("does not fail: {rows:?}")),
        (_, Err(error)) => Some(format!("fails: {error}")),
        (Expected::Rows { types, rows, sorted }, Ok((own_types, mut own))) => {
            if *sorted {
                own.sort();
            }
            let is_same = own == *rows && own_types == *types;
            (!is_same).then(|| format!("gives {own_types}\n{}", own.join("\n")))
        }
    }
}

async fn ask(engine: &str, files: &[PathBuf]) -> (usize, String) {
    let both = tokio::task::spawn_blocking(|| &*BOTH).await.unwrap();
    let (mut asked, mut report) = (0, String::new());
    for file in files {
        let mut raw: Raw = match engine {
            "postgres" => log_in(both.source.port, READER, &both.source.name, postgres::PASSWORD).await,
            _ => log_in(both.server.port, ADMIN, COMPANY, ADMIN_PASSWORD).await,
        };
        raw.query("SET timezone = 'UTC'").await;
        if engine == "postgres" {
            raw.query("SET default_transaction_read_only = on").await;
        }
        for record in records(file).iter().filter(|record| record.skipped != Some(engine)) {
            asked += 1;
            let got = answer(&raw.query(&record.sql).await);
            if let Some(what) = mistake(&record.expected, got) {
                let name = file.file_name().unwrap().to_string_lossy();
                writeln!(report, "{name}:{}: {engine} {what}\n{}\n", record.line, record.sql).unwrap();
            }
        }
    }
    (asked, report)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_sqllogictest_say_what_postgresql_and_tributary_answer() {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "slt")).collect();
    files.sort();
    let (mut report, mut least) = (String::new(), usize::MAX);
    for engine in ENGINES {
        let (asked, mistakes) = ask(engine, &files).await;
        println!("{engine}: {asked} records");
        least = least.min(asked);
        report.push_str(&mistakes);
    }
    assert!(least >= 250, "only {least} records were asked");
    assert!(report.is_empty(), "{report}");
}
