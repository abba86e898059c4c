//! Questions of analysts over the wire, and the same of DuckDB on the same files.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::report::Report;
use crate::support::server::Server;
use crate::wire::{Format, Wire};

const ROUNDS: usize = 5;

const QUESTIONS: &[(&str, &str)] = &[
    (
        "count and sum with a filter",
        "SELECT count(*) AS n, sum(amount) AS total FROM opportunity WHERE amount > 0",
    ),
    (
        "groups by stage",
        "SELECT stage, count(*) AS n, sum(amount) AS total, avg(probability) AS p FROM opportunity GROUP BY stage \
         ORDER BY stage",
    ),
    (
        "the largest twenty",
        "SELECT id, name, account_name, amount, close_date FROM opportunity WHERE amount IS NOT NULL \
         ORDER BY amount DESC, id LIMIT 20",
    ),
    (
        "rank within owners",
        "SELECT * FROM (SELECT owner_id, id, amount, row_number() OVER (PARTITION BY owner_id ORDER BY amount DESC, \
         id) AS rk FROM opportunity WHERE amount IS NOT NULL AND stage = 'Closed Won') t WHERE rk <= 3 \
         ORDER BY owner_id, rk",
    ),
    ("one row by its key", "SELECT * FROM opportunity WHERE id = '006000000009088AAA'"),
    (
        "commission by quarter",
        "WITH won AS (SELECT owner_id, date_trunc('quarter', close_date) AS q, sum(amount) AS booked, count(*) AS \
         deals FROM opportunity WHERE stage = 'Closed Won' AND amount > 0 AND close_date >= DATE '2024-01-01' \
         AND close_date < DATE '2025-01-01' GROUP BY 1, 2) \
         SELECT o.owner_id, o.owner_name, w.q, w.deals, w.booked, w.booked / o.quota AS attainment \
         FROM won w JOIN owner o ON o.owner_id = w.owner_id ORDER BY o.owner_id, w.q",
    ),
    (
        "months of two companies",
        "SELECT date_trunc('month', close_date) AS m, count(*) AS n, max(updated_at) AS last FROM opportunity \
         WHERE account_name LIKE 'Acme %' OR account_name LIKE 'Hooli %' GROUP BY 1 ORDER BY 1",
    ),
    ("distinct accounts", "SELECT count(DISTINCT account_name) FROM opportunity"),
    (
        "running totals",
        "SELECT owner_id, close_date, booked, sum(booked) OVER (PARTITION BY owner_id ORDER BY close_date) AS running \
         FROM (SELECT owner_id, close_date, sum(amount) AS booked FROM opportunity WHERE stage = 'Closed Won' \
         AND owner_id <= 200 GROUP BY owner_id, close_date) t ORDER BY owner_id, close_date",
    ),
    (
        "owners above their stage's mean",
        "SELECT o.owner_name, count(*) AS deals, sum(d.amount) AS total FROM opportunity d JOIN owner o \
         ON o.owner_id = d.owner_id JOIN (SELECT stage, avg(amount) AS mean FROM opportunity GROUP BY stage) m \
         ON m.stage = d.stage WHERE d.amount > m.mean GROUP BY o.owner_name ORDER BY total DESC, o.owner_name LIMIT 50",
    ),
    (
        "words in descriptions",
        "SELECT lead_source, count(*) AS n FROM opportunity WHERE description LIKE '%follow up%' \
         GROUP BY lead_source ORDER BY n DESC, lead_source",
    ),
    ("a range of keys, whole", "SELECT * FROM opportunity WHERE seq_no BETWEEN 50000 AND 60000 ORDER BY id"),
];

/// A program that reads questions as lines of JSON and writes the best seconds and the number of rows of each.
const DUCKDB: &str = r#"
import duckdb, json, sys, time
con = duckdb.connect()
con.execute("SET threads TO " + sys.argv[1])
for table in ("opportunity", "owner"):
    files = json.loads(sys.stdin.readline())
    con.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet({files!r})")
for line in sys.stdin:
    sql, best = json.loads(line), float("inf")
    for _ in range(int(sys.argv[2])):
        started = time.perf_counter()
        rows = con.execute(sql).fetchall()
        best = min(best, time.perf_counter() - started)
    print(best, len(rows), flush=True)
"#;

pub(crate) fn against_duckdb(report: &mut Report, server: &Server) {
    let mut wire = Wire::connect(&server.config());
    let ours: Vec<(f64, u64)> = QUESTIONS
        .iter()
        .map(|(_, sql)| {
            let (mut best, mut rows) = (f64::INFINITY, 0);
            for _ in 0..ROUNDS {
                let started = Instant::now();
                rows = wire.fetch(sql, Format::Text);
                best = best.min(started.elapsed().as_secs_f64());
            }
            (best, rows)
        })
        .collect();
    let Ok(python) = std::env::var("TRIBUTARY_PYTHON") else {
        for ((name, _), (seconds, _)) in QUESTIONS.iter().zip(&ours) {
            report.fact(name, seconds * 1000.0, "ms");
        }
        return;
    };
    let theirs = duckdb(&python, server);
    let mut product = 1.0;
    for (((name, sql), ours), theirs) in QUESTIONS.iter().zip(&ours).zip(&theirs) {
        assert_eq!(ours.1, theirs.1, "rows of {sql}");
        product *= ours.0 / theirs.0;
        report.fact(&format!("{name}, DuckDB"), theirs.0 * 1000.0, "ms");
        report.fact(name, ours.0 * 1000.0, "ms");
        report.fact(&format!("{name}, tributary : DuckDB"), ours.0 / theirs.0, "x");
    }
    let mean = f64::powf(product, 1.0 / QUESTIONS.len() as f64);
    report.limit("geometric mean of the questions, tributary : DuckDB", mean, 1.25, "x");
}

fn duckdb(python: &str, server: &Server) -> Vec<(f64, u64)> {
    let threads = std::thread::available_parallelism().unwrap().to_string();
    let mut child = Command::new(python)
        .args(["-c", DUCKDB, &threads, &ROUNDS.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for files in files(server) {
        writeln!(input, "{}", serde_json::to_string(&files).unwrap()).unwrap();
    }
    for (_, sql) in QUESTIONS {
        writeln!(input, "{}", serde_json::to_string(sql).unwrap()).unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    text.lines()
        .map(|line| {
            let (seconds, rows) = line.split_once(' ').unwrap();
            (seconds.parse().unwrap(), rows.parse().unwrap())
        })
        .collect()
}

/// The files of the opportunities and of the owners: after one sync all that are there belong to the newest version.
fn files(server: &Server) -> Vec<Vec<PathBuf>> {
    let mut tables = vec![Vec::new()];
    let connection = server.data.join("snapshots/company/crm");
    for table in std::fs::read_dir(connection).unwrap() {
        let mut files = Vec::new();
        parquet_files(&table.unwrap().path(), &mut files);
        tables.push(files);
    }
    tables.retain(|files| !files.is_empty());
    let size = |file: &PathBuf| std::fs::metadata(file).unwrap().len();
    tables.sort_by_key(|files| std::cmp::Reverse(files.iter().map(size).sum::<u64>()));
    tables
}

fn parquet_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("_delta_log") {
            parquet_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            files.push(path);
        }
    }
}
