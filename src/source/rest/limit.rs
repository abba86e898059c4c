//! How many calls may be made in what time, and how many at once.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::catalog::manifest::Http;
use crate::error::{Error, Result};

/// The limits of one connection.
#[derive(Debug)]
pub(crate) struct Limits {
    windows: Vec<Window>,
    permits: Semaphore,
}

#[derive(Debug)]
struct Window {
    calls: usize,
    per: Duration,
    path: Option<String>,
    /// When the calls of the moving window were made.
    made: Mutex<VecDeque<Instant>>,
}

impl Limits {
    pub(crate) fn new(http: &Http) -> Self {
        let window = |limit: &crate::catalog::manifest::Limit| Window {
            calls: limit.calls.max(1) as usize,
            per: limit.per.duration(),
            path: limit.path.clone(),
            made: Mutex::default(),
        };
        Limits {
            windows: http.limits.iter().map(window).collect(),
            permits: Semaphore::new(http.concurrency),
        }
    }

    /// Waits until a call of `path` may be made. It counts as under way until the permit is dropped.
    pub(crate) async fn acquire(&self, path: &str) -> Result<SemaphorePermit<'_>> {
        let permit = self.permits.acquire().await;
        let permit = permit.map_err(|error| Error::internal("the permits are gone").with_source(error))?;
        for window in
            self.windows.iter().filter(|w| w.path.as_ref().is_none_or(|part| path.contains(part.as_str())))
        {
            while let Some(until) = window.take() {
                tokio::time::sleep_until(until).await;
            }
        }
        Ok(permit)
    }
}

impl Window {
    /// Takes a place in the window; when there is none, tells when there will be.
    fn take(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut made = self.made.lock();
        while made.front().is_some_and(|first| *first + self.per <= now) {
            made.pop_front();
        }
        if made.len() < self.calls {
            made.push_back(now);
            return None;
        }
        made.front().map(|first| *first + self.per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(yaml: &str) -> Limits {
        Limits::new(&serde_saphyr::from_str(&format!("base: https://x\n{yaml}")).unwrap())
    }

    #[tokio::test]
    async fn calls_wait_for_their_window() {
        let limits = limits("limits: [{calls: 6, per: 1s}, {calls: 2, per: 1s, path: /search}]");
        let started = Instant::now();
        for _ in 0..6 {
            drop(limits.acquire("/deals").await.unwrap());
        }
        assert!(started.elapsed() < Duration::from_millis(500));
        drop(limits.acquire("/deals").await.unwrap());
        assert!(started.elapsed() >= Duration::from_secs(1));
        let started = Instant::now();
        for _ in 0..3 {
            drop(limits.acquire("/deals/search").await.unwrap());
        }
        let waited = started.elapsed();
        assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(2), "{waited:?}");
    }

    #[tokio::test]
    async fn so_many_are_under_way_at_once() {
        let limits = limits("concurrency: 2");
        let short = Duration::from_millis(50);
        let first = limits.acquire("/x").await.unwrap();
        let _second = limits.acquire("/x").await.unwrap();
        assert!(tokio::time::timeout(short, limits.acquire("/x")).await.is_err());
        drop(first);
        assert!(tokio::time::timeout(short, limits.acquire("/x")).await.is_ok());
    }
}
