//! Keys, by their hashes.

use knurl_core::{
    UnixMillis,
    key::{Key, KeyHash, KeyId},
};
use tokio_postgres::Row;

use super::{
    connection::{Connection, get},
    sql,
};
use crate::{StoreError, store::Result};

pub(super) async fn create(connection: &Connection, name: &str, hash: KeyHash, now: UnixMillis) -> Result<Key> {
    let bytes = hash.0.as_slice();
    // Looked for first, so that a start whose key is there writes nothing: a database that is being moved takes no writes.
    if let Some(known) = connection.row_opt(sql::KEY_BY_HASH, &[&bytes]).await? {
        return key(&known);
    }
    connection.execute(sql::KEY_INSERT, &[&name, &bytes, &now.0]).await?;
    key(&connection.row(sql::KEY_BY_HASH, &[&bytes]).await?)
}

pub(super) async fn list(connection: &Connection) -> Result<Vec<Key>> {
    connection.rows(sql::KEYS_LIST, &[]).await?.iter().map(key).collect()
}

pub(super) async fn revoke(connection: &Connection, id: KeyId, now: UnixMillis) -> Result<Option<Key>> {
    connection.execute(sql::KEY_REVOKE, &[&id.0, &now.0]).await?;
    connection.row_opt(sql::KEY_BY_ID, &[&id.0]).await?.as_ref().map(key).transpose()
}

fn key(row: &Row) -> Result<Key> {
    let hash: &[u8] = get(row, 2)?;
    Ok(Key {
        id: KeyId(get(row, 0)?),
        name: get(row, 1)?,
        hash: KeyHash(hash.try_into().map_err(|_| StoreError::Corrupt(format!("a key's hash has {} bytes", hash.len())))?),
        created_at: UnixMillis(get(row, 3)?),
        revoked_at: get::<Option<i64>>(row, 4)?.map(UnixMillis),
    })
}
