//! What clients get: rows, lookups and logins against PostgreSQL, questions of analysts against DuckDB, all in one run.
//!
//! `cargo bench --bench wire [-- --rows 2000000]` prints a table of what was found against what is promised.
//! `TRIBUTARY_PYTHON` is a Python with the package duckdb; without it DuckDB is left out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![allow(dead_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::postgres::{self, Database};
use support::server::Server;

use opportunities::{link, load, on_source};
use report::Report;
use wire::{Format, Wire};

#[path = "wire/login.rs"]
mod login;
#[path = "common/opportunities.rs"]
mod opportunities;
#[path = "common/process.rs"]
mod process;
#[path = "wire/questions.rs"]
mod questions;
#[path = "common/report.rs"]
mod report;
#[path = "common/support.rs"]
mod support;
#[path = "common/wire.rs"]
mod wire;

const FETCHED: u64 = 1_000_000;
const TEN_COLUMNS: &str = "SELECT id, name, account_name, owner_id, stage, amount, probability, is_closed, \
                           close_date, updated_at FROM opportunity";
/// How long each rate is measured.
const WINDOW: Duration = Duration::from_secs(5);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == "--rows");
    let rows = at.map_or(2_000_000, |at| arguments[at + 1].parse().expect("--rows takes a number"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut report = Report::default();

    eprintln!("loading {rows} rows into a PostgreSQL of its own");
    let source = runtime.block_on(postgres::database());
    load(&source, rows);
    on_source(
        &source,
        &[
            "-c",
            "CREATE TABLE owner (owner_id int PRIMARY KEY, owner_name text, quota numeric(18,2)); \
             INSERT INTO owner SELECT i, 'Owner ' || i, 100000 + i * 7 FROM generate_series(1, 2000) i",
        ],
    );
    let server = Server::start();
    link(&server, &source);
    server.rows(&[
        "CALL add_object('crm', 'public.owner', unique_fields => 'owner_id')",
        "CALL sync('crm', 'full')",
    ]);

    fetching(&mut report, &source, &server, rows.min(FETCHED));
    large_result(&mut report, &server, rows);
    stopped_reader(&mut report, &server);
    lookups(&mut report, &source, &server, rows);
    trivial(&mut report, &source, &server);
    login::rates(&mut report, &source, &server);
    questions::against_duckdb(&mut report, &server);
    report.print();
}

fn fetching(report: &mut Report, source: &Database, server: &Server, rows: u64) {
    let select = format!("{TEN_COLUMNS} LIMIT {rows}");
    let copy = format!("COPY ({select}) TO STDOUT");
    for (name, sql, format) in
        [("text", &select, Format::Text), ("binary", &select, Format::Binary), ("COPY", &copy, Format::Text)]
    {
        let mut rates = Vec::new();
        for config in [source.config(), server.config()] {
            let mut wire = Wire::connect(&config);
            // Once to warm up, then the faster of two.
            let fetch = |wire: &mut Wire| {
                let started = Instant::now();
                assert_eq!(wire.fetch(sql, format), rows);
                rows as f64 / started.elapsed().as_secs_f64()
            };
            fetch(&mut wire);
            rates.push(fetch(&mut wire).max(fetch(&mut wire)) / 1e6);
        }
        let what = format!("fetching {rows} rows x 10 columns by {name} from PostgreSQL");
        report.fact(&what, rates[0], "M rows/s");
        report.fact(&format!("the same by {name} from tributary"), rates[1], "M rows/s");
        report.least(&format!("tributary : PostgreSQL by {name}"), rates[1] / rates[0], 1.0, "x");
    }
}

/// Five times the table: until the first row has come, and the memory until the last one has.
fn large_result(report: &mut Report, server: &Server, rows: u64) {
    let sql = [TEN_COLUMNS; 5].join(" UNION ALL ");
    for (name, format) in [("text", Format::Text), ("binary", Format::Binary)] {
        let idle = process::resident(server.pid());
        let mut wire = Wire::connect(&server.config());
        let is_done = AtomicBool::new(false);
        let (first, most) = std::thread::scope(|scope| {
            let watched = scope.spawn(|| {
                let mut most = idle;
                while !is_done.load(Ordering::Relaxed) {
                    most = most.max(process::resident(server.pid()));
                    std::thread::sleep(Duration::from_millis(10));
                }
                most
            });
            let started = Instant::now();
            wire.start(&sql, format);
            let first = started.elapsed().as_secs_f64() * 1000.0;
            assert_eq!(wire.rest(), 5 * rows);
            is_done.store(true, Ordering::Relaxed);
            (first, watched.join().unwrap())
        });
        report.limit(&format!("first row of {} in {name}", 5 * rows), first, 50.0, "ms");
        report.limit(
            &format!("memory above idle until the last of them in {name}"),
            most - idle,
            64.0,
            "MiB",
        );
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

/// The id of a row, as the table's script makes it.
fn id(number: u64) -> String {
    format!("006{:0>12}AAA", format!("{:X}", number * 37))
}

/// Executions in a second of a prepared statement by so many clients, and the median of a client's times in ms.
fn rate(config: &tokio_postgres::Config, clients: usize, sql: &str, rows: u64) -> (f64, f64) {
    let (done, takes_part) = (AtomicU64::new(0), AtomicBool::new(false));
    let has_parameter = sql.contains("$1");
    let mut times: Vec<f64> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..clients)
            .map(|client| {
                let (done, takes_part) = (&done, &takes_part);
                scope.spawn(move || {
                    let mut wire = Wire::connect(config);
                    wire.prepare(sql);
                    while !takes_part.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    let (mut times, mut seed) = (Vec::new(), client as u64 * 7_919 + 1);
                    let until = Instant::now() + WINDOW;
                    while Instant::now() < until {
                        seed = seed
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        let key = has_parameter.then(|| id(1 + (seed >> 33) % rows));
                        let started = Instant::now();
                        assert_eq!(wire.execute(key.as_deref()), 1);
                        times.push(started.elapsed().as_secs_f64() * 1000.0);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    times
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        takes_part.store(true, Ordering::Relaxed);
        handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
    });
    times.sort_by(f64::total_cmp);
    (done.load(Ordering::Relaxed) as f64 / WINDOW.as_secs_f64(), times[times.len() / 2])
}

fn lookups(report: &mut Report, source: &Database, server: &Server, rows: u64) {
    let sql = "SELECT id, name, stage, amount FROM opportunity WHERE id = $1";
    for clients in [1, 8, 64] {
        let (theirs, _) = rate(&source.config(), clients, sql, rows);
        let (ours, median) = rate(&server.config(), clients, sql, rows);
        report.fact(&format!("prepared lookups by key, {clients} clients, PostgreSQL"), theirs, "/s");
        let what = format!("prepared lookups by key, {clients} clients");
        match clients {
            1 => {
                report.fact(&what, ours, "/s");
                report.limit("median of a prepared lookup by key", median, 2.0, "ms");
            }
            _ => report.least(&what, ours, 2_000.0, "/s"),
        }
    }
}

fn trivial(report: &mut Report, source: &Database, server: &Server) {
    for clients in [1, 8] {
        let (theirs, _) = rate(&source.config(), clients, "SELECT 1", 1);
        let (ours, _) = rate(&server.config(), clients, "SELECT 1", 1);
        report.fact(&format!("prepared SELECT 1, {clients} clients, PostgreSQL"), theirs, "/s");
        report.fact(&format!("prepared SELECT 1, {clients} clients"), ours, "/s");
        report.least(&format!("tributary : PostgreSQL, {clients} clients"), ours / theirs, 0.5, "x");
    }
}
