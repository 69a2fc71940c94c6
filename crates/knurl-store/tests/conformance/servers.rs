//! A PostgreSQL while benches of this process need one, and a database of its own for each.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use knurl_lab::servers::Postgres;
use knurl_store::{
    Store,
    postgres::{PostgresOptions, PostgresStore},
};
use tokio::runtime::{Handle, Runtime};
use tokio_postgres::NoTls;

/// The database all others are copied from: copying takes less than migrating.
const SCHEMA_ONLY: &str = "schema_only";

/// The server that is running, else a new one. It ends with the last who holds it, its directory too. Not on a runtime.
pub(crate) fn server() -> Arc<Postgres> {
    static RUNNING: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.upgrade().unwrap_or_else(|| {
        let started = Arc::new(Postgres::start().unwrap());
        started.database(SCHEMA_ONLY).unwrap();
        let migrate = async { PostgresStore::open(&at(&url_of(&started, SCHEMA_ONLY))).await.unwrap().close().await };
        Runtime::new().unwrap().block_on(migrate);
        *running = Arc::downgrade(&started);
        started
    })
}

/// A database of a server that is gone when nobody needs it.
pub(crate) struct Database {
    pub(crate) url: String,
    _server: Arc<Postgres>,
}

impl Database {
    /// Empty but for the schema. On a runtime with several threads.
    pub(crate) fn fresh() -> Self {
        static DATABASES: AtomicU64 = AtomicU64::new(0);
        let name = format!("bench_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let server = std::thread::spawn(server).join().unwrap();
        wait_for(sql(&server.url(), &format!("create database {name} template {SCHEMA_ONLY}")));
        Self { url: url_of(&server, &name), _server: server }
    }

    pub(crate) fn open(&self) -> PostgresStore {
        wait_for(PostgresStore::open(&at(&self.url))).unwrap()
    }

    /// As an operator would.
    pub(crate) fn by_hand(&self, script: &str) {
        wait_for(sql(&self.url, script));
    }
}

/// Somebody else's hands in a database.
pub(crate) async fn sql(url: &str, script: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(script).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}

fn url_of(server: &Postgres, database: &str) -> String {
    let url = server.url();
    let (place, _) = url.rsplit_once('/').unwrap();
    format!("{place}/{database}")
}

pub(crate) fn at(url: &str) -> PostgresOptions {
    PostgresOptions::from_url(url).unwrap()
}

/// From a function that is not async.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| Handle::current().block_on(future))
}
