//! Listens to what other nodes say in Redis of the links they have just changed.
//!
//! Promised: nothing depends on it. The feed tells of every change as well; a hint comes a moment earlier, or while the feed is away.

use std::time::Duration;

use tokio::time::timeout;

use super::supervisor::{Job, Pause};
use crate::{redis::Hints, resolve::Resolver};

/// A stop waits for it at most.
const TURN: Duration = Duration::from_millis(200);
/// Nobody tells this one anything any more.
const NEVER: Duration = Duration::from_secs(3_600);

pub(super) struct HintsJob {
    pub(super) hints: Hints,
    pub(super) resolver: Resolver,
}

impl Job for HintsJob {
    const NAME: &'static str = "hints";

    async fn step(&mut self) -> Pause {
        match timeout(TURN, self.hints.next()).await {
            Ok(Some(hint)) => self.resolver.told(hint.code.as_str(), hint.version),
            Ok(None) => return Pause::For(NEVER),
            Err(_) => {}
        }
        Pause::No
    }
}
