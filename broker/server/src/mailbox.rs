//! How one thread hands things to another: a batch is pushed under one short lock, and the owner is woken once however much waits.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// The mailbox of a shard: its owner waits in an event loop.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    content: Mutex<Content<T>>,
    wake: Notify,
}

/// The mailbox of a thread without an event loop.
#[derive(Debug)]
pub(crate) struct BlockingMailbox<T> {
    content: Mutex<Content<T>>,
    wake: Condvar,
}

/// The owner of the mailbox is gone, and what was pushed with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

#[derive(Debug)]
struct Content<T> {
    waiting: Vec<T>,
    bytes: usize,
    closed: bool,
}

impl<T> Content<T> {
    const fn new() -> Self {
        Self { waiting: Vec::new(), bytes: 0, closed: false }
    }

    /// Whether the owner has to be woken: it was told already when something waits.
    fn push(&mut self, item: T) -> Result<bool, Closed> {
        if self.closed {
            return Err(Closed);
        }
        self.waiting.push(item);
        Ok(self.waiting.len() == 1)
    }

    fn close(&mut self) -> Vec<T> {
        self.closed = true;
        std::mem::take(&mut self.waiting)
    }
}

impl<T> Mailbox<T> {
    pub(crate) const fn new() -> Self {
        Self { content: Mutex::new(Content::new()), wake: Notify::const_new() }
    }

    pub(crate) fn push(&self, item: T) -> Result<(), Closed> {
        self.push_sized(item, 0).map(|_| ())
    }

    /// Pushes something that holds so many bytes; says how many wait now. Whoever hears that they are too many slows down until the owner has taken
    /// them.
    pub(crate) fn push_sized(&self, item: T, bytes: usize) -> Result<usize, Closed> {
        let mut content = lock(&self.content);
        let wake = content.push(item)?;
        content.bytes += bytes;
        let waiting = content.bytes;
        drop(content);
        if wake {
            self.wake.notify_one();
        }
        Ok(waiting)
    }

    /// Takes all that waits, and says how many bytes that is; `into` must be empty, and gives its memory for what comes next.
    pub(crate) fn take(&self, into: &mut Vec<T>) -> usize {
        let mut content = lock(&self.content);
        std::mem::swap(&mut content.waiting, into);
        std::mem::take(&mut content.bytes)
    }

    /// Waits until something was pushed.
    pub(crate) async fn filled(&self) {
        self.wake.notified().await;
    }

    /// Refuses what comes from now on, and drops what waits.
    pub(crate) fn close(&self) {
        // Dropped outside of the lock: what waits may itself push.
        let waiting = lock(&self.content).close();
        drop(waiting);
    }
}

impl<T> BlockingMailbox<T> {
    pub(crate) const fn new() -> Self {
        Self { content: Mutex::new(Content::new()), wake: Condvar::new() }
    }

    pub(crate) fn push(&self, item: T) -> Result<(), Closed> {
        let wake = lock(&self.content).push(item)?;
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Takes all that waits; when nothing does, waits for the first, at most so long.
    pub(crate) fn take_within(&self, timeout: Duration, into: &mut Vec<T>) {
        let mut content = lock(&self.content);
        if content.waiting.is_empty() && !content.closed {
            content = self
                .wake
                .wait_timeout(content, timeout)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard);
        }
        std::mem::swap(&mut content.waiting, into);
    }

    /// Refuses what comes from now on, and drops what waits.
    pub(crate) fn close(&self) {
        let waiting = lock(&self.content).close();
        drop(waiting);
    }
}

/// A thread that panicked with the lock held left a whole batch or none: there is nothing to mend.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
