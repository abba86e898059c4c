//! What goes wrong, and when: durable operations of one world are counted in one order, and the n-th fails.

use std::sync::Mutex;

/// What becomes of the operation that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing of it is there.
    Before,
    /// All of it is there; only the answer is lost.
    After,
    /// Half of it is there, where a store can leave half: a data file. Otherwise as `Before`.
    Torn,
}

/// The operation that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    /// Which one, counted from 1 since the fault was armed.
    pub(super) at: u64,
    pub(super) failure: Failure,
    /// The process ends there: nothing that follows happens. Otherwise everything that follows works.
    pub(super) is_crash: bool,
}

/// What an operation has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Do,
    Fail(Failure),
    /// The process has ended.
    Dead,
}

/// The faults of one world.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    armed: Option<Fault>,
    done: u64,
    reached: bool,
    is_dead: bool,
    loses_answer: bool,
    trace: Vec<String>,
}

impl Faults {
    /// From now on operations are counted, and the one that `fault` names fails.
    pub(super) fn arm(&self, fault: Fault) {
        *self.0.lock().unwrap() = Inner { armed: Some(fault), ..Inner::default() };
    }

    /// Everything works again. Returns whether the fault happened.
    pub(super) fn disarm(&self) -> bool {
        std::mem::take(&mut *self.0.lock().unwrap()).reached
    }

    /// Whether the process has ended.
    pub(super) fn is_dead(&self) -> bool {
        self.0.lock().unwrap().is_dead
    }

    /// The operations so far, for a person who looks into a failure.
    pub(super) fn trace(&self) -> String {
        self.0.lock().unwrap().trace.join("\n")
    }

    /// A durable operation is about to happen.
    pub(super) fn next(&self, what: impl FnOnce() -> String) -> Verdict {
        let mut inner = self.0.lock().unwrap();
        let Some(fault) = inner.armed else { return Verdict::Do };
        if inner.is_dead {
            return Verdict::Dead;
        }
        inner.done += 1;
        let line = format!("{} {}", inner.done, what());
        inner.trace.push(line);
        if inner.done != fault.at {
            return Verdict::Do;
        }
        inner.reached = true;
        inner.is_dead = fault.is_crash;
        Verdict::Fail(fault.failure)
    }

    /// The operation under way lands, but [`Faults::takes_answer`] follows.
    pub(super) fn lose_answer(&self) {
        self.0.lock().unwrap().loses_answer = true;
    }

    /// Whether the operation that has just landed must look failed.
    pub(super) fn takes_answer(&self) -> bool {
        std::mem::take(&mut self.0.lock().unwrap().loses_answer)
    }
}
