//! The path of a row, timed: a real PostgreSQL as source, the real server, a plain client.
//!
//! `cargo bench --bench spine [-- --rows 2000000]` prints a table of what was found against what is promised.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![allow(dead_code)]

use std::process::Command;
use std::time::{Duration, Instant};

use support::postgres::{self, Database};
use support::server::{Builder, Server};

use opportunities::{link, load, on_source};
use process::Usage;
use report::Report;

#[path = "common/opportunities.rs"]
mod opportunities;
#[path = "common/process.rs"]
mod process;
#[path = "common/report.rs"]
mod report;
#[path = "common/support.rs"]
mod support;

const CHANGED: u64 = 10_000;
fn main() {
    let rows = rows_wanted();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut report = Report::default();

    eprintln!("loading {rows} rows into a PostgreSQL of its own");
    let source = runtime.block_on(postgres::database());
    load(&source, rows);

    let server = Server::start();
    start(&mut report, "empty", &server);
    link(&server, &source);
    full_sync(&mut report, &source, &server, rows);
    diffs(&mut report, &source, &server, rows);
    let again = server.stop().1;

    answers_again(&mut report, again);
    report.print();
}

fn rows_wanted() -> u64 {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == "--rows");
    at.map_or(2_000_000, |at| arguments[at + 1].parse().expect("--rows takes a number"))
}

fn start(report: &mut Report, what: &str, server: &Server) {
    let (started_in, started) = (server.started_in, Instant::now());
    assert_eq!(server.rows(&["SELECT 1"]), "1");
    let first = started_in + started.elapsed();
    report.limit(&format!("start to first answer of psql, {what}"), first.as_secs_f64(), 0.3, "s");
    std::thread::sleep(Duration::from_secs(2));
    report.fact(&format!("memory after it, {what}"), process::resident(server.pid()), "MiB");
    let idle = Server::start();
    std::thread::sleep(Duration::from_secs(2));
    report.limit(&format!("idle memory, {what}"), process::resident(idle.pid()), 60.0, "MiB");
}

/// A start on data that is there, with a first answer from that data.
fn answers_again(report: &mut Report, again: Builder) {
    let started = Instant::now();
    let server = again.start();
    server.rows(&["SELECT max(amount) FROM opportunity WHERE seq_no = 77"]);
    let first = started.elapsed().as_secs_f64();
    report.limit("start to first answer from synced data", first, 0.3, "s");
    std::thread::sleep(Duration::from_secs(2));
    report.fact("memory after it", process::resident(server.pid()), "MiB");
}

fn full_sync(report: &mut Report, source: &Database, server: &Server, rows: u64) {
    let copy = || {
        let started = Instant::now();
        on_source(source, &["-c", "COPY (SELECT * FROM opportunity) TO '/dev/null' (FORMAT binary)"]);
        started.elapsed().as_secs_f64()
    };
    let before = [copy(), copy()];
    let used = Usage::of(server.pid());
    let started = Instant::now();
    server.rows(&["CALL sync('crm', 'full')"]);
    let wall = started.elapsed().as_secs_f64();
    let cpu = Usage::of(server.pid()).since(&used);
    let copies = [before[0], before[1], copy()];
    let fastest = copies.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(server.rows(&["SELECT count(*), max(seq_no) FROM opportunity"]), format!("{rows}|{rows}"));
    report.fact("COPY to /dev/null (FORMAT binary), fastest of three", fastest, "s");
    report.fact("full sync to published release", wall, "s");
    report.limit("full sync : COPY", wall / fastest, 1.6, "x");
    report.limit("CPU of the server", cpu / (rows as f64 / 1e6), 1.75, "s per million rows");
    report.limit("peak memory of the server", process::peak(server.pid()), 256.0, "MiB");
}

fn diffs(report: &mut Report, source: &Database, server: &Server, rows: u64) {
    let changed = CHANGED.min(rows);
    let stride = rows / changed;
    let mut walls = Vec::new();
    let mut written: Vec<f64> = Vec::new();
    for round in 0..3 {
        on_source(
            source,
            &[
                "-c",
                &format!(
                    "UPDATE opportunity SET amount = amount + 1, updated_at = clock_timestamp() \
                     WHERE seq_no % {stride} = {round}"
                ),
            ],
        );
        let started = Instant::now();
        let said = server.rows(&["CALL sync('crm', 'diff')"]);
        walls.push(started.elapsed().as_secs_f64());
        assert!(said.contains("|diff|succeeded|"), "{said}");
        let run = server.rows(&["SELECT updated, bytes_written FROM tributary.run ORDER BY id DESC LIMIT 1"]);
        let (updated, bytes) = run.split_once('|').unwrap();
        eprintln!("diff {round}: {updated} rows, {bytes} bytes, {:.3} s", walls[round]);
        written.push(bytes.parse::<f64>().unwrap() / updated.parse::<f64>().unwrap().max(1.0));
    }
    report.limit(&format!("diff of {changed} changed rows, first"), walls[0], 0.5, "s");
    let slowest = walls.iter().copied().fold(0.0, f64::max);
    // Within the overlap a diff reads again what the one before it read.
    report.fact("the slowest of three in a row", slowest, "s");
    report.limit("written", written[0], 200.0, "bytes per changed row");
    let sums = server.rows(&["SELECT sum(amount) FROM opportunity"]);
    let expected = Command::new("psql")
        .args(["-X", "-A", "-t", "-d", &source.url(), "-c", "SELECT sum(amount) FROM opportunity"])
        .output()
        .unwrap();
    assert_eq!(sums, String::from_utf8(expected.stdout).unwrap().trim(), "rows were lost");
}
