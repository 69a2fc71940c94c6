//! Events: one table for what the system writes, what clients post, and clicks.

use std::sync::LazyLock;

use knurl_core::{Event, EventId, EventType, LinkId, Page, UnixMillis, UserId, event::NewEvent, page::Listed};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    failure::store_error,
    links::{self, get},
    prepared::Prepare,
    rows::{self, Binder},
    sql,
    tx::Tx,
    users,
};
use crate::{
    Reference, StoreError,
    store::{EventFilter, Result},
};

/// Where a click event came from: the column `source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClickSource {
    Spool = 0,
    External = 1,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct NewRow<'a> {
    pub(super) link_id: LinkId,
    pub(super) user_id: Option<UserId>,
    pub(super) event_type: &'a str,
    pub(super) at: UnixMillis,
    pub(super) details: Option<&'a str>,
    /// `Some` exactly where `event_type` is `click`.
    pub(super) source: Option<ClickSource>,
}

static INSERTS: rows::Texts = LazyLock::new(|| rows::texts(sql::EVENT_INSERT));

/// The events that `row` makes of `all`, in their order, with a buffer for the details that it may write itself.
pub(super) fn insert_all<T>(tx: &Tx<'_>, all: &[T], row: impl for<'r> Fn(&'r T, &'r mut String) -> NewRow<'r>) -> Result<()> {
    let mut details = String::new();
    let mut left = all;
    while !left.is_empty() {
        let progress =
            rows::insert_some(tx, &INSERTS, left, |binder, one| row(one, &mut details).bind(binder)).map_err(store_error)?;
        if let Some(error) = progress.refused {
            return Err(store_error(error));
        }
        tx.count_events(progress.inserted as i64);
        left = &left[progress.inserted..];
    }
    Ok(())
}

pub(super) fn insert(tx: &Tx<'_>, row: NewRow<'_>) -> Result<EventId> {
    insert_all(tx, &[row], |row, _| *row)?;
    Ok(EventId(tx.last_insert_rowid()))
}

impl NewRow<'_> {
    fn bind(&self, binder: &mut Binder<'_, '_>) -> rusqlite::Result<()> {
        binder.bind(self.link_id.0)?;
        binder.bind(self.user_id.map(|user| user.0))?;
        binder.bind(self.event_type)?;
        binder.bind(self.at.0)?;
        binder.bind(self.details)?;
        binder.bind(self.source.map(|source| source as i64))
    }
}

pub(super) fn post(tx: &Tx<'_>, new: &NewEvent) -> Result<Event> {
    if links::by_id(tx, new.link_id)?.is_none() {
        return Err(StoreError::MissingReference(Reference::Link));
    }
    if let Some(user) = new.user_id
        && !users::exists(tx, user)?
    {
        return Err(StoreError::MissingReference(Reference::User));
    }
    let is_click = new.event_type.as_str() == EventType::CLICK;
    let id = insert(
        tx,
        NewRow {
            link_id: new.link_id,
            user_id: new.user_id,
            event_type: new.event_type.as_str(),
            at: new.at,
            details: new.details.as_deref(),
            source: is_click.then_some(ClickSource::External),
        },
    )?;
    if is_click {
        super::clicks::roll_up_external(tx, [(new.link_id, new.at, new.details.as_deref())])?;
    }
    Ok(Event {
        id,
        link_id: new.link_id,
        user_id: new.user_id,
        event_type: new.event_type.clone(),
        at: new.at,
        details: new.details.clone(),
    })
}

pub(super) fn by_id(conn: &Connection, id: EventId) -> Result<Option<Event>> {
    let found = conn.prepared(sql::EVENT_BY_ID).and_then(|mut q| q.query_row([id.0], |row| Ok(event(row))).optional());
    found.map_err(store_error)?.transpose()
}

pub(super) fn list(conn: &Connection, filter: &EventFilter, page: Page) -> Result<Listed<Event>> {
    let (link, user) = (filter.link.map(|link| link.0), filter.user.map(|user| user.0));
    let event_type = filter.event_type.as_deref();
    let offset = page.offset.min(i64::MAX as u64) as i64;
    let (list, count) = match (link, user, event_type) {
        (Some(_), _, _) => (sql::EVENTS_LIST_OF_LINK, Some(sql::EVENTS_COUNT_OF_LINK)),
        (None, Some(_), _) => (sql::EVENTS_LIST_OF_USER, Some(sql::EVENTS_COUNT_OF_USER)),
        (None, None, Some(_)) => (sql::EVENTS_LIST_OF_TYPE, Some(sql::EVENTS_COUNT_OF_TYPE)),
        (None, None, None) => (sql::EVENTS_LIST, None),
    };
    let mut query = conn.prepared(list).map_err(store_error)?;
    let rows = query
        .query_map((link, user, event_type, page.after_id, page.limit, offset), |row| Ok(event(row)))
        .map_err(store_error)?
        .map(|row| row.map_err(store_error)?)
        .collect::<Result<_>>()?;
    let total = match count {
        None => super::counter(conn, "events")?,
        Some(count) => conn
            .prepared(count)
            .and_then(|mut query| query.query_row((link, user, event_type), |row| row.get::<_, i64>(0)))
            .map_err(store_error)? as u64,
    };
    Ok(Listed { rows, total })
}

pub(super) fn event(row: &Row<'_>) -> Result<Event> {
    let event_type: String = get(row, 3)?;
    Ok(Event {
        id: EventId(get(row, 0)?),
        link_id: LinkId(get(row, 1)?),
        user_id: get::<Option<i64>>(row, 2)?.map(UserId),
        event_type: EventType::parse(&event_type).map_err(|e| StoreError::Corrupt(format!("event type {event_type:?}: {e}")))?,
        at: UnixMillis(get(row, 4)?),
        details: get(row, 5)?,
    })
}
