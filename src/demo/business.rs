//! Business that goes on while somebody looks: one deal changes every few seconds.

use std::time::Duration;

use tokio::task::AbortHandle;

use super::random::mix;

/// Business goes on as long as this is kept.
#[derive(Debug)]
pub struct Business(AbortHandle);

impl Drop for Business {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Takes a turn after every `pause`. The number given to a turn is scattered over all 64 bits and, counted from the
/// start, the same in every run.
pub(super) fn start(pause: Duration, turn: impl Fn(u64) + Send + 'static) -> Business {
    let task = tokio::spawn(async move {
        for number in 1.. {
            tokio::time::sleep(pause).await;
            turn(mix(number));
        }
    });
    Business(task.abort_handle())
}
