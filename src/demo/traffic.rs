//! What reaches a simulated vendor: calls are counted and kept, and planned failures happen.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

use super::fault::{Fault, Scheduled};

/// Calls that are kept in full; older ones are only counted.
const KEPT: usize = 20_000;

/// One call as it arrived. The `Authorization` header is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Method and path with placeholders, for example `GET /crm/v3/objects/{type}`.
    pub endpoint: &'static str,
    /// Path and query as they were sent.
    pub uri: String,
    /// The body as text.
    pub body: String,
    /// Status of the answer.
    pub status: u16,
}

type Hook = Box<dyn FnOnce() + Send>;

struct Waiting {
    path: String,
    skip: usize,
    hook: Hook,
}

/// Counters, the log of calls, planned failures and planned events of one vendor.
#[derive(Default)]
pub struct Traffic {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    log: Mutex<VecDeque<Call>>,
    faults: Mutex<Vec<Scheduled>>,
    waiting: Mutex<Vec<Waiting>>,
}

impl Traffic {
    /// Calls of one endpoint so far, refused ones included.
    pub fn calls(&self, endpoint: &str) -> u64 {
        self.counts.lock().get(endpoint).copied().unwrap_or_default()
    }

    /// Calls of every endpoint so far.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().clone()
    }

    /// All calls so far.
    pub fn total(&self) -> u64 {
        self.counts.lock().values().sum()
    }

    /// The newest calls, oldest first.
    pub fn log(&self) -> Vec<Call> {
        self.log.lock().iter().cloned().collect()
    }

    /// Starts counting from zero and forgets the log.
    pub fn reset(&self) {
        self.counts.lock().clear();
        self.log.lock().clear();
    }

    /// Lets the next `n` answers fail.
    pub fn fail_next(&self, n: usize, fault: Fault) {
        self.fail_next_at("", n, fault);
    }

    /// Lets the next `n` answers to calls fail whose method and path (`GET /crm/v3/owners`) contain `path`.
    pub fn fail_next_at(&self, path: &str, n: usize, fault: Fault) {
        self.faults.lock().push(Scheduled { path: path.into(), remaining: n, fault });
    }

    /// Cancels the failures and events that have not happened yet.
    pub fn heal(&self) {
        self.waiting.lock().clear();
        self.faults.lock().clear();
    }

    /// Does something once, right before a call is answered whose method and path contain `path`; `skip` such calls
    /// pass first. This is how records change between two pages of one read.
    pub fn before(&self, path: &str, skip: usize, hook: impl FnOnce() + Send + 'static) {
        self.waiting.lock().push(Waiting { path: path.into(), skip, hook: Box::new(hook) });
    }

    /// The events that are due before a call to `path`.
    pub(super) fn due(&self, path: &str) -> Vec<Box<dyn FnOnce() + Send>> {
        let mut waiting = self.waiting.lock();
        let mut due = Vec::new();
        let mut kept = Vec::new();
        for mut one in waiting.drain(..) {
            match (path.contains(&one.path), one.skip) {
                (true, 0) => due.push(one.hook),
                (true, skip) => {
                    one.skip = skip - 1;
                    kept.push(one);
                }
                (false, _) => kept.push(one),
            }
        }
        *waiting = kept;
        due
    }

    /// The failure planned for a call to `path`; it is used up.
    pub(super) fn take_fault(&self, path: &str) -> Option<Fault> {
        let mut faults = self.faults.lock();
        let planned = faults.iter_mut().find(|planned| path.contains(&planned.path))?;
        planned.remaining = planned.remaining.saturating_sub(1);
        let fault = planned.fault.clone();
        faults.retain(|planned| planned.remaining > 0);
        Some(fault)
    }

    pub(super) fn record(&self, call: Call) {
        *self.counts.lock().entry(call.endpoint).or_default() += 1;
        let mut log = self.log.lock();
        if log.len() == KEPT {
            log.pop_front();
        }
        log.push_back(call);
    }
}

impl std::fmt::Debug for Traffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Traffic").field("counts", &self.counts()).finish_non_exhaustive()
    }
}
