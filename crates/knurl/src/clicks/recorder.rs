//! The handle that records clicks.
//!
//! Promised: every recorded click is counted as answered exactly once, and is either in the spool or counted as dropped; with
//! `durability = process` it survives the death of this process once `record` is ready, with `power` that of the machine. The way of a
//! click that finds room takes no lock, no allocation and no await. Waiting is bounded in time and in number.
//! Refused: keeping an address. Only [`Recorder::visitor`]'s hash goes into a click.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use knurl_core::{Click, UnixMillis};
use knurl_spool::{AppendError, Position};
use tokio::time::{Instant, timeout_at};

use super::shared::Shared;
use crate::config::{ClicksConfig, Durability};

/// Redirects that may wait for a segment at once: more than a burst between two `prepare`s needs, little enough memory.
const FULL_WAITERS_MAX: usize = 1024;

/// What the front holds: cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    durability: Durability,
    full_wait: Duration,
    full_waiters: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// In the spool: survives the death of this process.
    Kept,
    /// The spool is full or broken; counted as dropped.
    Dropped,
}

/// The spool was not drained up to the moment of asking within the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("clicks are still being delivered")]
pub struct BarrierTimeout;

impl Recorder {
    pub(super) fn new(shared: Arc<Shared>, config: &ClicksConfig) -> Self {
        Self { shared, durability: config.durability, full_wait: config.full_wait, full_waiters: Arc::default() }
    }

    /// The fast path: answers and counts one click at once, or does nothing at all and returns `None`: then [`Recorder::record`] has to
    /// be awaited (no free segment, or `durability = power`).
    pub fn try_record(&self, click: &Click<'_>) -> Option<Recorded> {
        if self.durability == Durability::Power {
            return None;
        }
        match self.append(click) {
            Ok(_) => Some(Recorded::Kept),
            Err(AppendError::NoSegment) if self.worth_waiting() => None,
            Err(error) => Some(self.drop_click(&error)),
        }
    }

    /// Answers and counts one click. Ready at once unless the spool is full (waits up to `full_wait`) or `durability = power`
    /// (waits for the fsync). A caller that goes away while it waits for room has not answered: nothing is counted.
    pub async fn record(&self, click: &Click<'_>) -> Recorded {
        let appended = match self.append(click) {
            Err(AppendError::NoSegment) => self.append_when_ready(click).await,
            appended => appended,
        };
        let end = match appended {
            Ok(end) => end,
            Err(error) => return self.drop_click(&error),
        };
        if self.durability == Durability::Power {
            self.wait_durable(end).await;
        }
        Recorded::Kept
    }

    /// The visitor hash for a click of this instant, under its UTC day's salt.
    pub fn visitor(&self, at: UnixMillis, client: IpAddr, user_agent: Option<&[u8]>) -> u64 {
        self.shared.salts.load().visitor(at, client, user_agent)
    }

    /// Drains this node's spool up to now, so that the caller sees its own clicks. Barriers asked for at the same time share the drain's
    /// rounds; with nothing to deliver this is two loads.
    pub async fn barrier(&self, deadline: Duration) -> Result<(), BarrierTimeout> {
        let goal = self.shared.spool.written().seq;
        if self.shared.delivered_seq() >= goal {
            return Ok(());
        }
        let mut delivered = self.shared.delivered.subscribe();
        // A permit is kept where the drain is in the middle of a round, so the round after it begins at once.
        self.shared.drain_wanted.notify_one();
        match tokio::time::timeout(deadline, delivered.wait_for(|seq| *seq >= goal)).await {
            Ok(Ok(_)) => Ok(()),
            // The sender lives in what `self` holds: a closed channel cannot happen, and would mean the same.
            Ok(Err(_)) | Err(_) => Err(BarrierTimeout),
        }
    }

    /// Appended first, counted after, and the answer leaves later still: a kill in between leaves a record that was not counted (set
    /// right at the next start), never a count without a record. So `answered` above `written + dropped` always means a loss.
    fn append(&self, click: &Click<'_>) -> Result<Position, AppendError> {
        fail::fail_point!("clicks::before_append");
        let end = self.shared.spool.append_with(click.encoded_len(), |out| click.encode_into(out))?;
        self.shared.spool.count_answered(1);
        Ok(end)
    }

    fn drop_click(&self, error: &AppendError) -> Recorded {
        // `dropped` first, for the same reason.
        self.shared.spool.count_dropped(1);
        self.shared.spool.count_answered(1);
        if !matches!(error, AppendError::NoSegment) {
            tracing::debug!(error = error as &dyn std::error::Error, "a click was dropped");
        }
        Recorded::Dropped
    }

    fn worth_waiting(&self) -> bool {
        !self.full_wait.is_zero() && !self.shared.starved.load(Ordering::Acquire)
    }

    async fn append_when_ready(&self, click: &Click<'_>) -> Result<Position, AppendError> {
        let Some(_place) = Place::take(&self.full_waiters, FULL_WAITERS_MAX) else {
            return Err(AppendError::NoSegment);
        };
        let until = Instant::now() + self.full_wait;
        loop {
            let mut ready = std::pin::pin!(self.shared.segment_ready.notified());
            // Registered before the spool is tried again, so that no segment is missed in between.
            ready.as_mut().enable();
            match self.append(click) {
                Err(AppendError::NoSegment) if self.worth_waiting() => {}
                appended => return appended,
            }
            self.shared.preparer.ring();
            if timeout_at(until, ready).await.is_err() {
                return Err(AppendError::NoSegment);
            }
        }
    }

    async fn wait_durable(&self, end: Position) {
        if !self.shared.durable_to(end.seq).await {
            self.shared.metrics.clicks.unsynced.inc();
            tracing::error!("a redirect was answered although its click is not on disk yet: the disk does not finish its fsync");
        }
    }
}

/// One of a bounded number of places, given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(places: &'a AtomicUsize, max: usize) -> Option<Self> {
        let taken = places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < max).then_some(n + 1));
        taken.is_ok().then_some(Self(places))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
