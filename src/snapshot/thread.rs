//! A thread of its own for pieces of work that block and take much memory one after the other.
//!
//! On a pool each piece may run on another thread, and what one has freed stays with the arena of its thread: the
//! next piece takes the same amount again.

use std::sync::mpsc::{Sender, channel};

use tokio::sync::oneshot;

use crate::error::{Error, Result};

type Work = Box<dyn FnOnce() + Send>;

/// It ends when this is dropped and its work is done.
pub(crate) struct Thread(Sender<Work>);

impl Thread {
    pub(crate) fn start(name: &str) -> Result<Self> {
        let (sender, works) = channel::<Work>();
        let body = move || works.into_iter().for_each(|work| work());
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
        let ended = |_| Error::internal("a thread has ended before its work");
        let work = Box::new(move || {
            sender.send(work()).ok();
        });
        self.0.send(work).map_err(|_| Error::internal("a thread has ended before its work"))?;
        done.await.map_err(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_in_order_on_one_thread() {
        let thread = Thread::start("test").unwrap();
        let first = thread.run(|| std::thread::current().id()).await.unwrap();
        assert_eq!(thread.run(|| std::thread::current().id()).await.unwrap(), first);
        // A panic ends the work and the thread, and is told to whoever waits.
        assert!(thread.run(|| assert_eq!(1, 2)).await.is_err());
        assert!(thread.run(|| 1).await.is_err());
    }
}
