//! Budgets of calls: ten seconds, a second of search, a day.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::error::Policy;

/// How many calls a portal's app may make. `None` is no limit. The short windows pass in real time even when the
/// simulated clock stands still; the day is that of the simulated clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls in ten seconds.
    pub ten_seconds: Option<usize>,
    /// Searches in one second.
    pub search_second: Option<usize>,
    /// Calls of a day.
    pub day: Option<u64>,
}

impl Default for Limits {
    /// Those of a private app of a Professional portal.
    fn default() -> Self {
        Limits { ten_seconds: Some(190), search_second: Some(5), day: Some(625_000) }
    }
}

impl Limits {
    /// No limits, for tests of other things.
    pub fn none() -> Self {
        Limits { ten_seconds: None, search_second: None, day: None }
    }
}

/// What has been used so far.
#[derive(Debug, Default)]
pub(super) struct Meter {
    ten_seconds: HashMap<usize, VecDeque<Instant>>,
    search: HashMap<usize, VecDeque<Instant>>,
    days: HashMap<usize, (i64, u64)>,
}

/// What is left after a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    pub(super) ten_seconds: Option<usize>,
    pub(super) day: Option<u64>,
}

impl Meter {
    /// Takes one call of a portal, or says which budget is used up. `day` numbers the days of the portal.
    pub(super) fn take(
        &mut self,
        portal: usize,
        is_search: bool,
        day: i64,
        limits: &Limits,
    ) -> Result<Left, Policy> {
        let (since, used) = self.days.entry(portal).or_insert((day, 0));
        if *since != day {
            (*since, *used) = (day, 0);
        }
        if limits.day.is_some_and(|limit| *used >= limit) {
            return Err(Policy::Daily);
        }
        let left = match is_search {
            true => {
                let window = self.search.entry(portal).or_default();
                pass(window, limits.search_second, Duration::from_secs(1)).ok_or(Policy::Secondly)?;
                None
            }
            false => {
                let window = self.ten_seconds.entry(portal).or_default();
                pass(window, limits.ten_seconds, Duration::from_secs(10)).ok_or(Policy::TenSecondly)?
            }
        };
        *used += 1;
        Ok(Left { ten_seconds: left, day: limits.day.map(|limit| limit.saturating_sub(*used)) })
    }
}

/// Notes a call in a rolling window; `None` when the window is full. The inner value is what is left.
#[allow(clippy::option_option)]
fn pass(window: &mut VecDeque<Instant>, limit: Option<usize>, span: Duration) -> Option<Option<usize>> {
    let Some(limit) = limit else { return Some(None) };
    let now = Instant::now();
    while window.front().is_some_and(|first| now.duration_since(*first) >= span) {
        window.pop_front();
    }
    if window.len() >= limit {
        return None;
    }
    window.push_back(now);
    Some(Some(limit - window.len()))
}
