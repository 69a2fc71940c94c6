//! Links: created, read, changed and deleted, each with its event in the same transaction.

use std::{slice, sync::LazyLock};

use knurl_core::{
    Link, LinkId, Page, ShortCode, Target, UnixMillis, UserId,
    event::EventType,
    link::{Expected, LinkPatch, NewLink, RedirectStatus},
    page::Listed,
};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;

use super::{
    events::{self, NewRow},
    failure::store_error,
    prepared::Prepare,
    rows::{self, Binder},
    sql,
    tx::Tx,
    users,
};
use crate::{
    Reference, StoreError,
    json::Object,
    store::{LinkFilter, Result},
};

static INSERTS: rows::Texts = LazyLock::new(|| rows::texts(sql::LINK_INSERT));

pub(super) fn create(tx: &Tx<'_>, new: &NewLink, now: UnixMillis) -> Result<Link> {
    let one = create_all(tx, slice::from_ref(new), now)?.pop();
    one.unwrap_or_else(|| Err(StoreError::Internal("a create of one link has no answer".into())))
}

/// Each row succeeds or fails by itself; an error that is nobody's row in particular fails the whole.
pub(super) fn create_all(tx: &Tx<'_>, new: &[NewLink], now: UnixMillis) -> Result<Vec<Result<Link>>> {
    let mut answers = Vec::with_capacity(new.len());
    let mut owner = None;
    while let Some(next) = new.get(answers.len()) {
        if next.owner != owner && !owner_exists(tx, next.owner)? {
            answers.push(Err(StoreError::MissingReference(Reference::User)));
            continue;
        }
        owner = next.owner;
        let rest = &new[answers.len()..];
        let of_owner = rest.iter().take_while(|new| new.owner == owner).count();
        insert_some(tx, &rest[..of_owner], now, &mut answers)?;
    }
    Ok(answers)
}

fn owner_exists(tx: &Tx<'_>, owner: Option<UserId>) -> Result<bool> {
    owner.map_or(Ok(true), |owner| users::exists(tx, owner))
}

/// One statement's worth of links, with their events, and the answer of the link it was stopped at.
fn insert_some(tx: &Tx<'_>, new: &[NewLink], now: UnixMillis, answers: &mut Vec<Result<Link>>) -> Result<()> {
    let progress = rows::insert_some(tx, &INSERTS, new, |binder, new| bind(binder, new, now)).map_err(store_error)?;
    let last = tx.last_insert_rowid();
    let first = last + 1 - progress.inserted as i64;
    let links: Vec<Link> =
        new[..progress.inserted].iter().zip(first..).map(|(new, id)| new.clone().into_link(LinkId(id), now)).collect();
    tx.count_links(progress.inserted as i64);
    events::insert_all(tx, &links, |link, details| {
        created_details(details, link);
        NewRow {
            link_id: link.id,
            user_id: link.owner,
            event_type: EventType::CREATED,
            at: now,
            details: Some(details),
            source: None,
        }
    })?;
    answers.extend(links.into_iter().map(Ok));
    match progress.refused.map(store_error) {
        None => Ok(()),
        Some(conflict @ StoreError::Conflict(_)) => {
            // A statement that was stopped has not noted the ids it gave: were those rows deleted by hand, their ids would be given again.
            if progress.inserted > 0 {
                tx.keep_sequence("links", last).map_err(store_error)?;
            }
            answers.push(Err(conflict));
            Ok(())
        }
        Some(error) => Err(error),
    }
}

fn bind(binder: &mut Binder<'_, '_>, new: &NewLink, now: UnixMillis) -> rusqlite::Result<()> {
    binder.bind(&new.domain)?;
    binder.bind(new.short_code.as_str())?;
    binder.bind(new.target.as_str())?;
    binder.bind(&new.title)?;
    binder.bind(new.is_active)?;
    binder.bind(new.status.as_u16())?;
    binder.bind(new.owner.map(|owner| owner.0))?;
    binder.bind(new.expires_at.map(|at| at.0))?;
    binder.bind(now.0)?;
    binder.bind(now.0)
}

