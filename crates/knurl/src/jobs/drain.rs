//! Delivers clicks: every `drain_interval`, at once when a barrier asks, without a pause while there is more.

use std::time::Duration;

use super::supervisor::{Job, Pause};
use crate::clicks::{Drain, drain::Stepped};

/// Waits between failures double: those of one who stops are under a second, all together.
const FINISH_WAIT_MAX: Duration = Duration::from_millis(400);

pub(super) struct DrainJob {
    pub(super) drain: Drain,
    pub(super) interval: Duration,
}

impl Job for DrainJob {
    const NAME: &'static str = "drain";

    async fn step(&mut self) -> Pause {
        match self.drain.step().await {
            Stepped::More => Pause::No,
            Stepped::CaughtUp => Pause::Until(self.interval),
            // Barriers do not shorten this one: a store that is away is not helped by being asked more often.
            Stepped::Failed { wait } => Pause::For(wait),
        }
    }

    async fn wanted(&self) {
        self.drain.wanted().await;
    }

    /// A store that has only just begun to fail is tried again; what it does not take stays in the spool for the next start.
    async fn finish(&mut self) {
        loop {
            match self.drain.step().await {
                Stepped::More => {}
                Stepped::Failed { wait } if wait < FINISH_WAIT_MAX => tokio::time::sleep(wait).await,
                Stepped::CaughtUp | Stepped::Failed { .. } => return,
            }
        }
    }
}
