//! How far the runs of this process are.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::Run;

/// What running runs have counted so far, by their numbers. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Live(Arc<Mutex<HashMap<i64, Ongoing>>>);

/// A run that is not at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ongoing {
    /// Rows received.
    pub read: u64,
    /// Calls of the source's API.
    pub calls: u64,
    /// Those it will take, where the source can tell.
    pub expected_calls: Option<u64>,
    /// Rows it will receive, where the source can tell.
    pub expected_rows: Option<u64>,
}

impl Live {
    /// How far a run is; `None` when it does not run here.
    pub fn of(&self, run: i64) -> Option<Ongoing> {
        self.0.lock().get(&run).copied()
    }

    pub(super) fn note(&self, run: &Run) {
        let mut runs = self.0.lock();
        let ongoing = runs.entry(run.id).or_default();
        ongoing.read = run.counts.read;
        ongoing.calls = run.counts.calls;
        ongoing.expected_calls = run.counts.expected_calls;
    }

    pub(super) fn expect(&self, run: &Run, rows: u64) {
        self.note(run);
        if let Some(ongoing) = self.0.lock().get_mut(&run.id) {
            ongoing.expected_rows = Some(rows);
        }
    }

    pub(super) fn end(&self, run: i64) {
        self.0.lock().remove(&run);
    }
}
