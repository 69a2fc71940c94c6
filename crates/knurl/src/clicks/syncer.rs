//! The thread that makes clicks durable.
//!
//! Promised: what was written is synced within `fsync_interval`, or at once when a recorder asks; all who wait share one fsync.
//! Refused: going on after records may have been lost. A failed fsync whose tail could not be saved ends the process (exit code
//! [`EXIT_LOST`]): a restart reads back what is really on disk, this process could only guess.

use std::{
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use knurl_spool::SyncError;

use super::shared::{Shared, Woken};

/// `EX_IOERR`: the spool's disk lost what it had taken.
pub const EXIT_LOST: i32 = 74;

/// Called once when the spool is lost. Production exits; a test takes note.
pub type OnLost = Arc<dyn Fn() + Send + Sync>;

pub fn exit_when_lost() -> OnLost {
    Arc::new(|| std::process::exit(EXIT_LOST))
}

pub(super) struct Syncer {
    shared: Arc<Shared>,
    on_lost: OnLost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stepped {
    GoOn,
    /// Closed, or lost.
    End,
}

impl Syncer {
    pub(super) fn new(shared: Arc<Shared>, on_lost: OnLost) -> Self {
        Self { shared, on_lost }
    }

    pub(super) fn spawn(self, interval: Duration) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("knurl-syncer".into()).spawn(move || {
            while self.shared.syncer.wait(interval) == Woken::Work {
                if !self.turn() {
                    return;
                }
            }
            self.end();
        })
    }

    /// One step; `false`: it was the last.
    pub(super) fn turn(&self) -> bool {
        match catch_unwind(AssertUnwindSafe(|| self.step())) {
            Ok(Stepped::GoOn) => return true,
            Ok(Stepped::End) => {}
            Err(_) => {
                // Without this thread nothing becomes durable: as bad as a lost spool.
                tracing::error!("the click syncer panicked");
                (self.on_lost)();
            }
        }
        self.end();
        false
    }

    /// Nobody shall wait for a thread that is gone.
    fn end(&self) {
        self.shared.syncing_ended.store(true, Ordering::Release);
        self.shared.durable_moved.notify_waiters();
    }

    fn step(&self) -> Stepped {
        let stepped = self.sync();
        self.shared.durable_moved.notify_waiters();
        stepped
    }

    fn sync(&self) -> Stepped {
        let (began, before) = (Instant::now(), self.shared.spool.durable());
        match self.shared.spool.sync() {
            Ok(durable) => {
                if durable != before {
                    self.shared.metrics.clicks.fsync.observe(began.elapsed());
                }
                Stepped::GoOn
            }
            Err(SyncError::Moved { durable, source }) => {
                self.shared.metrics.clicks.fsync_errors.inc();
                tracing::error!(
                    error = &source as &dyn Error,
                    durable = durable.seq,
                    "the disk failed to sync clicks; the unsynced ones were written again elsewhere and are safe: check the disk"
                );
                Stepped::GoOn
            }
            Err(SyncError::Lost { source }) => {
                self.shared.metrics.clicks.fsync_errors.inc();
                tracing::error!(
                    error = &source as &dyn Error,
                    "the disk failed to sync clicks and they could not be written elsewhere: ending the process, so that a restart reads what is really on disk"
                );
                (self.on_lost)();
                Stepped::End
            }
            Err(SyncError::Closed) => Stepped::End,
        }
    }
}
