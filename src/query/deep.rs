//! Trees made from long texts are built, walked and dropped with a stack that fits them.

use std::fmt;
use std::ops::Deref;

/// Tokens above which a thread's own stack may not do.
const MANY_TOKENS: usize = 400;
/// Only what is touched of it costs memory.
const STACK_BYTES: usize = 256 << 20;

/// Whether trees made from so many tokens may be too deep for a thread's own stack.
pub(super) fn is_deep(tokens: usize) -> bool {
    tokens > MANY_TOKENS
}

/// Runs `work` on a stack large enough for a statement of so many tokens.
pub(super) fn with_stack<T>(tokens: usize, work: impl FnOnce() -> T) -> T {
    if is_deep(tokens) { stacker::grow(STACK_BYTES, work) } else { work() }
}

/// A tree that may be deep: it is dropped with a large stack wherever that happens.
pub(super) struct Deep<T> {
    tree: Option<T>,
    tokens: usize,
}

impl<T> Deep<T> {
    pub(super) fn new(tree: T, tokens: usize) -> Self {
        Deep { tree: Some(tree), tokens }
    }

    /// The tokens of the text it was made from.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }
}

impl<T> Deref for Deep<T> {
    type Target = T;

    #[allow(clippy::expect_used)]
    fn deref(&self) -> &T {
        // Only `drop` takes it out.
        self.tree.as_ref().expect("a tree until it is dropped")
    }
}

impl<T> Drop for Deep<T> {
    fn drop(&mut self) {
        let tree = self.tree.take();
        with_stack(self.tokens, move || drop(tree));
    }
}

impl<T> fmt::Debug for Deep<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a tree of {} tokens", self.tokens)
    }
}

/// Polls a future on a stack large enough for a statement of so many tokens.
pub(super) async fn poll_with_stack<T>(tokens: usize, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| with_stack(tokens, || work.as_mut().poll(context))).await
}
