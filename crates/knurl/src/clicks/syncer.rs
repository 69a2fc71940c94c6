//! The thread that makes clicks durable and keeps segments ready.
//!
//! Promised: what was written is synced within `fsync_interval` (or at once when a recorder asks; all who wait share one fsync); a disk
//! that was full is tried again every interval, so recording goes on within one interval of space returning; a change of state is logged
//! once, not every interval.
//! Refused: going on after records may have been lost. A failed fsync whose tail could not be saved ends the process (exit code
//! [`EXIT_LOST`]): a restart reads back what is really on disk, this process could only guess.

use std::{
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use knurl_spool::{Prepared, SyncError};

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
    space: Space,
}

/// Whether there is room for clicks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    Ready,
    /// `segments_max` files: room comes when the drain has delivered one.
    AtBound,
    /// The disk gives no new segment.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stepped {
    GoOn,
    /// Closed, or lost.
    End,
}

impl Syncer {
    pub(super) fn new(shared: Arc<Shared>, on_lost: OnLost) -> Self {
        Self { shared, on_lost, space: Space::Ready }
    }

    pub(super) fn spawn(mut self, interval: Duration) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("knurl-syncer".into()).spawn(move || {
            while self.shared.syncer.wait(interval) == Woken::Work {
                match catch_unwind(AssertUnwindSafe(|| self.step())) {
                    Ok(Stepped::GoOn) => {}
                    Ok(Stepped::End) => break,
                    Err(_) => {
                        // Without this thread nothing becomes durable: as bad as a lost spool.
                        tracing::error!("the click syncer panicked");
                        (self.on_lost)();
                        break;
                    }
                }
            }
            // Nobody shall wait for a thread that is gone.
            self.shared.starved.store(true, Ordering::Release);
            self.shared.segment_ready.notify_waiters();
        })
    }

    pub(super) fn step(&mut self) -> Stepped {
        let stepped = self.sync();
        self.shared.durable_moved.notify_waiters();
        if stepped == Stepped::GoOn {
            self.prepare();
        }
        stepped
    }

    fn sync(&mut self) -> Stepped {
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

    fn prepare(&mut self) {
        let prepared = self.shared.spool.prepare();
        let (space, starved) = judge(prepared.as_ref().ok());
        self.shared.starved.store(starved, Ordering::Release);
        // Those who wait are told either way: there is a segment, or waiting has become pointless.
        self.shared.segment_ready.notify_waiters();
        self.shared.metrics.clicks.starved.set(u64::from(starved));
        if space == self.space {
            return;
        }
        self.space = space;
        match (space, prepared) {
            (Space::Ready, _) => tracing::info!("there is room for clicks again"),
            (Space::AtBound, _) => tracing::warn!(
                "the click spool is at its bound: clicks that find no room are dropped and counted until some are delivered"
            ),
            (Space::Refused, Err(error)) => tracing::error!(
                error = &error as &dyn Error,
                "no room can be made for more clicks; those that find none are dropped and counted; tried again all the time"
            ),
            (Space::Refused, Ok(_)) => tracing::error!("no room was made for more clicks"),
        }
    }
}

/// What a `prepare` (`None`: failed) means, and whether waiting for a segment is pointless.
fn judge(prepared: Option<&Prepared>) -> (Space, bool) {
    match prepared {
        None => (Space::Refused, true),
        Some(prepared) if prepared.ready > 0 => (Space::Ready, false),
        Some(prepared) if prepared.at_bound => (Space::AtBound, true),
        Some(_) => (Space::Refused, true),
    }
}
