//! Brings the schema up to date: each step in its own transaction, so that a process killed halfway goes on where it was.
//!
//! Refused: a database from a newer Knurl, and one that is not Knurl's.

use rusqlite::Connection;

use super::failure::store_error;
use crate::{StoreError, store::Result};

/// `knrl`, in the file's header.
pub(super) const APPLICATION_ID: i64 = 0x6b6e_726c;

/// Step n leads from schema version n - 1 to n.
pub(super) const MIGRATIONS: [(&str, &str); 7] = [
    ("0001_users_links_events_keys", include_str!("migrations/0001_users_links_events_keys.sql")),
    ("0002_clicks", include_str!("migrations/0002_clicks.sql")),
    ("0003_rows_deleted_by_others", include_str!("migrations/0003_rows_deleted_by_others.sql")),
    ("0004_onces", include_str!("migrations/0004_onces.sql")),
    ("0005_moving", include_str!("migrations/0005_moving.sql")),
    ("0006_deleted_users", include_str!("migrations/0006_deleted_users.sql")),
    ("0007_emptied", include_str!("migrations/0007_emptied.sql")),
];

/// Returns how many steps were taken.
pub(super) fn migrate(conn: &Connection) -> Result<usize> {
    refuse_strangers(conn)?;
    let mut taken = 0;
    while step(conn)? {
        taken += 1;
    }
    Ok(taken)
}

pub(super) fn schema_version(conn: &Connection) -> Result<i64> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(store_error)
}

/// `Corrupt` where the file is another program's, `TooNew` where it is a newer Knurl's.
pub(super) fn refuse_strangers(conn: &Connection) -> Result<()> {
    let application_id: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(store_error)?;
    let tables: i64 = conn.query_row("select count(*) from sqlite_schema", [], |row| row.get(0)).map_err(store_error)?;
    if application_id != APPLICATION_ID && (application_id != 0 || tables != 0) {
        return Err(StoreError::Corrupt("the file is another program's SQLite database".into()));
    }
    let known = MIGRATIONS.len() as i64;
    match schema_version(conn)? {
        found if found > known => Err(StoreError::TooNew { found, known }),
        found if found < 0 => Err(StoreError::Corrupt(format!("schema version {found}"))),
        _ => Ok(()),
    }
}

/// One step, or `false` where there is none left. Another process may be migrating too: the version is read under the write lock.
pub(super) fn step(conn: &Connection) -> Result<bool> {
    if schema_version(conn)? >= MIGRATIONS.len() as i64 {
        return Ok(false);
    }
    conn.execute_batch("begin immediate").map_err(store_error)?;
    let done = step_in_transaction(conn).and_then(|taken| {
        fail::fail_point!("store::migrate");
        conn.execute_batch("commit").map_err(store_error)?;
        Ok(taken)
    });
    if done.is_err() && !conn.is_autocommit() {
        // The step's own error is what matters; a connection that cannot even roll back is closed by the caller.
        let _ = conn.execute_batch("rollback");
    }
    done
}

fn step_in_transaction(conn: &Connection) -> Result<bool> {
    let version = schema_version(conn)?;
    let Some((name, sql)) = usize::try_from(version).ok().and_then(|at| MIGRATIONS.get(at)) else {
        return Ok(false);
    };
    conn.execute_batch(sql).map_err(store_error)?;
    conn.pragma_update(None, "application_id", APPLICATION_ID).map_err(store_error)?;
    conn.pragma_update(None, "user_version", version + 1).map_err(store_error)?;
    tracing::info!(migration = name, "schema migrated");
    Ok(true)
}
