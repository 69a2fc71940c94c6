//! Forgets the outcomes of creates (`Idempotency-Key`) that are older than `retention`; their links stay.

use std::{error::Error, sync::Arc, time::Duration};

use knurl_store::Store;

use super::{
    Clock, age,
    supervisor::{Job, Pause},
};
use crate::telemetry::Metrics;

/// Rows of one transaction: some milliseconds of the writer's time.
const CHUNK_ROWS: u32 = 1_000;
/// Between two chunks, so that the writer belongs to others most of the time.
const CHUNK_PAUSE: Duration = Duration::from_millis(50);
const INTERVAL: Duration = Duration::from_secs(10 * 60);
const RETRY: Duration = Duration::from_secs(30);

pub(super) struct OncesJob {
    pub(super) store: Arc<dyn Store>,
    pub(super) retention: Duration,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
}

impl Job for OncesJob {
    const NAME: &'static str = "onces";

    async fn step(&mut self) -> Pause {
        let older = age::older_than(&*self.store, &self.clock, self.retention).await;
        let forgotten = match older {
            Ok(before) => self.store.forget_onces(before, CHUNK_ROWS).await,
            Err(error) => Err(error),
        };
        match forgotten {
            Ok(forgotten) => {
                self.metrics.idempotency.forgotten.add(forgotten);
                Pause::For(if forgotten < u64::from(CHUNK_ROWS) { INTERVAL } else { CHUNK_PAUSE })
            }
            Err(error) => {
                self.metrics.jobs.errors.inc();
                tracing::warn!(error = &error as &dyn Error, "old idempotency keys could not be forgotten; tried again");
                Pause::For(RETRY)
            }
        }
    }
}
