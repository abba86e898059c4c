//! A company of 300 objects of 200 fields and 10,000 runs: the pages of its console, and what tools ask of its catalog.
//!
//! `cargo bench --bench console` prints how long each took and how large a page was, against what is promised.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![allow(dead_code)]

use std::time::Instant;

use report::Report;
use support::large::{self, BESIDE, KEY, PAGES};
use support::server::{ADMIN, ADMIN_PASSWORD, Server};
use support::tools::{QUESTIONS, Size, about};
use wire::{Format, Wire};

#[path = "common/process.rs"]
mod process;
#[path = "common/report.rs"]
mod report;
#[path = "common/support.rs"]
mod support;
#[path = "common/wire.rs"]
mod wire;

const MOST_MS: f64 = 300.0;
const MOST_KB: f64 = 500.0;
/// Of a statement about the catalog.
const CATALOG_MS: f64 = 100.0;
/// The best of so many counts: the first one fills caches, and the machine does other things, too.
const TRIES: usize = 5;

fn main() {
    let server = Server::builder().verb("demo").args(&["--web-listen", "127.0.0.1:0"]).start();
    server.rows(BESIDE);
    let (_, again) = server.stop();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(large::fill(&again.data_directory()));
    let server = again.start();
    let key = server.rows(&[KEY]);
    let mut report = Report::default();
    runtime.block_on(async {
        let browser = Browser::logged_in(&server).await;
        for (_, path) in PAGES {
            let path = &path.replace("KEY", &key);
            let mut took = Vec::new();
            let mut bytes = 0;
            for _ in 0..TRIES {
                let began = Instant::now();
                bytes = browser.get(path).await;
                took.push(began.elapsed().as_secs_f64() * 1_000.0);
            }
            report.fact(&format!("{path}, the first time"), took[0], "ms");
            report.limit(path, took.iter().copied().fold(f64::MAX, f64::min), MOST_MS, "ms");
            report.limit(path, bytes as f64 / 1_000.0, MOST_KB, "kB");
        }
    });
    catalog(&mut report, &server);
    report.fact("peak memory of the server", process::peak(server.pid()), "MiB");
    report.print();
}

/// What tools ask of the catalog first, until the last row has come.
fn catalog(report: &mut Report, server: &Server) {
    let mut wire = Wire::connect(&server.config());
    for (name, question, size) in QUESTIONS {
        let sql = about(question, large::CONNECTION, "object_7");
        // The demonstration has objects of its own beside the others.
        let least = match size {
            Size::One => 1,
            Size::Fields => large::FIELDS,
            Size::Objects => large::OBJECTS,
            Size::All => large::OBJECTS * large::FIELDS,
        };
        let mut took = Vec::new();
        for _ in 0..TRIES {
            let began = Instant::now();
            let rows = wire.fetch(&sql, Format::Text);
            took.push(began.elapsed().as_secs_f64() * 1_000.0);
            assert!(rows as i64 >= least, "{rows} rows: {sql}");
        }
        report.fact(&format!("{name}, the first time"), took[0], "ms");
        report.limit(name, took.iter().copied().fold(f64::MAX, f64::min), CATALOG_MS, "ms");
    }
}

/// Somebody who is logged in.
struct Browser {
    client: reqwest::Client,
    web: String,
    cookie: String,
}

impl Browser {
    async fn logged_in(server: &Server) -> Self {
        let said = server.said();
        let line = said.lines().find(|line| line.starts_with("browsers are served")).expect("it says where");
        let web = line.split_whitespace().last().unwrap().to_string();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("name", ADMIN).append_pair("password", ADMIN_PASSWORD);
        let request = client
            .post(format!("{web}/login"))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", &web)
            .body(form.finish());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 303);
        let cookies = answer.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
        let session =
            cookies.filter_map(|cookie| cookie.split(';').next()).find(|one| one.contains("session="));
        Browser { client, web, cookie: session.unwrap().to_string() }
    }

    /// Bytes of a page.
    async fn get(&self, path: &str) -> usize {
        let request = self.client.get(format!("{}{path}", self.web)).header("cookie", &self.cookie);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.bytes().await.unwrap().len()
    }
}
