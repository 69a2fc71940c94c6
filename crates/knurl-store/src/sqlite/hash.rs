//! What is in a database, as one hash a table: rows in key order, every value with its type and length.

use rusqlite::{Connection, types::ValueRef};
use sha2::{Digest, Sha256};

use super::failure::store_error;
use crate::store::Result;

/// Rows of one table and the SHA-256 over them in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableHash {
    pub table: String,
    pub rows: u64,
    pub sha256: String,
}

/// Every table, by name.
pub(super) fn tables(conn: &Connection) -> Result<Vec<TableHash>> {
    let names: Vec<String> = conn
        .prepare("select name from sqlite_schema where type = 'table' and name not like 'sqlite_stat%' order by name")
        .and_then(|mut query| query.query_map([], |row| row.get(0))?.collect())
        .map_err(store_error)?;
    names.into_iter().map(|name| table(conn, name).map_err(store_error)).collect()
}

fn table(conn: &Connection, table: String) -> rusqlite::Result<TableHash> {
    // The names are the schema's own, not a stranger's.
    let mut query = conn.prepare(&format!("select * from \"{table}\" order by {}", order(conn, &table)?))?;
    let columns = query.column_count();
    let mut found = query.query([])?;
    let mut hash = Sha256::new();
    let mut rows = 0;
    while let Some(row) = found.next()? {
        for column in 0..columns {
            add(&mut hash, row.get_ref(column)?);
        }
        rows += 1;
    }
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(TableHash { table, rows, sha256 })
}

/// The primary key's columns, else the row id.
fn order(conn: &Connection, table: &str) -> rusqlite::Result<String> {
    let columns: Vec<String> = conn
        .prepare("select name from pragma_table_info(?1) where pk > 0 order by pk")?
        .query_map([table], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(if columns.is_empty() { "rowid".into() } else { columns.join(", ") })
}

fn add(hash: &mut Sha256, value: ValueRef<'_>) {
    let mut tagged = |tag: u8, bytes: &[u8]| {
        hash.update([tag]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    match value {
        ValueRef::Null => tagged(0, &[]),
        ValueRef::Integer(value) => tagged(1, &value.to_le_bytes()),
        ValueRef::Real(value) => tagged(2, &value.to_bits().to_le_bytes()),
        ValueRef::Text(text) => tagged(3, text),
        ValueRef::Blob(blob) => tagged(4, blob),
    }
}
