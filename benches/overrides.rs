//! What corrected records cost whoever reads the table: a full scan without and with 10,000 of them.
//!
//! `cargo bench --bench overrides [-- --rows 2000000]` prints a table of what was found against what is promised.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![allow(dead_code)]

use std::time::Instant;

use support::postgres;
use support::server::Server;

use opportunities::{link, load, on_source};
use report::Report;

#[path = "common/opportunities.rs"]
mod opportunities;
#[path = "common/report.rs"]
mod report;
#[path = "common/support.rs"]
mod support;

const OVERRIDDEN: u64 = 10_000;
/// Each is timed so often, and the fastest counts.
const TIMES: usize = 9;
/// All rows and the corrected column; with a filter by it; every column.
const SCANS: [(&str, &str); 3] = [
    ("sum", "SELECT count(*), sum(amount), avg(probability), max(close_date) FROM opportunity"),
    ("filter", "SELECT count(*), sum(quantity) FROM opportunity WHERE amount > 50000"),
    (
        "all columns",
        "SELECT max(id), max(name), max(account_name), max(owner_id), max(stage), max(lead_source), max(amount), \
         max(probability), max(close_date), max(created_at), max(updated_at), max(quantity), max(seq_no), \
         max(description) FROM opportunity",
    ),
];

fn main() {
    let rows = rows_wanted();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut report = Report::default();
    eprintln!("loading {rows} rows into a PostgreSQL of its own");
    let source = runtime.block_on(postgres::database());
    load(&source, rows);
    let server = Server::start();
    link(&server, &source);
    server.rows(&["CALL sync('crm', 'full')"]);

    let without: Vec<f64> =
        SCANS.iter().map(|(_, query)| runtime.block_on(fastest(&server, query))).collect();
    let started = Instant::now();
    override_many(&server, rows);
    report.fact("setting 10,000 overrides in one call", started.elapsed().as_secs_f64(), "s");
    let started = Instant::now();
    let sum = server.rows(&["SELECT sum(amount) FROM opportunity WHERE amount = 0.25"]);
    assert_eq!(sum, format!("{:.2}", OVERRIDDEN.min(rows) as f64 * 0.25), "overrides are missing");
    report.fact("the first query, which finds the records", started.elapsed().as_secs_f64(), "s");
    for ((name, query), before) in SCANS.iter().zip(without) {
        let after = runtime.block_on(fastest(&server, query));
        report.fact(&format!("scan ({name}) without overrides"), before * 1000.0, "ms");
        report.fact(&format!("scan ({name}) with 10,000"), after * 1000.0, "ms");
        report.limit(&format!("scan ({name}), with : without"), after / before, 1.1, "x");
    }
    // A change after which the records of one small file have to be found.
    on_source(
        &source,
        &["-c", "UPDATE opportunity SET quantity = 1, updated_at = clock_timestamp() WHERE seq_no % 200 = 7"],
    );
    server.rows(&["CALL sync('crm', 'diff')"]);
    let started = Instant::now();
    server.rows(&["SELECT sum(amount) FROM opportunity"]);
    report.fact("the first query after a diff", started.elapsed().as_secs_f64(), "s");
    let key = server.rows(&["SELECT max(id) FROM opportunity"]);
    let lookup = format!("SELECT * FROM opportunity WHERE id = '{key}'");
    report.fact("a lookup by key", runtime.block_on(fastest(&server, &lookup)) * 1000.0, "ms");
    let history = format!("SELECT * FROM tributary.explain('crm.opportunity', '{key}')");
    report.fact("the history of a record", runtime.block_on(fastest(&server, &history)) * 1000.0, "ms");
    report.print();
}

fn rows_wanted() -> u64 {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == "--rows");
    at.map_or(2_000_000, |at| arguments[at + 1].parse().expect("--rows takes a number"))
}

/// One record in so many, over the whole table.
fn override_many(server: &Server, rows: u64) {
    let stride = (rows / OVERRIDDEN).max(1);
    let keys = server.rows(&[&format!(
        "SELECT id FROM opportunity WHERE seq_no % {stride} = 0 ORDER BY seq_no LIMIT {OVERRIDDEN}"
    )]);
    let json: Vec<_> =
        keys.lines().map(|key| format!(r#"{{"key":"{key}","field":"amount","value":"0.25"}}"#)).collect();
    let file = std::env::temp_dir().join(format!("tributary-overrides-{}.sql", server.port));
    let call = format!("CALL override_many('crm.opportunity', '[{}]', reason => 'bench');", json.join(","));
    std::fs::write(&file, call).unwrap();
    let done = server.client("psql").args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&file).status();
    std::fs::remove_file(&file).unwrap();
    assert!(done.unwrap().success());
}

/// Seconds of the fastest of some executions, after one to warm up.
async fn fastest(server: &Server, query: &str) -> f64 {
    let client = server.connect().await;
    client.simple_query(query).await.unwrap();
    let mut fastest = f64::INFINITY;
    for _ in 0..TIMES {
        let started = Instant::now();
        client.simple_query(query).await.unwrap();
        fastest = fastest.min(started.elapsed().as_secs_f64());
    }
    fastest
}
