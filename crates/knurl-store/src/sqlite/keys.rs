//! API keys, kept as hashes.

use knurl_core::{
    UnixMillis,
    key::{Key, KeyHash, KeyId},
};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{failure::store_error, prepared::Prepare, sql, tx::Tx};
use crate::{StoreError, store::Result};

pub(super) fn create(tx: &Tx<'_>, name: &str, hash: KeyHash, now: UnixMillis) -> Result<Key> {
    // Looked for first, so that a start whose key is there writes nothing: a database that is being moved takes no writes.
    if let Some(known) = by_hash(tx, hash)? {
        return Ok(known);
    }
    tx.prepared(sql::KEY_INSERT).and_then(|mut insert| insert.execute((name, hash.0, now.0))).map_err(store_error)?;
    by_hash(tx, hash)?.ok_or_else(|| StoreError::Internal("a key that was created is not there".into()))
}

fn by_hash(tx: &Tx<'_>, hash: KeyHash) -> Result<Option<Key>> {
    tx.prepared(sql::KEY_BY_HASH).and_then(|mut query| query.query_row([hash.0], key).optional()).map_err(store_error)
}

pub(super) fn list(conn: &Connection) -> Result<Vec<Key>> {
    conn.prepared(sql::KEYS_LIST).and_then(|mut query| query.query_map([], key)?.collect()).map_err(store_error)
}

pub(super) fn revoke(tx: &Tx<'_>, id: KeyId, now: UnixMillis) -> Result<Option<Key>> {
    tx.prepared(sql::KEY_REVOKE).and_then(|mut update| update.execute((id.0, now.0))).map_err(store_error)?;
    tx.prepared(sql::KEY_BY_ID).and_then(|mut query| query.query_row([id.0], key).optional()).map_err(store_error)
}

fn key(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok(Key {
        id: KeyId(row.get(0)?),
        name: row.get(1)?,
        hash: KeyHash(row.get(2)?),
        created_at: UnixMillis(row.get(3)?),
        revoked_at: row.get::<_, Option<i64>>(4)?.map(UnixMillis),
    })
}
