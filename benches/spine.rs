//! The path of a row, timed: a real PostgreSQL as source, the real server, a plain client.
//!
//! `cargo bench --bench spine [-- --rows 2000000]` prints a table of what was found against what is promised.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![allow(dead_code)]

use std::process::Command;
use std::time::{Duration, Instant};

use support::postgres::{self, Database};
use support::server::{Builder, Server};

use process::Usage;
use report::Report;
use wire::{Format, Wire};

#[path = "common/process.rs"]
mod process;
#[path = "common/report.rs"]
mod report;
#[path = "common/support.rs"]
mod support;
#[path = "spine/wire.rs"]
mod wire;

const CHANGED: u64 = 10_000;
const FETCHED: u64 = 1_000_000;
const TEN_COLUMNS: &str = "SELECT id, name, account_name, owner_id, stage, amount, probability, is_closed, \
                           close_date, updated_at FROM opportunity";

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

    let server = answers_again(&mut report, again);
    fetching(&mut report, &source, &server, rows.min(FETCHED));
    stopped_reader(&mut report, &server);
    report.print();
}

fn rows_wanted() -> u64 {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == "--rows");
    at.map_or(2_000_000, |at| arguments[at + 1].parse().expect("--rows takes a number"))
}

/// psql on the source.
fn on_source(source: &Database, arguments: &[&str]) {
    let status = Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &source.url()])
        .args(arguments)
        .status()
        .unwrap();
    assert!(status.success(), "{arguments:?}");
}

fn load(source: &Database, rows: u64) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/opportunity.sql");
    on_source(source, &["-v", &format!("rows={rows}"), "-f", file]);
    on_source(source, &["-c", "CHECKPOINT"]);
}

fn link(server: &Server, source: &Database) {
    let settings = format!(
        r#"{{"host":"127.0.0.1","port":{},"database":"{}","user":"{}","sslmode":"disable"}}"#,
        source.port,
        source.name,
        postgres::USER
    );
    server.rows(&[
        &format!("CALL connect('postgresql', name => 'crm', settings => '{settings}')"),
        &format!("CALL set_secret('crm', 'password', '{}')", postgres::PASSWORD),
        "CALL add_object('crm', 'public.opportunity', unique_fields => 'id', cursor_field => 'updated_at')",
    ]);
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
fn answers_again(report: &mut Report, again: Builder) -> Server {
    let started = Instant::now();
    let server = again.start();
    server.rows(&["SELECT max(amount) FROM opportunity WHERE seq_no = 77"]);
    let first = started.elapsed().as_secs_f64();
    report.limit("start to first answer from synced data", first, 0.3, "s");
    std::thread::sleep(Duration::from_secs(2));
    report.fact("memory after it", process::resident(server.pid()), "MiB");
    server
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

fn fetching(report: &mut Report, source: &Database, server: &Server, rows: u64) {
    let sql = format!("{TEN_COLUMNS} LIMIT {rows}");
    for (name, format) in [("text", Format::Text), ("binary", Format::Binary)] {
        let mut rates = Vec::new();
        for config in [source.config(), server.config()] {
            let mut wire = Wire::connect(&config);
            // Once to warm up, then the faster of two.
            let fetch = |wire: &mut Wire| {
                let started = Instant::now();
                assert_eq!(wire.fetch(&sql, format), rows);
                rows as f64 / started.elapsed().as_secs_f64()
            };
            fetch(&mut wire);
            rates.push(fetch(&mut wire).max(fetch(&mut wire)) / 1e6);
        }
        report.fact(
            &format!("fetching {rows} rows x 10 columns in {name} from PostgreSQL"),
            rates[0],
            "M rows/s",
        );
        report.fact(&format!("the same in {name} from tributary"), rates[1], "M rows/s");
        report.least(&format!("tributary : PostgreSQL in {name}"), rates[1] / rates[0], 0.8, "x");
    }
}

fn stopped_reader(report: &mut Report, server: &Server) {
    for (name, format) in [("text", Format::Text), ("binary", Format::Binary)] {
        let idle = process::resident(server.pid());
        let mut wire = Wire::connect(&server.config());
        wire.fetch_and_stop(TEN_COLUMNS, format, 1 << 20);
        let mut most = idle;
        for _ in 0..50 {
            std::thread::sleep(Duration::from_millis(100));
            most = most.max(process::resident(server.pid()));
        }
        report.limit(&format!("memory above idle, reader of {name} that stops"), most - idle, 64.0, "MiB");
    }
}
