//! The store of a fleet: PostgreSQL 13 or newer, shared by any number of nodes.
//!
//! Layout: `options` is where it is and what is bounded; `pool` lends `connection`s and `pulse` feels whether the server is there; `tx`
//! is a transaction and its retries; `migrate` brings the schema up to date; `feed` is what has changed, for the replicas; `look` is what the doctor asks; `failure` tells
//! errors apart; `sql` names the statements in `queries/`. `creates` makes links, many callers' at a time; `links`, `users`, `events`,
//! `clicks` (with `click_rows`, `roll_up`, `months`, `retention`), `stats`, `keys`, `salts`, `totals`, `once` and `import` are the methods of
//! the trait as functions of a connection or a transaction; `store` is the trait itself.
//!
//! Connections are the server's sessions (settings, prepared statements, advisory locks): a pooler between must pool sessions, not
//! transactions.

mod acceptances;
mod click_rows;
mod clicks;
mod connection;
mod creates;
mod events;
mod failure;
pub mod feed;
mod import;
mod keys;
mod links;
mod look;
mod migrate;
mod months;
pub mod moving;
mod once;
mod options;
mod pool;
mod pulse;
mod retention;
mod roll_up;
mod salts;
mod sql;
mod stats;
mod store;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
mod tls;
mod totals;
mod tx;
mod users;

use std::{sync::Arc, time::Duration};

use connection::Connector;
pub use creates::CreateCounters;
use creates::Creates;
pub use failure::is_refusal;
use failure::unavailable;
pub use look::Looked;
pub use migrate::ENCODING;
use months::Months;
pub use options::{PostgresOptions, PostgresUrl, PostgresUrlError, Tls};
use pool::{Pool, Reach};

use tokio::time::timeout;

use crate::{StoreError, clicked::Seen, store::Result};

/// For the first host that answers, where a start need not wait for one.
const FIRST_CONTACT: Duration = Duration::from_secs(1);

/// A handle; clones share the connections.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    pool: Arc<Pool>,
    creates: Arc<Creates>,
    months: Arc<Months>,
    seen: Arc<Seen>,
}

impl PostgresStore {
    /// Connects and brings the schema up to date. With `start_away` a server that cannot be reached, or that another node is
    /// migrating, is no error: calls are `Unavailable` until it can be used.
    pub async fn open(options: &PostgresOptions) -> Result<Self> {
        let connector = Connector::new(options)?;
        let reached = if options.start_away { first_contact(&connector).await } else { Ok(()) };
        // A node that can start without does not wait until another one has migrated, either: the pulse will.
        let others = if options.start_away { FIRST_CONTACT } else { migrate::PATIENT };
        let migrated = match reached {
            Ok(()) => migrate::make_ready(&connector, options, others).await,
            Err(error) => Err(error),
        };
        let reach = match migrated {
            Ok(()) => Reach::Up,
            Err(error) if options.start_refused && is_refusal(&error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    "PostgreSQL refuses us: starting without it, on the replica; somebody has to change something"
                );
                Reach::Away
            }
            Err(error) if options.start_away && error.is_transient() && !is_refusal(&error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "PostgreSQL cannot be used yet: starting without it");
                Reach::Away
            }
            Err(error) => return Err(error),
        };
        let pool = Arc::new(Pool::start(options, connector, reach));
        let creates = Arc::new(Creates::start(&pool, options.create_lanes, options.group_max, options.queue_max));
        Ok(Self { pool, creates, months: Arc::default(), seen: Arc::default() })
    }

    /// What changes in the links, for this node's replica, on a connection of its own.
    pub fn feed(&self, woken: feed::Woken) -> feed::Feed {
        feed::Feed::new(self.pool.clone(), woken)
    }

    /// Whether the server answers. A call may fail all the same, and one that fails makes it look again.
    pub fn is_up(&self) -> bool {
        self.pool.is_up()
    }

    /// What became of creates so far.
    pub fn create_counters(&self) -> &CreateCounters {
        &self.creates.counters
    }
}

/// Whether somebody answers, soon: a node that can start without does not wait long to find out.
async fn first_contact(connector: &Connector) -> Result<()> {
    let contact = timeout(FIRST_CONTACT, connector.connect(FIRST_CONTACT)).await;
    contact.unwrap_or_else(|_| Err(unavailable("nobody answered in time"))).map(drop)
}

/// On a thread that may block: work that takes milliseconds and nobody waits for on this one.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| StoreError::Internal(Box::new(e)))
}
