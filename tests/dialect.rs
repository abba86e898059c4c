//! SQL as PostgreSQL 15 understands it: every statement of `dialect/*.sql` is asked of a real PostgreSQL, whose role
//! may only read, and of tributary, which synced the same tables from there. Names and types of columns, rows, tags,
//! and of errors SQLSTATE, message, position, detail and hint have to be the same.
//!
//! `differences.txt` lists the statements whose answers differ for a reason, `pending.txt` those that wait for a part
//! of the product. A listed statement whose answers have become equal fails the test, so that neither list outlives
//! its reasons, unless the reason begins with `either`: SQL leaves the answer open. A hint where PostgreSQL gives none is
//! no difference. `TRIBUTARY_PENDING=1` prints both answers of what is listed.
//!
//! `dialect/*.slt` are files of sqllogictest: what they expect is proven to be PostgreSQL's, and tributary's, see
//! [`slt`].

mod slt;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tokio::io::BufReader;
use tokio::net::TcpStream;

use crate::support;
use crate::support::postgres::{self, Database};
use crate::support::server::{ADMIN, ADMIN_PASSWORD, COMPANY, Server};
use crate::support::wire::{Raw, Reply};

/// The role of the cluster that may read and nothing else.
const READER: &str = "dialect_reader";

struct Both {
    source: Database,
    server: Server,
}

static BOTH: LazyLock<Both> = LazyLock::new(|| {
    // A thread of its own: the caller may be within a runtime already.
    std::thread::spawn(prepare).join().unwrap()
});

fn prepare() -> Both {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let source = runtime.block_on(async {
        let source = postgres::database().await;
        source.execute(&format!("CREATE ROLE {READER} LOGIN PASSWORD '{}'", postgres::PASSWORD)).await;
        source.execute(include_str!("dialect/load.sql")).await;
        source
    });
    let server = Server::start();
    support::link(&server, &source);
    server.rows(&[
        "CALL discover('crm')",
        "CALL add_object('crm', 'crm.owner', unique_fields => 'id')",
        "CALL add_object('crm', 'crm.opportunity', unique_fields => 'id')",
        "CALL sync('crm', 'full')",
    ]);
    assert_eq!(server.rows(&["SELECT count(*) FROM crm.opportunity"]), "100000");
    Both { source, server }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialect")
}

/// The statements of a file: each ends with a semicolon at the end of a line.
fn statements(text: &str) -> Vec<String> {
    let (mut all, mut current) = (Vec::new(), String::new());
    for line in text.lines() {
        if current.is_empty() && (line.starts_with("--") || line.trim().is_empty()) {
            continue;
        }
        current.push_str(line);
        match current.strip_suffix(';') {
            Some(statement) => {
                all.push(statement.to_string());
                current.clear();
            }
            None => current.push('\n'),
        }
    }
    assert!(current.is_empty(), "`{current}` does not end");
    all
}

/// Statements with the reason that stands above them, behind `#`.
fn listed(name: &str) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    let (mut all, mut reason) = (BTreeMap::new(), String::new());
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match line.strip_prefix('#') {
            Some(why) => reason = why.trim().to_string(),
            None => {
                assert!(!reason.is_empty(), "`{line}` is listed without a reason");
                all.insert(line.replace("\\n", "\n"), reason.clone());
            }
        }
    }
    all
}

async fn log_in(port: u16, user: &str, database: &str, password: &str) -> Raw {
    let mut raw = Raw { stream: BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap()) };
    let replies = raw.log_in_to(user, database, password, b"").await;
    assert_eq!(replies.last().unwrap().kind, b'Z', "{replies:?}");
    raw
}

