//! What can go wrong with an answer.

use std::time::Duration;

/// One failure of one answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status, with the vendor's usual error body.
    Status(u16),
    /// The vendor's "too many requests", waiting time told in `Retry-After` where given.
    RateLimited {
        /// Seconds in `Retry-After`.
        retry_after: Option<u64>,
        /// The budget of the day instead of the short window.
        daily: bool,
    },
    /// The right answer, cut in the middle: the connection closes before the promised length.
    Truncated,
    /// The right answer, in time or not.
    Slow(Duration),
    /// Headers and the first half come, the rest never does, and the connection stays open.
    Stalled,
    /// Status 200 with the login page of a proxy.
    LoginPage,
    /// Status 200 with JSON that ends in the middle although HTTP says it is complete.
    HalfJson,
    /// Zeros of this many bytes, compressed to a thousandth.
    Bomb(usize),
    /// Another answer altogether.
    Replace {
        /// Its status.
        status: u16,
        /// Its content type.
        content_type: &'static str,
        /// Its body.
        body: String,
    },
}

/// A failure that waits for its call.
#[derive(Debug)]
pub(super) struct Scheduled {
    pub(super) path: String,
    pub(super) remaining: usize,
    pub(super) fault: Fault,
}
