//! Fetches today's and tomorrow's visitor salt, so that midnight needs no database and all nodes agree.

use std::{error::Error, sync::Arc, time::Duration};

use knurl_store::{Store, StoreError};

use super::{
    Clock,
    supervisor::{Job, Pause},
};
use crate::{
    clicks::{
        Salts,
        salts::{SaltBook, fresh},
    },
    telemetry::Metrics,
};

const INTERVAL: Duration = Duration::from_secs(15 * 60);
const RETRY: Duration = Duration::from_secs(5);

pub(super) struct SaltsJob {
    pub(super) salts: Salts,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
}

impl SaltsJob {
    async fn fetch(&self) -> Result<SaltBook, StoreError> {
        let day = (self.clock)().day();
        // What this node hashes with already is what it proposes: visitors counted so far today stay the same.
        let today = self.store.visitor_salt(day, self.salts.load().of(day)).await?;
        let tomorrow = self.store.visitor_salt(day + 1, fresh()).await?;
        Ok(SaltBook::new(day, today, Some(tomorrow)))
    }
}

impl Job for SaltsJob {
    const NAME: &'static str = "salts";

    async fn step(&mut self) -> Pause {
        match self.fetch().await {
            Ok(book) => {
                self.salts.store(book);
                Pause::For(INTERVAL)
            }
            Err(error) => {
                self.metrics.jobs.errors.inc();
                tracing::warn!(
                    error = &error as &dyn Error,
                    "the visitor salts could not be fetched; derived ones are used until they are"
                );
                Pause::For(RETRY)
            }
        }
    }
}
