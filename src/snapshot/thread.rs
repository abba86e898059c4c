//! Threads for pieces of work that block: one of their own for those that take much memory one after the other, and some
//! for those that take little and are many.
//!
//! On a pool each piece may run on another thread, and what one has freed stays with the arena of its thread: the
//! next piece takes the same amount again.

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use tokio::sync::oneshot;

use crate::error::{Error, Result};

type Work = Box<dyn FnOnce() + Send>;

/// It ends when this is dropped and its work is done. Work that panics is one failure: what comes after it is done.
pub(crate) struct Thread(Sender<Work>);

impl Thread {
    pub(crate) fn start(name: &str) -> Result<Self> {
        let (sender, works) = channel::<Work>();
        // The sender of what the work would have returned goes with it: that is what tells of the panic.
        let body = move || works.into_iter().for_each(|work| drop(catch_unwind(AssertUnwindSafe(work))));
        let started = std::thread::Builder::new().name(name.into()).spawn(body);
        started.map_err(|error| Error::internal("no thread can be started").with_source(error))?;
        Ok(Thread(sender))
    }

    /// Runs `work` there and waits for what it returns. It goes on when nobody waits any more.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let (sender, done) = oneshot::channel();
        let work = Box::new(move || {
            sender.send(work()).ok();
        });
        self.0.send(work).map_err(defect)?;
        done.await.map_err(defect)
    }
}

/// What whoever waits is told of a panic.
fn defect<E>(_: E) -> Error {
    Error::internal("work ended in a defect")
}

/// Threads that work on the same.
const MOST_THREADS: usize = 4;

/// What `work` makes of each of `pieces`, in their order, on as many threads as help. Blocks.
///
/// # Errors
/// The first error in the order of the pieces; later pieces may not have been worked on then.
pub(crate) fn side_by_side<P: Sync, T: Send>(
    pieces: &[P],
    work: impl Fn(&P) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = threads.min(MOST_THREADS).min(pieces.len());
    if threads <= 1 {
        return pieces.iter().map(work).collect();
    }
    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let take_turns = || {
        let mut done = Vec::new();
        while !has_failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = pieces.get(at) else { break };
            let made = work(piece);
            has_failed.fetch_or(made.is_err(), Ordering::Relaxed);
            done.push((at, made));
        }
        done
    };
    let mut done = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take_turns)).collect();
        let mut done = take_turns();
        for other in others {
            done.extend(other.join().map_err(defect)?);
        }
        Ok::<_, Error>(done)
    })?;
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, made)| made).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_keep_their_order_and_the_first_error_counts() {
        let pieces: Vec<u32> = (0..1000).collect();
        let doubled = side_by_side(&pieces, |piece| Ok(2 * piece)).unwrap();
        assert_eq!(doubled, pieces.iter().map(|piece| 2 * piece).collect::<Vec<_>>());
        assert!(side_by_side(&pieces[..0], |piece| Ok(*piece)).unwrap().is_empty());
        let odd = |piece: &u32| match piece {
            7 | 9 => Err(Error::internal(format!("no {piece}"))),
            other => Ok(*other),
        };
        for _ in 0..50 {
            let error = side_by_side(&pieces, odd).unwrap_err();
            assert!(error.to_string().contains("no 7"), "{error}");
        }
    }

    #[tokio::test]
    async fn work_is_done_in_order_on_one_thread() {
        let thread = Thread::start("test").unwrap();
        let first = thread.run(|| std::thread::current().id()).await.unwrap();
        assert_eq!(thread.run(|| std::thread::current().id()).await.unwrap(), first);
        // A panic ends that work alone, and is told to whoever waits.
        assert!(thread.run(|| assert_eq!(1, 2)).await.is_err());
        assert_eq!(thread.run(|| std::thread::current().id()).await.unwrap(), first);
    }
}
