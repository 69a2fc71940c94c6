//! Links: read, changed and deleted, each change with its events in the same transaction. [`super::creates`] makes them.

use knurl_core::{
    Link, LinkId, Page, ShortCode, Target, UnixMillis, UserId,
    event::EventType,
    link::{Expected, LinkPatch, RedirectStatus},
    page::Listed,
};
use tokio_postgres::Row;

use super::{
    connection::{Connection, Param, Tx, get},
    events,
    sql::{self, Query},
};
use crate::{
    StoreError, link_events,
    store::{LinkFilter, Result},
};

pub(super) async fn by_id(connection: &Connection, id: LinkId) -> Result<Option<Link>> {
    connection.row_opt(sql::LINK_BY_ID, &[&id.0]).await?.as_ref().map(link).transpose()
}

pub(super) async fn by_code(connection: &Connection, domain: &str, code: &ShortCode) -> Result<Option<Link>> {
    connection.row_opt(sql::LINK_BY_CODE, &[&domain, &code.as_str()]).await?.as_ref().map(link).transpose()
}

/// The oldest that answers.
pub(super) async fn of_owner_to(connection: &Connection, owner: UserId, target: &Target, now: UnixMillis) -> Result<Option<Link>> {
    to(connection, sql::LINK_OF_OWNER_TO, target, &[&owner.0, &target.as_str(), &now.0]).await
}

/// As [`of_owner_to`], by looking at every link.
pub(super) async fn of_nobody_to(connection: &Connection, target: &Target, now: UnixMillis) -> Result<Option<Link>> {
    to(connection, sql::LINK_OF_NOBODY_TO, target, &[&target.as_str(), &now.0]).await
}

