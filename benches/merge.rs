//! Merging a change into a large table, and what reading costs after many of them.
//!
//! `cargo bench --bench merge [-- --rows 5000000 --rows 20000000]` builds a table of each size, merges 12,000 changed
//! keys into it ten times, compacts a copy of it, and asks both the same questions. Every step is a process of its own,
//! so that its memory can be told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![allow(dead_code)]

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tributary::snapshot::{Commit, Extent, Table, Warehouse};

use report::Report;

#[path = "merge/ask.rs"]
mod ask;
#[path = "common/process.rs"]
mod process;
#[path = "common/report.rs"]
mod report;
#[path = "merge/rows.rs"]
mod rows;

const UPDATED: u64 = 10_000;
const NEW: u64 = 2_000;
const CHANGED: f64 = (UPDATED + NEW) as f64;
const MERGES: u64 = 10;
/// How often the first of them is measured.
const SHOTS: usize = 7;
/// Rows handed to a writer at once.
const BATCH: u64 = 8192;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--step") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let rows = arguments[at + 3].parse().unwrap();
        return runtime.block_on(step(&arguments[at + 1], &arguments[at + 2], rows));
    }
    let after = |at: usize| arguments[at + 1].parse::<u64>().expect("--rows takes a number");
    let mut sizes: Vec<_> = (0..arguments.len()).filter(|at| arguments[*at] == "--rows").map(after).collect();
    if sizes.is_empty() {
        sizes = vec![200_000, 800_000];
    }
    let mut report = Report::default();
    let tables: Vec<_> = sizes.iter().map(|rows| Measured::build(&mut report, *rows)).collect();
    let merged = first_merges(&tables);
    for (rows, merged) in sizes.iter().zip(&merged) {
        report.limit(&format!("merge into {rows} rows"), merged["seconds"], 0.5, "s");
        report.limit("written", merged["bytes"] / CHANGED, 200.0, "bytes per changed row");
        report.limit("peak memory of the merge", merged["memory"], 256.0, "MiB");
    }
    for (rows, larger) in sizes.iter().zip(&merged).skip(1) {
        let what = format!("merge into {rows} : into {} rows", sizes[0]);
        report.limit(&what, larger["seconds"] / merged[0]["seconds"], 1.5, "x");
    }
    tables.iter().for_each(|table| table.wear_and_ask(&mut report));
    report.print();
}

/// A table of some size in a folder of its own.
struct Measured {
    folder: tempfile::TempDir,
    rows: u64,
}

impl Measured {
    fn build(report: &mut Report, rows: u64) -> Self {
        let table = Measured { folder: tempfile::tempdir().unwrap(), rows };
        let built = table.run("build");
        report.fact(&format!("building {rows} rows"), built["seconds"], "s");
        let again = table.run("again");
        report.fact("the same rows written in full again", again["seconds"], "s");
        report.fact("its processor time : that of building", again["processor"] / built["processor"], "x");
        table
    }

    fn run(&self, step: &str) -> HashMap<String, f64> {
        said(step, self.folder.path(), self.rows)
    }

    /// The first merge, into a copy that is thrown away.
    fn merge_once(&self) -> HashMap<String, f64> {
        let again = self.folder.path().join("again");
        std::fs::create_dir(&again).unwrap();
        self.copy("acme", "again/acme");
        let told = said("merge-0", &again, self.rows);
        std::fs::remove_dir_all(&again).unwrap();
        told
    }

    /// A copy that shares the files, which never change.
    fn copy(&self, from: &str, to: &str) {
        let copied = Command::new("cp").arg("-al").args([from, to]).current_dir(&self.folder).status();
        assert!(copied.unwrap().success());
    }

    /// All merges, and the questions after them.
    fn wear_and_ask(&self, report: &mut Report) {
        let rows = self.rows;
        let mut walls = Vec::new();
        for number in 0..MERGES {
            walls.push(self.run(&format!("merge-{number}"))["seconds"]);
            self.run("due");
        }
        let slowest = walls.into_iter().fold(0.0, f64::max);
        report.fact(&format!("the slowest of ten in a row into {rows} rows"), slowest, "s");
        self.copy("acme/merged", "acme/compacted");
        let compacted = self.run("compact");
        report.fact("compacting all of it", compacted["seconds"], "s");
        report.limit("peak memory of the compaction", compacted["memory"], 256.0, "MiB");
        let asked = self.run("ask");
        for (name, _) in ask::QUESTIONS {
            report.fact(&format!("{name}, compacted"), asked[&format!("{name}-compacted")], "ms");
            report.limit(&format!("{name}, after {MERGES} merges"), asked[*name], 1.15, "x");
        }
        let looked = self.run("look-up");
        report.limit("point lookup by key, compacted", looked["lookup-compacted"], 2.0, "ms");
        report.limit(&format!("point lookup by key, after {MERGES} merges"), looked["lookup"], 2.0, "ms");
        report.fact("processor time of it", looked["lookup-cpu"], "ms");
    }
}

