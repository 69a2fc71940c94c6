//! Databases to move between.

use std::{path::PathBuf, sync::Arc, time::Duration};

use knurl_store::{
    Result, Store,
    moving::{self, End, Moved, Part, Settings, Side, row::Tally},
    postgres::{PostgresStore, moving::PostgresSide},
    sqlite::{SqliteOptions, SqliteStore, moving::SqliteSide},
};
use tempfile::TempDir;

use crate::servers::{Database, at};

pub(crate) enum House {
    Sqlite(TempDir),
    Postgres(Database),
}

impl House {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(TempDir::new().unwrap())
    }

    pub(crate) fn postgres() -> Self {
        Self::Postgres(Database::fresh())
    }

    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::Sqlite(dir) => dir.path().join("knurl.db"),
            Self::Postgres(_) => panic!("a server has no path"),
        }
    }

    /// Somebody else's hands in a file.
    pub(crate) fn by_hand(&self, script: &str) {
        rusqlite::Connection::open(self.path()).unwrap().execute_batch(script).unwrap();
    }

    pub(crate) async fn try_open(&self) -> Result<Arc<dyn Store>> {
        Ok(match self {
            Self::Sqlite(_) => Arc::new(SqliteStore::open(&self.path(), &SqliteOptions::default())?),
            Self::Postgres(database) => Arc::new(PostgresStore::open(&at(&database.url)).await?),
        })
    }

    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        self.try_open().await.unwrap()
    }

    pub(crate) async fn side(&self, end: End) -> Result<Box<dyn Side>> {
        Ok(match self {
            Self::Sqlite(_) => {
                let options = SqliteOptions { busy_timeout: Duration::from_millis(500), ..SqliteOptions::default() };
                Box::new(SqliteSide::open(&self.path(), &options, end)?)
            }
            Self::Postgres(database) => Box::new(PostgresSide::open("postgres://test", &at(&database.url), end).await?),
        })
    }

    pub(crate) async fn tallies(&self) -> Vec<(Part, Tally)> {
        let mut side = self.side(End::From).await.unwrap();
        let tallies = moving::tallies(&mut *side).await.unwrap();
        side.close().await;
        tallies
    }
}

/// Pages so small that a sample has many.
pub(crate) fn small() -> Settings {
    Settings { page_rows: 7, round_time: Duration::from_millis(50), few_notes: 20, settling_rounds_max: 40 }
}

pub(crate) async fn try_move(from: &House, to: &House, settings: &Settings) -> Result<Moved> {
    let (mut from, mut to) = (from.side(End::From).await?, to.side(End::To).await?);
    let moved = moving::run(&mut *from, &mut *to, settings, &mut |_| ()).await;
    from.close().await;
    to.close().await;
    moved
}

pub(crate) async fn move_house(from: &House, to: &House) -> Moved {
    try_move(from, to, &small()).await.unwrap()
}

/// From where to where.
type Way = (fn() -> House, fn() -> House);

pub(crate) const WAYS: [Way; 3] =
    [(House::sqlite, House::postgres), (House::postgres, House::sqlite), (House::postgres, House::postgres)];
