//! Removes raw click events that are older than `retention`; their roll-ups stay.

use std::{error::Error, sync::Arc, time::Duration};

use knurl_store::Store;

use super::{
    Clock, age,
    supervisor::{Job, Pause},
};
use crate::telemetry::Metrics;

/// Rows of one transaction: some milliseconds, which a redirect's miss or a create may have to wait behind.
const CHUNK_ROWS: u32 = 2_000;
/// Between two chunks, so that the writer belongs to others most of the time.
const CHUNK_PAUSE: Duration = Duration::from_millis(50);
const INTERVAL: Duration = Duration::from_secs(10 * 60);
const RETRY: Duration = Duration::from_secs(30);

pub(super) struct RetentionJob {
    pub(super) store: Arc<dyn Store>,
    pub(super) retention: Duration,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
}

impl Job for RetentionJob {
    const NAME: &'static str = "retention";

    async fn step(&mut self) -> Pause {
        let older = age::older_than(&*self.store, &self.clock, self.retention).await;
        let purged = match older {
            Ok(before) => self.store.purge_clicks(before, CHUNK_ROWS).await,
            Err(error) => Err(error),
        };
        match purged {
            Ok(purged) => {
                self.metrics.clicks.purged.add(purged);
                Pause::For(if purged < u64::from(CHUNK_ROWS) { INTERVAL } else { CHUNK_PAUSE })
            }
            Err(error) => {
                self.metrics.jobs.errors.inc();
                tracing::warn!(error = &error as &dyn Error, "old click events could not be removed; tried again");
                Pause::For(RETRY)
            }
        }
    }
}
