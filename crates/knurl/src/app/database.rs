//! The configured database, opened: the store that everybody uses, and the handle of its own kind for the few who need more.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use knurl_store::{
    Store, StoreError,
    postgres::{PostgresOptions, PostgresStore},
    sqlite::SqliteStore,
};

use crate::{
    config::{self, Config},
    http::api::auth::KeyRing,
    telemetry::{Metrics, dependencies::Dependency, run::Configured},
};

/// Clones share the connections.
#[derive(Clone, Debug)]
pub struct Database {
    pub store: Arc<dyn Store>,
    /// Where it is one: for its feed of changes.
    pub postgres: Option<PostgresStore>,
    sqlite: Option<SqliteStore>,
}

impl Database {
    /// Opens it and brings its schema up to date; an embedded one is created where there is none.
    pub async fn open(config: &Config) -> Result<Self, StoreError> {
        match (&config.database, config.sqlite_path()) {
            (config::Database::Postgres(options), _) => Self::postgres(options).await,
            (config::Database::Sqlite(_), path) => {
                let (path, options) = (path.unwrap_or_default(), config.store.sqlite_options());
                let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&path, &options)).await;
                let store = opened.map_err(|join| StoreError::Internal(Box::new(join)))??;
                Ok(Self { store: Arc::new(store.clone()), postgres: None, sqlite: Some(store) })
            }
        }
    }

    /// As [`Database::open`]; but a PostgreSQL that cannot be used now is used when it can. One that refuses us is an error unless the node has
    /// something to serve without it.
    pub async fn open_or_away(config: &Config, has_all_links: bool) -> Result<Self, StoreError> {
        match &config.database {
            config::Database::Sqlite(_) => Self::open(config).await,
            config::Database::Postgres(options) => {
                let options = PostgresOptions { start_away: true, start_refused: has_all_links, ..PostgresOptions::clone(options) };
                Self::postgres(&options).await
            }
        }
    }

    /// Whom to admit. Where the database may be away, what it said last is kept on this node.
    pub(super) fn key_ring(&self, config: &Config) -> KeyRing {
        if self.postgres.is_some() { KeyRing::kept_in(config.kept_keys_path()) } else { KeyRing::default() }
    }

    async fn postgres(options: &PostgresOptions) -> Result<Self, StoreError> {
        let store = PostgresStore::open(options).await?;
        Ok(Self { store: Arc::new(store.clone()), postgres: Some(store), sqlite: None })
    }

    /// In words of ours, for a scrape.
    pub(super) fn configured(&self, config: &Config) -> Configured {
        Configured {
            auth: match config.auth {
                config::Auth::Required => "required",
                config::Auth::Open => "open",
            },
            database: if self.postgres.is_some() { "postgres" } else { "sqlite" },
            durability: match config.clicks.durability {
                config::Durability::Process => "process",
                config::Durability::Power => "power",
            },
            redis: on_off(config.redis.is_some() && self.postgres.is_some()),
            replica: on_off(config.replica && self.postgres.is_some()),
        }
    }

    /// What it counts itself is copied whenever somebody looks.
    pub(super) fn count_into(&self, metrics: &Metrics) {
        if let Some(store) = self.sqlite.clone() {
            metrics.on_render(move |metrics| count_sqlite(&store, metrics));
        }
        if let Some(store) = self.postgres.clone() {
            metrics.dependencies.watch(Dependency::Database);
            metrics.on_render(move |metrics| count_postgres(&store, metrics));
        }
    }
}

fn on_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

fn count_sqlite(store: &SqliteStore, metrics: &Metrics) {
    let (writer, shown) = (store.writer_counters(), &metrics.store);
    shown.queue.set(store.writes_queued() as u64);
    shown.writes.set(writer.writes.load(Relaxed));
    shown.commits.set(writer.commits.load(Relaxed));
    shown.commit_us.set(writer.commit_us.load(Relaxed));
    shown.failed_groups.set(writer.failed_groups.load(Relaxed));
    shown.writer_panics.set(writer.panics.load(Relaxed));
}

/// The groups are those of creates: other writes are transactions of their own.
fn count_postgres(store: &PostgresStore, metrics: &Metrics) {
    let (creates, shown) = (store.create_counters(), &metrics.store);
    shown.queue.set(creates.queued.load(Relaxed) as u64);
    shown.writes.set(creates.asked.load(Relaxed));
    shown.commits.set(creates.groups.load(Relaxed));
    shown.commit_us.set(creates.commit_us.load(Relaxed));
    shown.failed_groups.set(creates.failed_groups.load(Relaxed));
    metrics.dependencies.reached(Dependency::Database, store.is_up());
}
