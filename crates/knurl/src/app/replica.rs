//! This node's replica of the link table, and the feed that keeps it current.
//!
//! Promised: it is opened before the database is asked for anything, and without looking through it: what it holds is served at once.

use std::time::Instant;

use knurl_store::{postgres::feed::Woken, replica::Replica};

use super::Database;
use crate::{
    config::{self, Config},
    jobs::Feeding,
};

/// `None`: not wanted, or of no use. A file that cannot be used is no reason not to serve.
pub(super) async fn open(config: &Config) -> Option<Replica> {
    if !config.replica || !matches!(config.database, config::Database::Postgres(_)) {
        return None;
    }
    let path = config.replica_path();
    let opened = tokio::task::spawn_blocking(move || Replica::open(&path, Instant::now())).await;
    opened.inspect_err(|panic| tracing::error!(error = panic as &dyn std::error::Error, "the replica cannot be opened")).ok()
}

/// Where changes by other nodes come from; `None`: this database has no feed.
pub(super) fn feeding(database: &Database, replica: Option<Replica>) -> Option<Feeding> {
    let postgres = database.postgres.clone()?;
    Some(Feeding::of(postgres, Woken::ByNotifications, replica))
}
