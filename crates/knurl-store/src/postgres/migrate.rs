//! Brings the schema up to date: each step in its own transaction under an advisory lock, so that nodes that start together take each
//! step once, and a process killed halfway leaves whole steps behind.
//!
//! A step widens and does not narrow, so that older nodes go on while the fleet is upgraded, and start again if they must: with each step stands
//! the oldest version that still works on what it makes, and the database keeps it. What is in no use any more is dropped by a later step.
//!
//! Refused: a database from a Knurl so much newer that this one does not serve it, one that has another program's tables by our names, one that cannot hold every character, and a
//! PostgreSQL older than 13.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::SimpleQueryMessage;

use super::{
    connection::{Connection, Connector},
    failure::{is_retryable, unavailable},
    moving,
    options::PostgresOptions,
    tx::Retries,
};
use crate::{StoreError, store::Result};

/// Step n leads from schema version n - 1 to n.
pub(super) const MIGRATIONS: [(&str, &str); 6] = [
    ("0001_users_links_events_keys", include_str!("migrations/0001_users_links_events_keys.sql")),
    ("0002_clicks", include_str!("migrations/0002_clicks.sql")),
    ("0003_onces", include_str!("migrations/0003_onces.sql")),
    ("0004_moving", include_str!("migrations/0004_moving.sql")),
    ("0005_deleted_users", include_str!("migrations/0005_deleted_users.sql")),
    ("0006_emptied", include_str!("migrations/0006_emptied.sql")),
];

/// The oldest schema version whose Knurl works on what the steps above make. Raised only by a step that takes something away, and then to a
/// version that no longer uses it.
const SERVES_FROM: i64 = 5;

const KNOWN: i64 = MIGRATIONS.len() as i64;

/// `xid8` and `gen_random_uuid`.
const SERVER_VERSION_MIN: i64 = 130_000;

/// What a database must hold its texts in: every character that a title or a visitor's browser may have.
pub const ENCODING: &str = "UTF8";

/// Numbers are texts of functions and no rows: whoever truncates every table does not lose them.
const SCHEMA_VERSION: &str = "knurl_schema_version";
const SCHEMA_SERVES_FROM: &str = "knurl_schema_serves_from";
const TABLE_IN_THE_WAY: &str = "select relname from pg_class where relkind in ('r', 'p', 'v', 'm', 'f') \
                                and relname in ('users', 'links', 'events', 'clicks', 'keys', 'counters') \
                                and relnamespace = (select oid from pg_namespace where nspname = current_schema())";

/// For whoever else migrates: as long as that takes.
pub(super) const PATIENT: Duration = Duration::ZERO;

/// Returns how many steps were taken.
pub(super) async fn migrate(connector: &Connector, options: &PostgresOptions) -> Result<usize> {
    migrate_behind(connector, options, PATIENT).await
}

/// Whoever else migrates is waited for so long. A schema that is up to date needs no lock. A step takes locks of tables in use: where it and
/// a transaction of a node wait for each other, the server undoes one of them, and a step that was undone is done again.
async fn migrate_behind(connector: &Connector, options: &PostgresOptions, others: Duration) -> Result<usize> {
    let all = async {
        let (mut taken, mut retries) = (0, Retries::begin());
        loop {
            match take_steps(connector, options, others, &mut taken).await {
                Err(error) if is_retryable(&error) => retries.wait(error).await?,
                done => return done.map(|()| taken),
            }
        }
    };
    timeout(options.migrate_timeout, all).await.unwrap_or_else(|_| Err(unavailable("bringing the schema up to date took too long")))
}

async fn take_steps(connector: &Connector, options: &PostgresOptions, others: Duration, taken: &mut usize) -> Result<()> {
    let mut connection = connector.connect(options.migrate_timeout).await?;
    let server = value(&connection, "show server_version_num").await?;
    refuse_old(server.and_then(|version| version.parse().ok()).unwrap_or(0))?;
    refuse_other_encodings(&value(&connection, "show server_encoding").await?.unwrap_or_default())?;
    while schema_version(&connection).await? != KNOWN && step(&mut connection, others).await? {
        *taken += 1;
    }
    Ok(())
}

