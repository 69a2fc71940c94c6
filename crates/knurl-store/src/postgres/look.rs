//! What a PostgreSQL says about itself, for whoever looks before a start. Changes nothing: no schema is brought up to date.

use std::time::Duration;

use knurl_core::UnixMillis;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::{
    connection::Connector,
    migrate::{self, MIGRATIONS},
    options::PostgresOptions,
};
use crate::{StoreError, store::Result};

/// For the few questions asked.
const LOOK_TIME: Duration = Duration::from_secs(5);

/// Settings and views that every login may read.
const QUESTION: &str = "select current_setting('server_version'), current_database(), \
     floor(extract(epoch from clock_timestamp()) * 1000)::bigint, \
     coalesce((select version from pg_stat_ssl where pid = pg_backend_pid() and ssl), ''), \
     (select count(*) from pg_stat_replication), \
     current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int, \
     (select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()), \
     current_setting('synchronous_commit'), current_setting('fsync'), \
     current_setting('server_encoding')";

/// The server that writes go to, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    pub server_version: String,
    pub database: String,
    /// 0: nothing of ours is there yet.
    pub schema_version: i64,
    /// What this Knurl's schema is.
    pub schema_known: i64,
    /// The oldest version that may work on what is there.
    pub schema_serves_from: i64,
    /// By the server's clock, at some moment between question and answer.
    pub server_time: UnixMillis,
    /// `TLSv1.3`; `None`: plain text.
    pub tls: Option<String>,
    /// Servers that take its log as it is written.
    pub standbys: u64,
    /// Sessions that logins like ours may have, all of them together.
    pub connections_max: u64,
    pub connections_now: u64,
    /// `off` by the server's configuration; our own sessions turn it on.
    pub synchronous_commit: String,
    pub fsync: bool,
    /// Of the database: anything but [`ENCODING`](super::ENCODING) is refused at the start.
    pub encoding: String,
}

impl PostgresOptions {
    /// Looks on a connection of its own, which takes writes like those of a server would: a host that only reads is passed over.
    pub async fn look(&self) -> Result<Looked> {
        let connection = Connector::new(self)?.connect(LOOK_TIME).await?;
        let schema_version = migrate::schema_version(&connection).await?;
        let schema_serves_from = migrate::schema_serves_from(&connection).await?.unwrap_or(schema_version);
        let answer = connection.bounded(connection.client.simple_query(QUESTION)).await?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = row.ok_or_else(|| unreadable("no row"))?;
        Ok(Looked {
            server_version: text(row, 0)?,
            database: text(row, 1)?,
            schema_version,
            schema_known: MIGRATIONS.len() as i64,
            schema_serves_from,
            server_time: UnixMillis(number(row, 2)?),
            tls: Some(text(row, 3)?).filter(|version| !version.is_empty()),
            standbys: number(row, 4)?,
            connections_max: number(row, 5)?,
            connections_now: number(row, 6)?,
            synchronous_commit: text(row, 7)?,
            fsync: text(row, 8)? == "on",
            encoding: text(row, 9)?,
        })
    }

    /// What one process that serves opens at most: besides the readers and writers one to feel the pulse, one to follow changes, and one
    /// that asks the server to stop what nobody waits for any more.
    pub fn connections_max(&self) -> usize {
        self.shared_readers.max(1) + self.long_readers.max(1) + self.writers.max(1) + 3
    }
}

fn text(row: &SimpleQueryRow, column: usize) -> Result<String> {
    row.try_get(column).ok().flatten().map(str::to_owned).ok_or_else(|| unreadable("a column is missing"))
}

fn number<N: std::str::FromStr>(row: &SimpleQueryRow, column: usize) -> Result<N> {
    text(row, column)?.parse().map_err(|_| unreadable("a number is none"))
}

fn unreadable(why: &'static str) -> StoreError {
    StoreError::Internal(format!("the server's answer about itself: {why}").into())
}
