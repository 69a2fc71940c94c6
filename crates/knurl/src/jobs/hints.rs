//! Listens to what other nodes say in Redis of the links they have just changed.
//!
//! Promised: nothing depends on it. The feed tells of every change as well; a hint comes a moment earlier, or while the feed is away.

use std::time::Duration;

use knurl_core::link::DEFAULT_DOMAIN;

use super::supervisor::{Job, Pause};
use crate::{redis::Hints, resolve::Resolver};

/// Hints wake the job; this is for one that was dropped between.
const PAUSE: Duration = Duration::from_secs(60);
/// Of one step: stops and other tasks have their turn between.
const HINTS_A_STEP: usize = 256;

pub(super) struct HintsJob {
    pub(super) hints: Hints,
    pub(super) resolver: Resolver,
}

impl Job for HintsJob {
    const NAME: &'static str = "hints";

    async fn step(&mut self) -> Pause {
        for _ in 0..HINTS_A_STEP {
            let Some(hint) = self.hints.take() else { return Pause::Until(PAUSE) };
            if hint.domain == DEFAULT_DOMAIN {
                self.resolver.told(hint.code.as_str(), hint.version);
            }
        }
        Pause::No
    }

    async fn wanted(&self) {
        self.hints.arrived().await;
    }
}
