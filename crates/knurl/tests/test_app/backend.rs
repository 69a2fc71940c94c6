//! The two databases a server can stand on, each real; and somebody else's hands in them.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use knurl::{
    config::{Config, Database},
    jobs::Feeding,
};
use knurl_lab::servers::Postgres;
use knurl_store::{
    Store,
    postgres::{PostgresOptions, PostgresStore, feed::Woken},
    replica::Replica,
    sqlite::{SqliteOptions, SqliteStore},
};
use tokio::task::spawn_blocking;

use super::TestApp;

/// The database all others are copied from: copying takes less than migrating.
const SCHEMA_ONLY: &str = "schema_only";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    /// A server on a fresh database, without keys, as the contract's clients expect it.
    pub(crate) async fn app(self) -> TestApp {
        self.app_with(|_| {}).await
    }

    pub(crate) async fn app_with(self, change: impl FnOnce(&mut Config)) -> TestApp {
        TestApp::start_on(self, change).await
    }

    /// What several servers of one process share, for as long as it is held. Not on a runtime.
    pub(crate) fn kept(self) -> Option<Arc<Postgres>> {
        (self == Self::Postgres).then(server)
    }

    /// Opens a fresh database, and tells `config` of it; on PostgreSQL with a replica.
    pub(crate) async fn open(self, config: &mut Config) -> (Arc<dyn Store>, Hands, Option<Feeding>) {
        match self {
            Self::Sqlite => {
                let path = config.sqlite_path().unwrap();
                (Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap()), Hands::Sqlite(path), None)
            }
            Self::Postgres => {
                let database = spawn_blocking(Fresh::database).await.unwrap();
                let options = PostgresOptions::from_url(&database.url()).unwrap();
                let store = PostgresStore::open(&options).await.unwrap();
                config.database = Database::Postgres(Box::new(options));
                let replica = Replica::open(&config.replica_path(), Instant::now());
                let feeding = Feeding::of(store.clone(), Woken::ByNotifications, Some(replica));
                (Arc::new(store), Hands::Postgres(database), Some(feeding))
            }
        }
    }
}

/// The server that is running, else a new one. It ends with the last who holds it, its directory too.
fn server() -> Arc<Postgres> {
    static RUNNING: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.upgrade().unwrap_or_else(|| {
        let started = Arc::new(Postgres::start().unwrap());
        let options = PostgresOptions::from_url(&started.database(SCHEMA_ONLY).unwrap()).unwrap();
        let migrate = async { PostgresStore::open(&options).await.unwrap().close().await };
        // On a thread of its own: the caller's may be a runtime's.
        std::thread::scope(|scope| {
            scope.spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(migrate)).join().unwrap();
        });
        *running = Arc::downgrade(&started);
        started
    })
}

/// A database of a server that is gone when nobody needs it.
pub(crate) struct Fresh {
    name: String,
    server: Arc<Postgres>,
}

impl Fresh {
    fn database() -> Self {
        static DATABASES: AtomicU64 = AtomicU64::new(0);
        let server = server();
        let name = format!("app_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        server.sql(&format!("create database {name} template {SCHEMA_ONLY}")).unwrap();
        Self { name, server }
    }

    fn url(&self) -> String {
        self.server.url_of(&self.name)
    }

    fn sql(&self, sql: &str) -> String {
        self.server.sql_in(&self.name, sql).unwrap()
    }
}

/// Somebody else than the server, with a connection of their own.
pub(crate) enum Hands {
    Sqlite(PathBuf),
    Postgres(Fresh),
}

impl Hands {
    /// Every table there is.
    pub(crate) fn tables(&self) -> Vec<String> {
        match self {
            Self::Sqlite(path) => {
                let others = rusqlite::Connection::open(path).unwrap();
                let query = "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'";
                let mut names = others.prepare(query).unwrap();
                names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
            }
            // A partition goes with its table.
            Self::Postgres(database) => {
                let query = "select relname from pg_class where relkind in ('r', 'p') and not relispartition \
                             and relnamespace = 'public'::regnamespace";
                database.sql(query).lines().map(str::to_owned).collect()
            }
        }
    }

    /// Empties these tables in one transaction; with `ids_again`, ids begin at 1 again.
    pub(crate) fn empty(&self, tables: &[&str], ids_again: bool) {
        match self {
            Self::Sqlite(path) => {
                let others = rusqlite::Connection::open(path).unwrap();
                others.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
                let deletes: String = tables.iter().map(|table| format!("delete from {table};")).collect();
                let sequences = if ids_again { "delete from sqlite_sequence;" } else { "" };
                others.execute_batch(&format!("begin immediate; {deletes} {sequences} commit")).unwrap();
            }
            Self::Postgres(database) => {
                let ids = if ids_again { "restart identity" } else { "" };
                database.sql(&format!("truncate {} {ids} cascade", tables.join(", ")));
            }
        }
    }
}
