//! A read as a stream that starts with its first poll and ends when it is dropped.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::Result;
use crate::source::Page;

/// Pages that may wait for whoever takes them, while the next one is fetched.
const PAGES_AHEAD: usize = 2;

type Start = Box<dyn FnOnce(mpsc::Sender<Result<Page>>) -> BoxFuture<'static, Result<()>> + Send>;

/// Pages made by a task of their own.
pub(super) enum Lazy {
    Waiting(Option<Start>),
    Running { pages: mpsc::Receiver<Result<Page>>, task: JoinHandle<()> },
}

impl Lazy {
    pub(super) fn new<F>(start: impl FnOnce(mpsc::Sender<Result<Page>>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        Lazy::Waiting(Some(Box::new(move |pages| Box::pin(start(pages)))))
    }
}

impl Stream for Lazy {
    type Item = Result<Page>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Page>>> {
        if let Lazy::Waiting(start) = &mut *self {
            let Some(start) = start.take() else { return Poll::Ready(None) };
            let (sender, pages) = mpsc::channel(PAGES_AHEAD);
            let task = tokio::spawn(async move {
                if let Err(error) = start(sender.clone()).await {
                    // Nobody listens any more: the error interests nobody.
                    sender.send(Err(error)).await.ok();
                }
            });
            *self = Lazy::Running { pages, task };
        }
        match &mut *self {
            Lazy::Running { pages, .. } => pages.poll_recv(cx),
            Lazy::Waiting(_) => Poll::Ready(None),
        }
    }
}

impl Drop for Lazy {
    fn drop(&mut self) {
        if let Lazy::Running { task, .. } = self {
            task.abort();
        }
    }
}
