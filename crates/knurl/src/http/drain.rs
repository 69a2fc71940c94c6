//! The end of serving, stage by stage: answers say `Connection: close`; nothing is accepted any more; who is idle is closed; who is left is
//! cut.
//!
//! Promised: asking costs a connection one load of a byte that is read everywhere and written four times in a process's life;
//! [`Drain::finish`] returns at its deadline (and [`GRACE`] more) whatever the connections do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::sync::{Notify, futures::Notified};

/// For tasks to notice that they were told to leave at once. One stuck in a handler that never yields is left behind.
const GRACE: Duration = Duration::from_millis(500);

/// After 0, which is serving as ever. Never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Stage {
    /// Connections are accepted and served; every answer is its connection's last.
    Leaving = 1,
    /// Nothing is accepted any more; connections that are open still bring their request.
    Refusing,
    /// Idle connections are closed, the others after the answer in flight.
    Begun,
    /// Everybody leaves at once.
    Over,
}

#[derive(Debug, Default)]
pub(super) struct Drain {
    stage: AtomicU8,
    /// For the accept loop: [`Stage::Refusing`] or beyond.
    refused: Notify,
    /// For connections: [`Stage::Begun`] or beyond.
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

    fn is_at(&self, stage: Stage) -> bool {
        self.stage.load(SeqCst) >= stage as u8
    }

    fn enter(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, SeqCst);
        if stage >= Stage::Refusing {
            self.refused.notify_waiters();
        }
        if stage >= Stage::Begun {
            self.changed.notify_waiters();
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.is_at(Stage::Leaving)
    }

    pub(super) fn is_refusing(&self) -> bool {
        self.is_at(Stage::Refusing)
    }

    pub(super) fn has_begun(&self) -> bool {
        self.is_at(Stage::Begun)
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_at(Stage::Over)
    }

    pub(super) fn leave(&self) {
        self.enter(Stage::Leaving);
    }

    pub(super) fn refuse(&self) {
        self.enter(Stage::Refusing);
    }

    /// Completes when nothing is to be accepted any more; ask [`Drain::is_refusing`] after registering.
    pub(super) fn refused(&self) -> Notified<'_> {
        self.refused.notified()
    }

    /// Completes at the next change; ask [`Drain::has_begun`] and [`Drain::is_over`] after registering.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Waits until no connection is open, at the longest for `deadline`; then they are told to leave at once. Returns how many were.
    pub(super) async fn finish(&self, deadline: Duration) -> usize {
        self.enter(Stage::Begun);
        if tokio::time::timeout(deadline, self.until_empty()).await.is_ok() {
            return 0;
        }
        let left = self.open.load(SeqCst);
        self.enter(Stage::Over);
        // Whoever is still there after this is stuck; the caller goes on without.
        let _ = tokio::time::timeout(GRACE, self.until_empty()).await;
        left
    }

    /// Completes when no connection is open.
    pub(super) async fn until_empty(&self) {
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
