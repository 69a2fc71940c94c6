//! Drops what memory holds when somebody else has changed the database.

use std::{error::Error, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use knurl_store::Store;

use super::supervisor::{Job, Pause};
use crate::{resolve::Resolver, telemetry::Metrics};

pub(super) type OnForeignChange = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

pub(super) struct CoherenceJob {
    pub(super) store: Arc<dyn Store>,
    pub(super) resolver: Resolver,
    pub(super) on_foreign_change: OnForeignChange,
    pub(super) interval: Duration,
    pub(super) metrics: Arc<Metrics>,
    /// `None`: not known yet, or not any more.
    pub(super) seen: Option<u64>,
    pub(super) away: bool,
}

impl Job for CoherenceJob {
    const NAME: &'static str = "coherence";

    async fn step(&mut self) -> Pause {
        match self.store.foreign_changes().await {
            Ok(now) if self.seen == Some(now) => self.away = false,
            Ok(now) => {
                self.resolver.forget_all();
                (self.on_foreign_change)().await;
                // Only now: a change is not seen before it was acted upon.
                self.seen = Some(now);
                self.away = false;
            }
            Err(error) => {
                self.metrics.jobs.errors.inc();
                if !self.away {
                    tracing::warn!(
                        error = &error as &dyn Error,
                        "foreign changes cannot be looked for: links answer as this node remembers them"
                    );
                }
                self.away = true;
            }
        }
        Pause::For(self.interval)
    }
}
