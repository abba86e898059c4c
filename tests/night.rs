//! The night: batches by the local clock, statements on exactly their release, and what becomes of it when something
//! fails.

use std::time::{Duration, Instant};

use crate::support::server::Server;

mod batch;
mod clock;
mod cut;
mod held;
mod kept;
mod reproduced;
mod statement;
mod swept;

/// The last line that psql printed.
fn last(server: &Server, statements: &[&str]) -> String {
    server.rows(statements).lines().last().unwrap_or_default().to_string()
}

/// Waits until something is so, at most a minute.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
