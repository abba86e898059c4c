//! Deals of a fast HubSpot on this machine, from the call to the published release.
//!
//! `cargo bench --bench http [-- --rows 200000]` prints a table of what was found against what is promised.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![allow(dead_code)]

use std::time::{Duration, Instant};

use process::Usage;
use report::Report;
use support::server::Server;
use vendor::{PAGE, Vendor};

#[path = "common/process.rs"]
mod process;
#[path = "common/report.rs"]
mod report;
#[path = "common/support.rs"]
mod support;
#[path = "http/vendor.rs"]
mod vendor;

/// How long the far vendor takes for a page.
const LATENCY: Duration = Duration::from_millis(50);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == "--rows");
    let rows = at.map_or(200_000, |at| arguments[at + 1].parse().expect("--rows takes a number"));
    let mut report = Report::default();
    for (rows, name) in [(rows, ""), (rows * 4, ", four times as many")] {
        let near = Vendor::start(rows, Duration::ZERO);
        let server = linked(&near);
        let used = Usage::of(server.pid());
        let wall = sync(&server);
        let cpu = Usage::of(server.pid()).since(&used);
        let peak = process::peak(server.pid());
        check(&server, rows);
        report.fact(&format!("full sync of {rows} deals{name}"), wall, "s");
        let pages = (rows / PAGE) as f64;
        report.limit(&format!("CPU of the server{name}"), cpu / pages * 2_000.0, 2.2, "s per 2,000 pages");
        report.limit(&format!("peak memory of the server{name}"), peak, 128.0, "MiB");
    }
    let rows = rows / 10;
    let far = Vendor::start(rows, LATENCY);
    let server = linked(&far);
    let asked = far.pages();
    let wall = sync(&server);
    let pages = far.pages() - asked;
    check(&server, rows);
    let least = pages as f64 * LATENCY.as_secs_f64();
    report.limit(&format!("full sync of {pages} pages of 50 ms : their latency"), wall / least, 1.05, "x");
    report.print();
}

/// A server that knows the vendor's deals as a table.
fn linked(vendor: &Vendor) -> Server {
    let folder = tempfile::tempdir().unwrap().keep();
    let catalog = folder.join("catalog");
    std::fs::create_dir(&catalog).unwrap();
    // The real limits would be all there is to measure.
    let manifest =
        include_str!("../catalog/hubspot.yaml").replace("calls: 100, per: 10s", "calls: 1000000, per: 10s");
    std::fs::write(catalog.join("hubspot.yaml"), manifest).unwrap();
    let config = folder.join("tributary.toml");
    std::fs::write(&config, format!("[connector_base]\nhubspot = \"{}\"\n", vendor.base())).unwrap();
    let arguments = ["--config", config.to_str().unwrap(), "--catalog", catalog.to_str().unwrap()];
    let server = Server::builder().args(&arguments).start();
    server.rows(&[
        "CALL connect('hubspot', name => 'crm')",
        "CALL set_secret('crm', 'token', 'pat-na1-of-the-benchmark')",
        "CALL add_object('crm', 'deal')",
    ]);
    server
}

/// Seconds of a full sync.
fn sync(server: &Server) -> f64 {
    let started = Instant::now();
    let said = server.rows(&["CALL sync('crm', 'full')"]);
    let wall = started.elapsed().as_secs_f64();
    assert!(said.contains("|full|succeeded|"), "{said}");
    wall
}

fn check(server: &Server, rows: usize) {
    let found = server.rows(&["SELECT count(*), count(amount), count(DISTINCT id) FROM crm.deal"]);
    assert_eq!(found, format!("{rows}|{rows}|{rows}"));
}
