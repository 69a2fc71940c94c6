//! When somebody else has changed the database: drops what memory holds, unless a feed says what to forget, and has the keys read again.
//!
//! On PostgreSQL another node's creates do not count as a change; edits and changed keys always do.

use std::{error::Error, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use knurl_store::{Store, StoreError};

use super::supervisor::{Job, Pause};
use crate::{resolve::Resolver, telemetry::Metrics};

/// Ten minutes, unless `cache.coherence_interval_ms` says otherwise.
const FOLD_EVERY_LOOKS: u32 = 1_200;

pub(super) type OnForeignChange = Arc<dyn Fn() -> BoxFuture<'static, Result<(), StoreError>> + Send + Sync>;

pub(super) struct CoherenceJob {
    pub(super) store: Arc<dyn Store>,
    /// `None`: others say what it is to forget.
    pub(super) resolver: Option<Resolver>,
    pub(super) on_foreign_change: OnForeignChange,
    pub(super) interval: Duration,
    pub(super) metrics: Arc<Metrics>,
    /// `None`: not known yet, or not any more.
    pub(super) seen: Option<u64>,
    /// Since what is looked at was made small.
    pub(super) looks: u32,
    /// `on_foreign_change` failed after the last change: it is tried again until it does not.
    pub(super) behind: bool,
    pub(super) away: bool,
}

impl Job for CoherenceJob {
    const NAME: &'static str = "coherence";

    async fn step(&mut self) -> Pause {
        match self.store.foreign_changes().await {
            Ok(now) => {
                if self.seen != Some(now) {
                    if let Some(resolver) = &self.resolver {
                        resolver.forget_all();
                    }
                    self.seen = Some(now);
                    self.behind = true;
                }
                if self.behind {
                    self.follow().await;
                }
                self.away = false;
                self.looks += 1;
                if self.looks >= FOLD_EVERY_LOOKS {
                    self.looks = 0;
                    self.fold().await;
                }
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

impl CoherenceJob {
    /// Where it fails it has not been needed so far: the next time will do.
    async fn fold(&self) {
        match self.store.fold_edits().await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "edits of processes that came and went are added up"),
            Err(error) => {
                self.metrics.jobs.errors.inc();
                tracing::warn!(
                    error = &error as &dyn Error,
                    "edits of processes that came and went could not be added up; tried again later"
                );
            }
        }
    }

    /// A revoked key must not stay in force because its change came at a bad moment.
    async fn follow(&mut self) {
        match (self.on_foreign_change)().await {
            Ok(()) => self.behind = false,
            Err(error) => {
                self.metrics.jobs.errors.inc();
                tracing::warn!(
                    error = &error as &dyn Error,
                    "keys could not be read again: the known ones stay in force until they can"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use knurl_lab::servers::Postgres;
    use knurl_store::postgres::{PostgresOptions, PostgresStore};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_processes_left_behind_is_added_up_once_in_so_many_looks() {
        let server = Postgres::start().unwrap();
        let options = PostgresOptions::from_url(&server.url()).unwrap();
        let store = Arc::new(PostgresStore::open(&options).await.unwrap());
        server.sql("insert into counters select 'edits ' || md5(n::text), 3, n from generate_series(1, 300) n").unwrap();
        let left = || server.sql("select count(*), sum(value) from counters where name like 'edits %'").unwrap();
        let mut job = CoherenceJob {
            store: Arc::<PostgresStore>::clone(&store),
            resolver: None,
            on_foreign_change: Arc::new(|| Box::pin(async { Ok(()) })),
            interval: Duration::from_millis(500),
            metrics: Arc::new(Metrics::new()),
            seen: None,
            looks: FOLD_EVERY_LOOKS - 2,
            behind: false,
            away: false,
        };
        job.step().await;
        assert_eq!((job.looks, &*left()), (FOLD_EVERY_LOOKS - 1, "300|45150"));
        job.step().await;
        assert_eq!((job.looks, &*left()), (0, "1|45150"));
        assert_eq!(job.seen, Some(45_150));
        store.close().await;
    }
}
