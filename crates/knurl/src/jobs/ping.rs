//! Asks the store, now and then, whether a write would go through: an outage is seen before a client sees it, and logged at its edges.

use std::{error::Error, sync::Arc, time::Duration};

use knurl_store::Store;
use tokio::time::{Instant, timeout};

use super::supervisor::{Job, Pause};
use crate::telemetry::Metrics;

const INTERVAL: Duration = Duration::from_secs(5);
/// While the store is down: its return is good news for whoever was refused.
const INTERVAL_DOWN: Duration = Duration::from_secs(1);
/// A store that takes longer is as good as away.
const ANSWER_MAX: Duration = Duration::from_secs(3);

pub(super) struct PingJob {
    pub(super) store: Arc<dyn Store>,
    pub(super) metrics: Arc<Metrics>,
}

impl Job for PingJob {
    const NAME: &'static str = "ping";

    async fn step(&mut self) -> Pause {
        let was_up = self.metrics.store.up.get() == 1;
        let began = Instant::now();
        let up = match timeout(ANSWER_MAX, self.store.ping()).await {
            Ok(Ok(())) => {
                self.metrics.store.ping.observe(began.elapsed());
                true
            }
            Ok(Err(error)) => {
                if was_up {
                    tracing::error!(
                        error = &error as &dyn Error,
                        "the store is down: redirects go on from memory, changes are refused"
                    );
                }
                false
            }
            Err(_) => {
                // It took as long as it was waited for, at least.
                self.metrics.store.ping.observe(began.elapsed());
                if was_up {
                    tracing::error!("the store does not answer: redirects go on from memory, changes are refused");
                }
                false
            }
        };
        if up && !was_up {
            tracing::info!("the store is up");
        }
        self.metrics.store.up.set(u64::from(up));
        Pause::For(if up { INTERVAL } else { INTERVAL_DOWN })
    }
}