async fn to(connection: &Connection, query: Query, target: &Target, params: &[Param<'_>]) -> Result<Option<Link>> {
    if target.as_str().contains('\0') {
        // PostgreSQL's texts hold none.
        return Ok(None);
    }
    connection.row_opt(query, params).await?.as_ref().map(link).transpose()
}

pub(super) async fn update(tx: &Tx<'_>, id: LinkId, patch: &LinkPatch, now: UnixMillis) -> Result<Option<Link>> {
    let Some(old) = to_change(tx, id).await? else {
        return Ok(None);
    };
    if !patch.expected.admits(old.version) {
        return Err(StoreError::Outdated);
    }
    let mut new = old.clone();
    new.target = patch.target.clone().unwrap_or(new.target);
    new.title = patch.title.clone().unwrap_or(new.title);
    new.is_active = patch.is_active.unwrap_or(new.is_active);
    new.status = patch.status.unwrap_or(new.status);
    new.expires_at = patch.expires_at.unwrap_or(new.expires_at);
    if new == old {
        return Ok(Some(old));
    }
    new.updated_at = now;
    new.version += 1;
    let expires_at = new.expires_at.map(|at| at.0);
    let row: [Param<'_>; 7] =
        [&id.0, &new.target.as_str(), &new.title, &new.is_active, &(new.status.as_u16() as i16), &expires_at, &now.0];
    tx.execute(sql::LINK_UPDATE, &row).await?;
    events::insert_all(tx, &new, EventType::UPDATED, now, &link_events::updated(&old, &new)?).await?;
    Ok(Some(new))
}

pub(super) async fn delete(tx: &Tx<'_>, id: LinkId, expected: &Expected, reason: &str, now: UnixMillis) -> Result<Option<Link>> {
    let Some(old) = to_change(tx, id).await? else {
        return Ok(None);
    };
    if !expected.admits(old.version) {
        return Err(StoreError::Outdated);
    }
    tx.execute(sql::LINK_DELETE, &[&id.0, &now.0]).await?;
    events::insert_all(tx, &old, EventType::DELETED, now, &[link_events::deleted(reason)?]).await?;
    Ok(Some(old))
}

async fn to_change(tx: &Tx<'_>, id: LinkId) -> Result<Option<Link>> {
    tx.row_opt(sql::LINK_TO_CHANGE, &[&id.0]).await?.as_ref().map(link).transpose()
}

pub(super) async fn list(connection: &Connection, filter: &LinkFilter, page: Page) -> Result<Listed<Link>> {
    let (Some(title), Some(target)) = (pattern(filter.title.as_deref()), pattern(filter.target.as_deref())) else {
        return Ok(Listed { rows: Vec::new(), total: 0 });
    };
    let (active, owner) = (filter.is_active, filter.owner.map(|owner| owner.0));
    let (after, limit, offset) = (page.after_id, i64::from(page.limit), page.offset.min(i64::MAX as u64) as i64);
    match (&filter.short_code, owner) {
        (Some(code), _) if code.contains('\0') => Ok(Listed { rows: Vec::new(), total: 0 }),
        (Some(code), owner) => Ok(Listed {
            rows: rows(connection, sql::LINKS_LIST_OF_CODE, &[code, &active, &title, &target, &after, &limit, &offset, &owner])
                .await?,
            total: total(connection, sql::LINKS_COUNT_OF_CODE, &[code, &active, &title, &target, &owner]).await?,
        }),
        (None, Some(owner)) => Ok(Listed {
            rows: rows(connection, sql::LINKS_LIST_OF_OWNER, &[&owner, &active, &title, &target, &after, &limit, &offset]).await?,
            total: total(connection, sql::LINKS_COUNT_OF_OWNER, &[&owner, &active, &title, &target]).await?,
        }),
        (None, None) => Ok(Listed {
            rows: rows(connection, sql::LINKS_LIST, &[&active, &title, &target, &after, &limit, &offset]).await?,
            total: match (active, &title, &target) {
                (None, None, None) => super::totals::counts(connection).await?.links,
                _ => total(connection, sql::LINKS_COUNT, &[&active, &title, &target]).await?,
            },
        }),
    }
}

async fn rows(connection: &Connection, query: Query, params: &[Param<'_>]) -> Result<Vec<Link>> {
    connection.rows(query, params).await?.iter().map(link).collect()
}

pub(super) async fn total(connection: &Connection, query: Query, params: &[Param<'_>]) -> Result<u64> {
    Ok(get::<i64>(&connection.row(query, params).await?, 0)?.max(0) as u64)
}

/// A LIKE pattern (escape `\`) for "contains"; `None` where nothing can contain it: PostgreSQL's texts hold no NUL.
fn pattern(text: Option<&str>) -> Option<Option<String>> {
    let Some(text) = text else {
        return Some(None);
    };
    if text.contains('\0') {
        return None;
    }
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    Some(Some(pattern))
}

/// A row of the columns every link query selects, in their order.
pub(super) fn link(row: &Row) -> Result<Link> {
    let short_code = short_code(get(row, 2)?)?;
    let target: &str = get(row, 3)?;
    let status: i16 = get(row, 6)?;
    Ok(Link {
        id: LinkId(get(row, 0)?),
        domain: get(row, 1)?,
        target: Target::verbatim(target).map_err(|e| StoreError::Corrupt(format!("target of {short_code:?}: {e}")))?,
        short_code,
        title: get(row, 4)?,
        is_active: get(row, 5)?,
        status: u16::try_from(status)
            .ok()
            .and_then(RedirectStatus::from_u16)
            .ok_or_else(|| StoreError::Corrupt(format!("redirect status {status}")))?,
        owner: get::<Option<i64>>(row, 7)?.map(UserId),
        expires_at: get::<Option<i64>>(row, 8)?.map(UnixMillis),
        created_at: UnixMillis(get(row, 9)?),
        updated_at: UnixMillis(get(row, 10)?),
        deleted_at: get::<Option<i64>>(row, 11)?.map(UnixMillis),
        version: get(row, 12)?,
    })
}

pub(super) fn short_code(text: &str) -> Result<ShortCode> {
    ShortCode::parse(text).map_err(|e| StoreError::Corrupt(format!("short code {text:?}: {e}")))
}
