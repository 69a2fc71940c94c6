//! Users. Names and addresses are unique by their folded keys; a twin (a duplicate that an import brought) becomes the holder of
//! its key when the holder goes, so that the key is never free while a row bears it.

use knurl_core::{
    Page, ShortCode, UnixMillis, User, UserId,
    page::Listed,
    user::{Email, Username, fold},
};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{failure::store_error, links, prepared::Prepare, sql, tx::Tx};
use crate::{StoreError, store::Result};

/// The `deleted` event's reason where a link goes with its user.
const REASON: &str = "user_deleted";

pub(super) fn create(tx: &Tx<'_>, username: &Username, email: &Email, now: UnixMillis) -> Result<User> {
    let (username, email) = (username.as_str(), email.as_str());
    tx.prepared(sql::USER_INSERT)
        .and_then(|mut insert| insert.execute((username, email, fold(username), fold(email), now.0)))
        .map_err(store_error)?;
    tx.count_users(1);
    Ok(User { id: UserId(tx.last_insert_rowid()), username: username.to_owned(), email: email.to_owned(), created_at: now })
}

pub(super) fn by_id(conn: &Connection, id: UserId) -> Result<Option<User>> {
    conn.prepared(sql::USER_BY_ID).and_then(|mut query| query.query_row([id.0], user).optional()).map_err(store_error)
}

/// When the user that had this id, and was deleted, had been created.
pub(super) fn gone(conn: &Connection, id: UserId) -> Result<Option<UnixMillis>> {
    let found =
        conn.prepared(sql::DELETED_USER_CREATED_AT).and_then(|mut query| query.query_row([id.0], |row| row.get(0)).optional());
    Ok(found.map_err(store_error)?.map(UnixMillis))
}

pub(super) fn exists(conn: &Connection, id: UserId) -> Result<bool> {
    conn.prepared(sql::USER_EXISTS).and_then(|mut query| query.exists([id.0])).map_err(store_error)
}

pub(super) fn list(conn: &Connection, page: Page) -> Result<Listed<User>> {
    let offset = page.offset.min(i64::MAX as u64) as i64;
    let rows = conn
        .prepared(sql::USERS_LIST)
        .and_then(|mut query| query.query_map((page.after_id, page.limit, offset), user)?.collect())
        .map_err(store_error)?;
    Ok(Listed { rows, total: super::counter(conn, "users")? })
}

pub(super) fn update(tx: &Tx<'_>, id: UserId, username: Option<&Username>, email: Option<&Email>) -> Result<Option<User>> {
    let Some(mut user) = by_id(tx, id)? else {
        return Ok(None);
    };
    if let Some(username) = username {
        change(tx, sql::USER_UPDATE_USERNAME, id, username.as_str())?;
        promote(tx, sql::USER_PROMOTE_USERNAME, &user.username)?;
        user.username = username.as_str().to_owned();
    }
    if let Some(email) = email {
        change(tx, sql::USER_UPDATE_EMAIL, id, email.as_str())?;
        promote(tx, sql::USER_PROMOTE_EMAIL, &user.email)?;
        user.email = email.as_str().to_owned();
    }
    Ok(Some(user))
}

pub(super) fn delete(tx: &Tx<'_>, id: UserId, now: UnixMillis) -> Result<Option<Vec<ShortCode>>> {
    let Some(user) = by_id(tx, id)? else {
        return Ok(None);
    };
    let codes = codes_of(tx, id)?;
    let details = links::deleted_details(REASON)?;
    let events =
        tx.prepared(sql::USER_LINKS_EVENTS).and_then(|mut insert| insert.execute((id.0, now.0, details))).map_err(store_error)?;
    tx.prepared(sql::USER_LINKS_DELETE).and_then(|mut delete| delete.execute((id.0, now.0))).map_err(store_error)?;
    tx.prepared(sql::DELETED_USER_PUT).and_then(|mut put| put.execute((id.0, user.created_at.0))).map_err(store_error)?;
    tx.prepared(sql::USER_DELETE).and_then(|mut delete| delete.execute([id.0])).map_err(store_error)?;
    promote(tx, sql::USER_PROMOTE_USERNAME, &user.username)?;
    promote(tx, sql::USER_PROMOTE_EMAIL, &user.email)?;
    tx.count_links(-(events as i64));
    tx.count_events(events as i64);
    Ok(Some(codes))
}

fn codes_of(tx: &Tx<'_>, id: UserId) -> Result<Vec<ShortCode>> {
    let mut query = tx.prepared(sql::USER_LINKS_CODES).map_err(store_error)?;
    let codes = query.query_map([id.0], |row| row.get::<_, String>(0)).map_err(store_error)?;
    codes
        .map(|code| {
            let code = code.map_err(store_error)?;
            ShortCode::parse(&code).map_err(|e| StoreError::Corrupt(format!("short code {code:?}: {e}")))
        })
        .collect()
}

fn change(tx: &Tx<'_>, statement: &str, id: UserId, text: &str) -> Result<()> {
    tx.prepared(statement).and_then(|mut update| update.execute((id.0, text, fold(text)))).map_err(store_error)?;
    Ok(())
}

fn promote(tx: &Tx<'_>, statement: &str, old: &str) -> Result<()> {
    tx.prepared(statement).and_then(|mut update| update.execute([fold(old)])).map_err(store_error)?;
    Ok(())
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User { id: UserId(row.get(0)?), username: row.get(1)?, email: row.get(2)?, created_at: UnixMillis(row.get(3)?) })
}