/// As [`migrate`], for who goes on to work with the database: refused is one that was moved away, or is not filled yet.
/// Whoever else migrates is waited for as long as `others` says.
pub(super) async fn make_ready(connector: &Connector, options: &PostgresOptions, others: Duration) -> Result<()> {
    migrate_behind(connector, options, others).await?;
    let connection = connector.connect(options.migrate_timeout).await?;
    moving::standing(&connection).await?.refuse_unless_usable()
}

fn refuse_old(server: i64) -> Result<()> {
    if server < SERVER_VERSION_MIN {
        return Err(StoreError::Corrupt(format!("PostgreSQL {} is too old, Knurl needs 13 or newer", server / 10_000)));
    }
    Ok(())
}

/// One title with a character that the database does not have would fail a whole group of creates, and a visitor's browser the delivery of
/// everybody's clicks.
fn refuse_other_encodings(encoding: &str) -> Result<()> {
    if encoding != ENCODING {
        return Err(StoreError::Refused(format!(
            "the database's encoding is {encoding} and Knurl needs {ENCODING}: make another one (`create database … encoding '{ENCODING}' template \
             template0`) and give Knurl that"
        )));
    }
    Ok(())
}

/// 0 where there is none.
pub(super) async fn schema_version(connection: &Connection) -> Result<i64> {
    Ok(number(connection, SCHEMA_VERSION).await?.unwrap_or(0))
}

pub(super) async fn schema_serves_from(connection: &Connection) -> Result<Option<i64>> {
    number(connection, SCHEMA_SERVES_FROM).await
}

/// Catalogue rows are read as rows of a table: the functions that look names up would answer from what this session remembers of the time
/// before it had the lock.
async fn number(connection: &Connection, name: &str) -> Result<Option<i64>> {
    let query = format!(
        "select substring(prosrc from '[0-9]+') from pg_proc where proname = '{name}' \
         and pronamespace = (select oid from pg_namespace where nspname = current_schema())"
    );
    let text = value(connection, &query).await?;
    text.map(|text| text.parse().map_err(|_| StoreError::Corrupt(format!("{name} is {text:?}")))).transpose()
}

/// One step, or `false` where there is none left. Other nodes may be migrating too: the version is read under the lock.
pub(super) async fn step(connection: &mut Connection, others: Duration) -> Result<bool> {
    let tx = connection.begin().await?;
    // For tables in use not so long that everybody queues up behind us.
    let wait_ms = others.as_millis();
    tx.batch(&format!(
        "set local lock_timeout = {wait_ms}; select pg_advisory_xact_lock(1802400364, 1); set local lock_timeout = '3s'"
    ))
    .await?;
    let found = schema_version(&tx).await?;
    if found > KNOWN {
        let serves_from = schema_serves_from(&tx).await?.unwrap_or(found);
        tx.roll_back().await?;
        if serves_from > KNOWN {
            return Err(StoreError::TooNew { found, known: KNOWN });
        }
        tracing::warn!(
            found,
            known = KNOWN,
            "the database is a newer Knurl's, which says that this version may work on it: upgrade this node too"
        );
        return Ok(false);
    }
    if found == 0
        && let Some(table) = value(&tx, TABLE_IN_THE_WAY).await?
    {
        return Err(StoreError::Corrupt(format!(
            "the database has a table `{table}` that is another program's: give Knurl a database or a schema of its own"
        )));
    }
    let Some((name, script)) = usize::try_from(found).ok().and_then(|at| MIGRATIONS.get(at)) else {
        tx.roll_back().await?;
        return Ok(false);
    };
    tx.batch(script).await?;
    for (name, number) in [(SCHEMA_VERSION, found + 1), (SCHEMA_SERVES_FROM, SERVES_FROM)] {
        tx.batch(&format!("create or replace function {name}() returns bigint language sql immutable as 'select {number}'"))
            .await?;
    }
    fail::fail_point!("store::migrate");
    tx.commit().await?;
    tracing::info!(migration = name, "schema migrated");
    Ok(true)
}

/// The first column of the first row. Not prepared: the schema changes under it.
async fn value(connection: &Connection, query: &str) -> Result<Option<String>> {
    let answer = connection.bounded(connection.client.simple_query(query)).await?;
    Ok(answer.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}