/// What the first merge into each table takes: that in the middle of some, measured by turns, as the machine may be faster
/// at one time than at another.
fn first_merges(tables: &[Measured]) -> Vec<HashMap<String, f64>> {
    let mut shots: Vec<Vec<_>> = tables.iter().map(|_| Vec::new()).collect();
    for _ in 0..SHOTS {
        tables.iter().zip(&mut shots).for_each(|(table, shots)| shots.push(table.merge_once()));
    }
    let in_the_middle = |mut shots: Vec<HashMap<String, f64>>| {
        shots.sort_by(|a, b| a["seconds"].total_cmp(&b["seconds"]));
        shots.swap_remove(SHOTS / 2)
    };
    shots.into_iter().map(in_the_middle).collect()
}

/// Runs one step and returns the numbers that it told.
fn said(step: &str, folder: &Path, rows: u64) -> HashMap<String, f64> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--step", step, folder.to_str().unwrap(), &rows.to_string()])
        .stderr(std::process::Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{step}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| line.rsplit_once('='))
        .map(|(k, v)| (k.into(), v.parse().unwrap()))
        .collect()
}

fn tell(name: &str, value: f64) {
    println!("{name}={value}");
}

async fn step(step: &str, folder: &str, rows: u64) {
    let warehouse = Warehouse::open(folder, "acme").unwrap();
    let opened = warehouse.clone();
    let merged = warehouse.table("merged", "opportunity");
    let started = Instant::now();
    match step.split_once('-').unwrap_or((step, "")) {
        ("build", _) => {
            build(&merged, rows, 1).await;
            let owners = warehouse.table("merged", "owner");
            let mut writer = owners.replace(&rows::owner_spec()).await.unwrap();
            writer.write(0, rows::owners()).await.unwrap();
            writer.prepare().await.unwrap().commit(commit(1)).await.unwrap();
        }
        ("again", _) => build(&merged, rows, 2).await,
        ("merge", number) => tell("bytes", merge(&merged, rows, number.parse().unwrap()).await as f64),
        // What a server does after a sync.
        ("due", _) => {
            merged.compact(Extent::Due, &Default::default()).await.unwrap();
        }
        ("compact", _) => {
            let table = warehouse.table("compacted", "opportunity");
            table.compact(Extent::Everything, &Default::default()).await.unwrap();
        }
        // `ask-stage` by hand asks some of them.
        ("ask", part) => ask::ask(warehouse, folder, part).await,
        ("look", _) => ask::look_up(warehouse, folder, rows).await,
        _ => panic!("unknown step {step}"),
    }
    tell("seconds", started.elapsed().as_secs_f64());
    tell("processor", process::Usage::of(std::process::id()).since(&process::Usage::none()));
    tell("memory", process::peak(std::process::id()));
    opened.settle().await;
}

fn commit(run_id: i64) -> Commit {
    Commit { run_id, fence: run_id, watermark: None }
}

async fn build(table: &Table, rows: u64, run: i64) {
    let mut writer = table.replace(&rows::spec()).await.unwrap();
    // Two lanes side by side, as a source with two connections would deliver them.
    let half = rows / 2;
    for start in (0..half).step_by(BATCH as usize) {
        for (lane, end) in [(0, half), (1, rows)] {
            let from = start + lane as u64 * half;
            writer
                .write(lane, rows::batch((from..(from + BATCH).min(end)).map(|i| (2 * i, 0))))
                .await
                .unwrap();
        }
    }
    writer.prepare().await.unwrap().commit(commit(run)).await.unwrap();
}

/// Even numbers are there from the start, odd ones are new.
async fn merge(table: &Table, rows: u64, number: u64) -> u64 {
    let seed = 1 + number;
    let updated = (0..UPDATED).map(|i| 2 * (rows::hash(i, seed) % rows));
    let new = (0..NEW).map(|i| 2 * (rows::hash(i, 100 + seed) % rows) + 1);
    let changes: Vec<_> = updated.chain(new).map(|i| (i, seed)).collect();
    let mut writer = table.upsert(&rows::spec()).await.unwrap();
    for part in changes.chunks(BATCH as usize) {
        writer.write(0, rows::batch(part.iter().copied())).await.unwrap();
    }
    let prepared = writer.prepare().await.unwrap();
    let bytes = prepared.counts().bytes_written;
    prepared.commit(commit(3 + number as i64)).await.unwrap();
    bytes
}
