//! The slow lanes: where those who have guessed too many short codes ask for ones that memory does not know.
//!
//! Promised: all of them together occupy the tiers below memory with [`LANES`] requests at a time, so that a scan costs the database
//! little and everybody else nothing; a link that exists is still found, later. Who cannot be served within [`WAIT`], or comes when
//! [`WAITING_MAX`] wait already, is told so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// A lookup takes a millisecond or less: some thousands a second, of all who scan together.
const LANES: usize = 4;
/// With what the tiers behind it may take (`resolve::WAIT_MAX`) it has to end before the front gives up: nginx takes a node that does not answer a
/// redirect in time for dead (`deploy/nginx/knurl/server.conf`).
pub const WAIT: Duration = Duration::from_millis(500);
/// Each is a connection that waits; more would only be answered too late.
const WAITING_MAX: usize = 256;
/// Requests in lanes and before them.
pub const PLACES_MAX: usize = LANES + WAITING_MAX;

#[derive(Debug)]
pub(super) struct Lanes {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Lane {
    _place: OwnedSemaphorePermit,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(LANES)), waiting: AtomicUsize::new(0) }
    }
}

impl Lanes {
    pub(super) async fn enter(&self) -> Option<Lane> {
        let _waiting = Waiting::begin(&self.waiting)?;
        let place = timeout(WAIT, Arc::clone(&self.places).acquire_owned()).await.ok()?.ok()?;
        Some(Lane { _place: place })
    }
}

/// Counted until dropped: also when the visitor leaves.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Option<Self> {
        waiting.fetch_update(Relaxed, Relaxed, |n| (n < WAITING_MAX).then_some(n + 1)).ok()?;
        Some(Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_pass_at_once_so_many_wait_and_the_rest_is_told_at_once() {
        let lanes = Lanes::default();
        let mut inside = Vec::new();
        for _ in 0..LANES {
            inside.push(lanes.enter().await.expect("free"));
        }
        let waiting = join_all((0..WAITING_MAX).map(|_| lanes.enter()));
        let too_many = async {
            tokio::task::yield_now().await;
            assert!(lanes.enter().await.is_none());
            assert_eq!(lanes.waiting.load(Relaxed), WAITING_MAX);
            inside.pop();
        };
        let (waited, ()) = tokio::join!(waiting, too_many);
        // One place became free, and whoever got it left at once, for the next.
        assert!(waited.iter().flatten().count() >= 1);
        assert_eq!(lanes.waiting.load(Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_who_leaves_is_not_counted() {
        let lanes = Lanes::default();
        let mut inside = Vec::new();
        for _ in 0..LANES {
            inside.push(lanes.enter().await.expect("free"));
        }
        assert!(lanes.enter().await.is_none());
        assert!(timeout(Duration::from_millis(1), lanes.enter()).await.is_err());
        assert_eq!(lanes.waiting.load(Relaxed), 0);
        inside.clear();
        assert!(lanes.enter().await.is_some());
    }
}