pub(super) fn by_id(conn: &Connection, id: LinkId) -> Result<Option<Link>> {
    let found = conn.prepared(sql::LINK_BY_ID).and_then(|mut q| q.query_row([id.0], |row| Ok(link(row))).optional());
    found.map_err(store_error)?.transpose()
}

pub(super) fn by_code(conn: &Connection, domain: &str, code: &ShortCode) -> Result<Option<Link>> {
    let found =
        conn.prepared(sql::LINK_BY_CODE).and_then(|mut q| q.query_row((domain, code.as_str()), |row| Ok(link(row))).optional());
    found.map_err(store_error)?.transpose()
}

/// The oldest that answers; without an owner by looking at every link.
pub(super) fn to(conn: &Connection, owner: Option<UserId>, target: &Target, now: UnixMillis) -> Result<Option<Link>> {
    let found = match owner {
        Some(owner) => conn
            .prepared(sql::LINK_OF_OWNER_TO)
            .and_then(|mut q| q.query_row((owner.0, target.as_str(), now.0), |row| Ok(link(row))).optional()),
        None => conn
            .prepared(sql::LINK_OF_NOBODY_TO)
            .and_then(|mut q| q.query_row((target.as_str(), now.0), |row| Ok(link(row))).optional()),
    };
    found.map_err(store_error)?.transpose()
}