/// What came back for a statement, as text.
fn answer(replies: &[Reply]) -> (String, Option<String>) {
    let (mut shown, mut hint) = (String::new(), None);
    for reply in replies {
        match reply.kind {
            b'T' => {
                let mut rest = &reply.body[2..];
                while !rest.is_empty() {
                    let end = rest.iter().position(|byte| *byte == 0).unwrap();
                    let name = String::from_utf8_lossy(&rest[..end]);
                    let oid = u32::from_be_bytes(rest[end + 7..end + 11].try_into().unwrap());
                    write!(shown, "[{name} {oid}]").unwrap();
                    rest = &rest[end + 19..];
                }
            }
            b'D' => {
                let mut rest = &reply.body[2..];
                shown.push_str("\n    ");
                while !rest.is_empty() {
                    let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
                    rest = &rest[4..];
                    match usize::try_from(length) {
                        Ok(length) => {
                            write!(shown, "|{}", String::from_utf8_lossy(&rest[..length])).unwrap();
                            rest = &rest[length..];
                        }
                        Err(_) => shown.push_str("|NULL"),
                    }
                }
            }
            b'd' => write!(shown, "\n    {}", String::from_utf8_lossy(&reply.body)).unwrap(),
            b'C' => write!(shown, "\n    {}", String::from_utf8_lossy(&reply.body)).unwrap(),
            b'E' => {
                let fields = reply.fields();
                for code in ['C', 'M', 'P', 'D'] {
                    if let Some(value) = fields.get(&code) {
                        write!(shown, " {code}:{value}").unwrap();
                    }
                }
                hint = fields.get(&'H').cloned();
            }
            _ => {}
        }
    }
    (shown, hint)
}

fn is_same(ours: &(String, Option<String>), theirs: &(String, Option<String>)) -> bool {
    ours.0 == theirs.0 && (theirs.1.is_none() || ours.1 == theirs.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_answered_as_postgresql_answers_them() {
    let both = tokio::task::spawn_blocking(|| &*BOTH).await.unwrap();
    let (differences, pending) = (listed("differences.txt"), listed("pending.txt"));
    let mut files: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "sql") && !path.ends_with("load.sql"))
        .collect();
    files.sort();
    let (mut report, mut asked, mut seen) = (String::new(), 0, BTreeSet::new());
    for file in files {
        let mut theirs = log_in(both.source.port, READER, &both.source.name, postgres::PASSWORD).await;
        let mut ours = log_in(both.server.port, ADMIN, COMPANY, ADMIN_PASSWORD).await;
        theirs.query("SET default_transaction_read_only = on").await;
        for raw in [&mut theirs, &mut ours] {
            raw.query("SET timezone = 'UTC'").await;
            raw.query("SET client_min_messages = warning").await;
        }
        for statement in statements(&std::fs::read_to_string(&file).unwrap()) {
            asked += 1;
            let expected = answer(&theirs.query(&statement).await);
            let got = answer(&ours.query(&statement).await);
            seen.insert(statement.clone());
            let is_listed = differences.contains_key(&statement) || pending.contains_key(&statement);
            match (is_same(&got, &expected), is_listed) {
                (false, false) => {
                    let file = file.file_name().unwrap().to_string_lossy();
                    writeln!(report, "{file}: {statement}\n  ours   {got:?}\n  theirs {expected:?}").unwrap();
                }
                (false, true) if std::env::var_os("TRIBUTARY_PENDING").is_some() => {
                    println!("{statement}\n  ours   {got:?}\n  theirs {expected:?}");
                }
                (true, true) if differences.get(&statement).is_some_and(|why| why.starts_with("either")) => {}
                (true, true) => {
                    writeln!(report, "is listed and has the same answer: {statement}").unwrap();
                }
                _ => {}
            }
        }
    }
    for statement in differences.keys().chain(pending.keys()).filter(|statement| !seen.contains(*statement)) {
        writeln!(report, "is listed and stands in no file: {statement}").unwrap();
    }
    assert!(asked > 100, "only {asked} statements were asked");
    assert!(report.is_empty(), "of {asked} statements:\n{report}");
}
