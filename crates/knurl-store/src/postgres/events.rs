//! Events: what the system writes and what clients post in `events`, clicks in `clicks`; to everybody who asks they are one list.

use knurl_core::{Event, EventId, EventType, Link, LinkId, Page, UnixMillis, UserId, event::NewEvent, page::Listed};
use tokio_postgres::Row;

use super::{
    clicks,
    connection::{Connection, Param, Tx, get},
    failure::owner_held,
    links, sql, users,
};
use crate::{
    Reference, StoreError,
    store::{EventFilter, Result},
};

/// An event for each of `details`, all of one link, type and time.
pub(super) async fn insert_all(tx: &Tx<'_>, link: &Link, event_type: &str, at: UnixMillis, details: &[String]) -> Result<()> {
    let first: i64 = get(&tx.row(sql::EVENT_IDS, &[&(details.len() as i64)]).await?, 0)?;
    let owner = link.owner.map(|owner| owner.0);
    tx.execute(sql::EVENTS_INSERT, &[&first, &link.id.0, &owner, &event_type, &at.0, &details]).await?;
    Ok(())
}

pub(super) async fn post(tx: &Tx<'_>, new: &NewEvent) -> Result<Event> {
    if links::by_id(tx, new.link_id).await?.is_none() {
        return Err(StoreError::MissingReference(Reference::Link));
    }
    let user = new.user_id.map(|user| user.0);
    if let Some(id) = new.user_id
        && tx.row_opt(sql::USER_EXISTS, &[&id.0]).await?.is_none()
    {
        let is_there = users::by_id(tx, id).await?.is_some();
        return Err(if is_there { owner_held() } else { StoreError::MissingReference(Reference::User) });
    }
    let (link, event_type, details) = (new.link_id.0, new.event_type.as_str(), new.details.as_deref());
    let row = if event_type == EventType::CLICK {
        let row = tx.row(sql::CLICK_INSERT, &[&link, &user, &new.at.0, &details]).await?;
        clicks::roll_up_external(tx, [(new.link_id, new.at, details)]).await?;
        row
    } else {
        tx.row(sql::EVENT_INSERT, &[&link, &user, &event_type, &new.at.0, &details]).await?
    };
    Ok(Event {
        id: EventId(get(&row, 0)?),
        link_id: new.link_id,
        user_id: new.user_id,
        event_type: new.event_type.clone(),
        at: new.at,
        details: new.details.clone(),
    })
}

pub(super) async fn by_id(connection: &Connection, id: EventId) -> Result<Option<Event>> {
    connection.row_opt(sql::EVENT_BY_ID, &[&id.0]).await?.as_ref().map(event).transpose()
}

pub(super) async fn list(connection: &Connection, filter: &EventFilter, page: Page) -> Result<Listed<Event>> {
    let (link, user) = (filter.link.map(|link| link.0), filter.user.map(|user| user.0));
    let event_type = filter.event_type.as_deref();
    if event_type.is_some_and(|event_type| event_type.contains('\0')) {
        return Ok(Listed { rows: Vec::new(), total: 0 });
    }
    let (list, count, by): (_, _, Vec<Param<'_>>) = match (&link, &user, &event_type) {
        (Some(link), user, event_type) => (sql::EVENTS_LIST_OF_LINK, Some(sql::EVENTS_COUNT_OF_LINK), vec![link, user, event_type]),
        (None, Some(user), event_type) => (sql::EVENTS_LIST_OF_USER, Some(sql::EVENTS_COUNT_OF_USER), vec![user, event_type]),
        (None, None, Some(event_type)) => (sql::EVENTS_LIST_OF_TYPE, Some(sql::EVENTS_COUNT_OF_TYPE), vec![event_type]),
        (None, None, None) => (sql::EVENTS_LIST, None, Vec::new()),
    };
    let (limit, offset) = (i64::from(page.limit), page.offset.min(i64::MAX as u64) as i64);
    let both = limit.saturating_add(offset);
    let mut params = by.clone();
    params.extend([&page.after_id as Param<'_>, &limit, &offset, &both]);
    let rows = connection.rows(list, &params).await?.iter().map(event).collect::<Result<_>>()?;
    let total = match count {
        None => super::totals::counts(connection).await?.events,
        Some(count) => links::total(connection, count, &by).await?,
    };
    Ok(Listed { rows, total })
}

pub(super) fn event(row: &Row) -> Result<Event> {
    let event_type: &str = get(row, 3)?;
    Ok(Event {
        id: EventId(get(row, 0)?),
        link_id: LinkId(get(row, 1)?),
        user_id: get::<Option<i64>>(row, 2)?.map(UserId),
        event_type: EventType::parse(event_type).map_err(|e| StoreError::Corrupt(format!("event type {event_type:?}: {e}")))?,
        at: UnixMillis(get(row, 4)?),
        details: get(row, 5)?,
    })
}
