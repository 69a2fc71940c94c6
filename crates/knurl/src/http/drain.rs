//! The end of serving, told to every connection: finish what you do, then leave; at the deadline, leave.
//!
//! Promised: asking costs a connection one load of a flag that is read everywhere and written twice in a process's life;
//! [`Drain::finish`] returns at its deadline (and [`GRACE`] more) whatever the connections do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::sync::{Notify, futures::Notified};

/// For tasks to notice that they were told to leave at once. One stuck in a handler that never yields is left behind.
const GRACE: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(super) struct Drain {
    begun: AtomicBool,
    over: AtomicBool,
    changed: Notify,
    open: AtomicUsize,
    empty: Notify,
}

/// A connection that is open: counted until dropped.
#[derive(Debug)]
pub(super) struct Open(Arc<Drain>);

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, SeqCst) == 1 {
            self.0.empty.notify_waiters();
        }
    }
}

impl Drain {
    /// `None`: `max` are open.
    pub(super) fn open(self: &Arc<Self>, max: usize) -> Option<Open> {
        let counted = Open(Arc::clone(self));
        (self.open.fetch_add(1, SeqCst) < max).then_some(counted)
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(SeqCst)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(SeqCst)
    }

    /// Completes at the next change; ask [`Drain::has_begun`] and [`Drain::is_over`] after registering.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(super) fn begin(&self) {
        self.begun.store(true, SeqCst);
        self.changed.notify_waiters();
    }

    /// Waits until no connection is open, at the longest for `deadline`; then they are told to leave at once. Returns how many were.
    pub(super) async fn finish(&self, deadline: Duration) -> usize {
        self.begin();
        if tokio::time::timeout(deadline, self.until_empty()).await.is_ok() {
            return 0;
        }
        let left = self.open.load(SeqCst);
        self.over.store(true, SeqCst);
        self.changed.notify_waiters();
        // Whoever is still there after this is stuck; the caller goes on without.
        let _ = tokio::time::timeout(GRACE, self.until_empty()).await;
        left
    }

    async fn until_empty(&self) {
        loop {
            let empty = self.empty.notified();
            tokio::pin!(empty);
            empty.as_mut().enable();
            if self.open.load(SeqCst) == 0 {
                return;
            }
            empty.await;
        }
    }
}
