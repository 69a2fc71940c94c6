//! The thread that keeps segments ready.
//!
//! Promised: recorders find a segment, or know that waiting for one is pointless; a disk that was full is tried again every
//! `fsync_interval`, so recording goes on within one interval of space returning; a change of state is logged once, not every interval.
//! A thread of its own, because zeroing and syncing a new segment takes as long as many fsyncs of clicks, which must not wait for it.

use std::{
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use knurl_spool::Prepared;

use super::shared::{Shared, Woken};

pub(super) struct Preparer {
    shared: Arc<Shared>,
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

impl Preparer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, space: Space::Ready }
    }

    pub(super) fn spawn(mut self, interval: Duration) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("knurl-preparer".into()).spawn(move || {
            while self.shared.preparer.wait(interval) == Woken::Work {
                if catch_unwind(AssertUnwindSafe(|| self.step())).is_err() {
                    self.shared.metrics.jobs.panics.inc();
                    tracing::error!("preparing room for clicks panicked; tried again");
                    self.tell(true);
                }
            }
            // Nobody shall wait for a thread that is gone.
            self.tell(true);
        })
    }

    pub(super) fn step(&mut self) {
        let prepared = self.shared.spool.prepare();
        let space = judge(prepared.as_ref().ok());
        self.tell(space != Space::Ready);
        if space == self.space {
            return;
        }
        self.space = space;
        match (space, prepared) {
            (Space::Ready, _) => tracing::info!("there is room for clicks again"),
            (Space::AtBound, _) => {
                tracing::warn!(
                    "the click spool is at its bound: clicks that find no room are dropped and counted until some are delivered"
                );
            }
            (Space::Refused, Err(error)) => tracing::error!(
                error = &error as &dyn Error,
                "no room can be made for more clicks; those that find none are dropped and counted; tried again all the time"
            ),
            (Space::Refused, Ok(_)) => tracing::error!("no room was made for more clicks; tried again all the time"),
        }
    }

    /// Those who wait are told either way: there is a segment, or waiting has become pointless.
    fn tell(&self, starved: bool) {
        self.shared.starved.store(starved, Ordering::Release);
        self.shared.metrics.clicks.starved.set(u64::from(starved));
        self.shared.segment_ready.notify_waiters();
    }
}

/// What a `prepare` (`None`: failed) means.
fn judge(prepared: Option<&Prepared>) -> Space {
    match prepared {
        Some(prepared) if prepared.ready > 0 => Space::Ready,
        Some(prepared) if prepared.at_bound => Space::AtBound,
        Some(_) | None => Space::Refused,
    }
}
