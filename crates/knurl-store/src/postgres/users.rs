//! Users. Names and addresses are unique by their folded keys; a twin (a duplicate that an import brought) becomes the holder of
//! its key when the holder goes, so that the key is never free while a row bears it.

use knurl_core::{
    Page, ShortCode, UnixMillis, User, UserId,
    page::Listed,
    user::{Email, Username, fold},
};
use tokio_postgres::Row;

use super::{
    connection::{Connection, Tx, get},
    links::short_code,
    sql::{self, Query},
};
use crate::{link_events, store::Result};

/// The `deleted` event's reason where a link goes with its user.
const REASON: &str = "user_deleted";

pub(super) async fn create(connection: &Connection, username: &Username, email: &Email, now: UnixMillis) -> Result<User> {
    let (username, email) = (username.as_str(), email.as_str());
    let row = connection.row(sql::USER_INSERT, &[&username, &email, &fold(username), &fold(email), &now.0]).await?;
    Ok(User { id: UserId(get(&row, 0)?), username: username.to_owned(), email: email.to_owned(), created_at: now })
}

pub(super) async fn by_id(connection: &Connection, id: UserId) -> Result<Option<User>> {
    connection.row_opt(sql::USER_BY_ID, &[&id.0]).await?.as_ref().map(user).transpose()
}

pub(super) async fn list(connection: &Connection, page: Page) -> Result<Listed<User>> {
    let (limit, offset) = (i64::from(page.limit), page.offset.min(i64::MAX as u64) as i64);
    let rows = connection.rows(sql::USERS_LIST, &[&page.after_id, &limit, &offset]).await?;
    let rows = rows.iter().map(user).collect::<Result<_>>()?;
    Ok(Listed { rows, total: super::totals::counts(connection).await?.users })
}

pub(super) async fn update(tx: &Tx<'_>, id: UserId, username: Option<&Username>, email: Option<&Email>) -> Result<Option<User>> {
    tx.execute(sql::USER_NAMES_LOCK, &[]).await?;
    let Some(mut user) = to_change(tx, id).await? else {
        return Ok(None);
    };
    if let Some(username) = username {
        change(tx, sql::USER_UPDATE_USERNAME, id, username.as_str()).await?;
        tx.execute(sql::USER_PROMOTE_USERNAME, &[&fold(&user.username)]).await?;
        user.username = username.as_str().to_owned();
    }
    if let Some(email) = email {
        change(tx, sql::USER_UPDATE_EMAIL, id, email.as_str()).await?;
        tx.execute(sql::USER_PROMOTE_EMAIL, &[&fold(&user.email)]).await?;
        user.email = email.as_str().to_owned();
    }
    Ok(Some(user))
}

pub(super) async fn delete(tx: &Tx<'_>, id: UserId, now: UnixMillis) -> Result<Option<Vec<ShortCode>>> {
    tx.execute(sql::USER_NAMES_LOCK, &[]).await?;
    let Some(user) = to_change(tx, id).await? else {
        return Ok(None);
    };
    // Waits for creates that have seen the user; later ones wait for us and find nobody.
    let codes = tx.rows(sql::USER_LINKS_CODES, &[&id.0]).await?;
    let codes = codes.iter().map(|row| short_code(get(row, 0)?)).collect::<Result<Vec<_>>>()?;
    if !codes.is_empty() {
        let first: i64 = get(&tx.row(sql::EVENT_IDS, &[&(codes.len() as i64)]).await?, 0)?;
        tx.execute(sql::USER_LINKS_EVENTS, &[&id.0, &now.0, &link_events::deleted(REASON)?, &first]).await?;
        tx.execute(sql::USER_LINKS_DELETE, &[&id.0, &now.0]).await?;
    }
    tx.execute(sql::DELETED_USER_PUT, &[&id.0, &user.created_at.0]).await?;
    tx.execute(sql::USER_DELETE, &[&id.0]).await?;
    tx.execute(sql::USER_PROMOTE_USERNAME, &[&fold(&user.username)]).await?;
    tx.execute(sql::USER_PROMOTE_EMAIL, &[&fold(&user.email)]).await?;
    Ok(Some(codes))
}

async fn to_change(tx: &Tx<'_>, id: UserId) -> Result<Option<User>> {
    tx.row_opt(sql::USER_TO_CHANGE, &[&id.0]).await?.as_ref().map(user).transpose()
}

async fn change(tx: &Tx<'_>, statement: Query, id: UserId, text: &str) -> Result<()> {
    tx.execute(statement, &[&id.0, &text, &fold(text)]).await?;
    Ok(())
}

pub(super) fn user(row: &Row) -> Result<User> {
    Ok(User { id: UserId(get(row, 0)?), username: get(row, 1)?, email: get(row, 2)?, created_at: UnixMillis(get(row, 3)?) })
}