pub(super) fn update(tx: &Tx<'_>, id: LinkId, patch: &LinkPatch, now: UnixMillis) -> Result<Option<Link>> {
    let Some(old) = by_id(tx, id)? else {
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
    tx.prepared(sql::LINK_UPDATE)
        .and_then(|mut update| {
            update.execute((
                id.0,
                new.target.as_str(),
                &new.title,
                new.is_active,
                new.status.as_u16(),
                new.expires_at.map(|at| at.0),
                now.0,
            ))
        })
        .map_err(store_error)?;
    for details in changes(&old, &new) {
        write_event(tx, &new, EventType::UPDATED, now, &details)?;
    }
    Ok(Some(new))
}

pub(super) fn delete(tx: &Tx<'_>, id: LinkId, expected: &Expected, reason: &str, now: UnixMillis) -> Result<Option<Link>> {
    let Some(old) = by_id(tx, id)? else {
        return Ok(None);
    };
    if !expected.admits(old.version) {
        return Err(StoreError::Outdated);
    }
    tx.prepared(sql::LINK_DELETE).and_then(|mut delete| delete.execute((id.0, now.0))).map_err(store_error)?;
    tx.count_links(-1);
    write_event(tx, &old, EventType::DELETED, now, &Deleted { reason })?;
    Ok(Some(old))
}

pub(super) fn list(conn: &Connection, filter: &LinkFilter, page: Page) -> Result<Listed<Link>> {
    let title = filter.title.as_deref().map(contains);
    let target = filter.target.as_deref().map(contains);
    let (active, owner) = (filter.is_active, filter.owner.map(|owner| owner.0));
    let (after, limit, offset) = (page.after_id, page.limit, page.offset.min(i64::MAX as u64) as i64);
    let rows = |sql: &str, params: &[&dyn rusqlite::ToSql]| -> Result<Vec<Link>> {
        let mut query = conn.prepared(sql).map_err(store_error)?;
        let rows = query.query_map(params, |row| Ok(link(row))).map_err(store_error)?;
        rows.map(|row| row.map_err(store_error)?).collect()
    };
    let total = |sql: &str, params: &[&dyn rusqlite::ToSql]| -> Result<u64> {
        let counted = conn.prepared(sql).and_then(|mut query| query.query_row(params, |row| row.get::<_, i64>(0)));
        Ok(counted.map_err(store_error)? as u64)
    };
    let none: Option<i64> = None;
    match (&filter.short_code, owner) {
        (Some(code), owner) => Ok(Listed {
            rows: rows(sql::LINKS_LIST_OF_CODE, &[code, &active, &title, &target, &after, &limit, &offset, &owner])?,
            total: total(sql::LINKS_COUNT_OF_CODE, &[code, &active, &title, &target, &owner])?,
        }),
        (None, Some(owner)) => Ok(Listed {
            rows: rows(sql::LINKS_LIST_OF_OWNER, &[&owner, &active, &title, &target, &after, &limit, &offset])?,
            total: total(sql::LINKS_COUNT_OF_OWNER, &[&owner, &active, &title, &target])?,
        }),
        (None, None) => Ok(Listed {
            rows: rows(sql::LINKS_LIST, &[&none, &active, &title, &target, &after, &limit, &offset])?,
            total: match (active, &title, &target) {
                (None, None, None) => super::counter(conn, "links")?,
                _ => total(sql::LINKS_COUNT, &[&none, &active, &title, &target])?,
            },
        }),
    }
}

/// A LIKE pattern (escape `\`) for "contains", ASCII letters in any case.
fn contains(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// A row of the columns every link query selects, in their order.
pub(super) fn link(row: &Row<'_>) -> Result<Link> {
    let short_code: String = text(row, 2)?;
    let target: String = text(row, 3)?;
    let status: u16 = get(row, 6)?;
    Ok(Link {
        id: LinkId(get(row, 0)?),
        domain: text(row, 1)?,
        short_code: ShortCode::parse(&short_code).map_err(|e| StoreError::Corrupt(format!("short code {short_code:?}: {e}")))?,
        target: Target::verbatim(&target).map_err(|e| StoreError::Corrupt(format!("target of {short_code:?}: {e}")))?,
        title: get(row, 4)?,
        is_active: get(row, 5)?,
        status: RedirectStatus::from_u16(status).ok_or_else(|| StoreError::Corrupt(format!("redirect status {status}")))?,
        owner: get::<Option<i64>>(row, 7)?.map(UserId),
        expires_at: get::<Option<i64>>(row, 8)?.map(UnixMillis),
        created_at: UnixMillis(get(row, 9)?),
        updated_at: UnixMillis(get(row, 10)?),
        deleted_at: get::<Option<i64>>(row, 11)?.map(UnixMillis),
        version: get(row, 12)?,
    })
}

pub(super) fn get<T: rusqlite::types::FromSql>(row: &Row<'_>, column: usize) -> Result<T> {
    row.get(column).map_err(store_error)
}

fn text(row: &Row<'_>, column: usize) -> Result<String> {
    get(row, column)
}

fn write_event(tx: &Tx<'_>, link: &Link, event_type: &str, at: UnixMillis, details: &impl Serialize) -> Result<()> {
    let details = serde_json::to_string(details).map_err(|e| StoreError::Internal(Box::new(e)))?;
    let row = NewRow { link_id: link.id, user_id: link.owner, event_type, at, details: Some(&details), source: None };
    events::insert(tx, row)?;
    Ok(())
}

fn created_details(out: &mut String, link: &Link) {
    Object::begin(out).text("short_code", link.short_code.as_str()).text("original_url", link.target.as_str()).end();
}

#[derive(Serialize)]
struct Updated {
    field: &'static str,
    new_value: serde_json::Value,
}

#[derive(Serialize)]
struct Deleted<'a> {
    reason: &'a str,
}

/// Details of a `deleted` event.
pub(super) fn deleted_details(reason: &str) -> Result<String> {
    serde_json::to_string(&Deleted { reason }).map_err(|e| StoreError::Internal(Box::new(e)))
}

/// One for each changed field, named as in the API.
fn changes(old: &Link, new: &Link) -> Vec<Updated> {
    let mut changes = Vec::new();
    let mut note = |changed: bool, field, new_value| {
        if changed {
            changes.push(Updated { field, new_value });
        }
    };
    note(old.target != new.target, "original_url", new.target.as_str().into());
    note(old.title != new.title, "title", new.title.clone().into());
    note(old.is_active != new.is_active, "is_active", new.is_active.into());
    note(old.status != new.status, "redirect_status", new.status.as_u16().into());
    note(old.expires_at != new.expires_at, "expires_at", new.expires_at.map(UnixMillis::to_rfc3339).into());
    changes
}
