//! A night: three connections, twelve objects, five statements, from the call to the published results.
//!
//! `cargo bench --bench night [-- --rows 500000]` prints a table of what was found against what is promised.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![allow(dead_code)]

use std::time::Instant;

use opportunities::connect;
use report::Report;
use support::postgres::{self, Database};
use support::server::Server;

#[path = "common/opportunities.rs"]
mod opportunities;
#[path = "common/process.rs"]
mod process;
#[path = "common/report.rs"]
mod report;
#[path = "common/support.rs"]
mod support;

const CONNECTIONS: [&str; 3] = ["one", "two", "three"];
const TABLES: [&str; 4] = ["deal", "visit", "owner", "quota"];

const STATEMENTS: [(&str, &str); 5] = [
    ("credited", "SELECT owner, count(*) AS deals, sum(amount) AS total FROM one.deal GROUP BY owner"),
    ("commission", "SELECT owner, total * 0.0375 AS commission, total / 7 AS share FROM statement.credited"),
    ("visits", "SELECT owner, count(*) AS visits, avg(amount) AS mean FROM two.visit GROUP BY owner"),
    (
        "reached",
        "SELECT q.owner, sum(q.amount) AS target, max(c.commission) AS commission FROM three.quota q \
         JOIN statement.commission c ON c.owner = q.owner GROUP BY q.owner",
    ),
    (
        "everything",
        "SELECT r.owner, r.target, r.commission, v.visits FROM statement.reached r \
         JOIN statement.visits v ON v.owner = r.owner",
    ),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == "--rows");
    let rows = at.map_or(500_000, |at| arguments[at + 1].parse().expect("--rows takes a number"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = Server::start();
    let mut sources = Vec::new();
    for name in CONNECTIONS {
        let source = runtime.block_on(source(rows / (CONNECTIONS.len() * TABLES.len())));
        link(&server, name, &source);
        sources.push(source);
    }
    let mut report = Report::default();
    let (first, name) = batch(&server);
    report.limit(&format!("first night, {rows} rows read in full"), first, 60.0, "s");
    for (statement, query) in STATEMENTS {
        server
            .rows(&[&format!("CALL create_statement('{statement}', $${query}$$, unique_fields => 'owner')")]);
    }
    assert_eq!(name, server.rows(&["SELECT name FROM tributary.batch"]));
    let mut paid = Vec::new();
    for night in ["second", "third", "fourth"] {
        for source in &sources {
            runtime.block_on(source.execute(
                "UPDATE deal SET amount = amount + 1, updated_at = clock_timestamp() WHERE id % 50 = 0;
                 UPDATE visit SET amount = amount + 1, updated_at = clock_timestamp() WHERE id % 50 = 1;",
            ));
        }
        let (wall, name) = batch(&server);
        report.limit(&format!("{night} night, changes and five statements"), wall, 60.0, "s");
        let result = server.rows(&["SELECT * FROM statement.everything ORDER BY owner"]);
        paid.push((name, result));
    }
    server.rows(&[
        "CALL optimize('one')",
        "CALL optimize('statement')",
        "CALL set_retention(0)",
        "CALL vacuum(grace_hours => 0)",
    ]);
    let mut differences = 0.0;
    for (name, result) in &paid {
        let now = server.rows(&[
            &format!("SET tributary.as_of = 'batch {name}'"),
            "SELECT * FROM statement.everything ORDER BY owner",
        ]);
        assert_eq!(now, format!("SET\n{result}"));
        let began = Instant::now();
        let row = server.rows(&[&format!("CALL verify_statement('everything', '{name}')")]);
        report.fact(&format!("batch {name} computed again"), began.elapsed().as_secs_f64(), "s");
        differences += row.split('|').nth(7).unwrap().parse::<f64>().unwrap();
    }
    report.limit("rows of past results that differ", differences, 0.0, "rows");
    report.fact("peak memory of the server", process::peak(server.pid()), "MiB");
    report.print();
}

async fn source(rows: usize) -> Database {
    let database = postgres::database().await;
    for table in TABLES {
        database
            .execute(&format!(
                "CREATE TABLE {table} (id bigint PRIMARY KEY, owner int, name text, amount numeric(18,2),
                     updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
                 INSERT INTO {table} SELECT i, i % 500, '{table} ' || i, i * 1.07 FROM generate_series(1, {rows}) i;
                 CREATE INDEX ON {table} (updated_at);
                 ANALYZE {table};"
            ))
            .await;
    }
    database
}

fn link(server: &Server, name: &str, source: &Database) {
    connect(server, name, source);
    for table in TABLES {
        server.rows(&[&format!(
            "CALL add_object('{name}', 'public.{table}', unique_fields => 'id', cursor_field => 'updated_at')"
        )]);
    }
}

/// Seconds of a batch, and its name.
fn batch(server: &Server) -> (f64, String) {
    let began = Instant::now();
    let row = server.rows(&["CALL run_batch()"]);
    let wall = began.elapsed().as_secs_f64();
    assert!(row.contains("|succeeded|"), "{row}");
    (wall, row.split('|').nth(1).unwrap().to_string())
}
