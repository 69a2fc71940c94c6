//! Clicks as the drain delivers them: raw events, roll-ups and the cursor in one transaction, so that each counts exactly once.

use std::borrow::Cow;

use knurl_core::{EventType, LinkId, UnixMillis, UserId};
use rusqlite::{Connection, OptionalExtension};

use super::{
    events::{self, ClickSource, NewRow},
    failure::store_error,
    prepared::Prepare,
    roll_up, sql,
    tx::Tx,
};
use crate::{
    click_details,
    clicked::{self, Named, There},
    roll_up::{RollUp, RolledClick, ToldClick},
    store::{Applied, ClickBatch, ClickLedger, Cursor, DeliveredClick, Result, undecodable_counter},
};

pub(super) fn apply(tx: &Tx<'_>, batch: &ClickBatch) -> Result<Applied> {
    let spool_id = batch.from.spool_id;
    let stored = cursor(tx, spool_id)?.unwrap_or(Cursor { spool_id, segment: 0, offset: 0, seq: 0 });
    // `seq` alone names a record: a position at a segment's end and the next segment's start are the same place.
    if stored.seq != batch.from.seq {
        return Ok(Applied::CursorIs(stored));
    }
    let undecodable = batch.undecodable_found()?;
    // Before anything else: a database that is being moved refuses it, and then there is nothing to undo.
    put_cursor(tx, batch.to)?;
    let clicks = belonging(tx, &batch.clicks)?;
    events::insert_all(tx, &clicks, |delivered, details| {
        let click = &delivered.click;
        NewRow {
            link_id: click.link_id,
            user_id: click.owner,
            event_type: EventType::CLICK,
            at: click.at,
            details: Some(click_details::write(details, delivered)),
            source: Some(ClickSource::Spool),
        }
    })?;
    let mut rolled = RollUp::default();
    for delivered in clicks.iter() {
        rolled.add(&RolledClick::of(delivered));
    }
    roll_up::write(tx, rolled)?;
    if undecodable > 0 {
        for name in ["clicks_undecodable", undecodable_counter(spool_id).as_str()] {
            tx.add_to_counter(name, undecodable).map_err(store_error)?;
        }
    }
    let unlinked = batch.clicks.len() - clicks.len();
    if unlinked > 0 {
        tx.add_to_counter("clicks_unlinked", unlinked as i64).map_err(store_error)?;
        clicked::tell_unlinked(unlinked);
    }
    Ok(Applied::Applied)
}

/// The clicks that belong to links there are: nearly always all of them.
fn belonging<'b>(tx: &Tx<'_>, clicks: &'b [DeliveredClick]) -> Result<Cow<'b, [DeliveredClick]>> {
    let named = Named::of(clicks);
    let there = there(tx, &named).map_err(store_error)?;
    Ok(if named.are(&there) { Cow::Borrowed(clicks) } else { Cow::Owned(there.belonging(clicks)) })
}

fn there(tx: &Tx<'_>, named: &Named) -> rusqlite::Result<There> {
    let emptied_at = tx.prepared(sql::LINKS_EMPTIED_AT)?.query_row([], |row| row.get(0)).optional()?;
    let links = tx
        .prepared(sql::LINKS_CLICKED)?
        .query_map([serde_json::json!(named.ids()).to_string()], |row| {
            Ok((row.get(0)?, (row.get(1)?, row.get::<_, Option<i64>>(2)?.map(UserId))))
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(There { links, emptied_at: emptied_at.map(UnixMillis) })
}

pub(super) fn cursor(conn: &Connection, spool_id: u128) -> Result<Option<Cursor>> {
    conn.prepared(sql::CURSOR_GET)
        .and_then(|mut query| {
            let found = query.query_row([spool_id.to_be_bytes()], |row| {
                Ok(Cursor {
                    spool_id,
                    segment: row.get::<_, i64>(0)? as u64,
                    offset: row.get::<_, i64>(1)? as u64,
                    seq: row.get::<_, i64>(2)? as u64,
                })
            });
            found.optional()
        })
        .map_err(store_error)
}

fn put_cursor(tx: &Tx<'_>, cursor: Cursor) -> Result<()> {
    let place = (cursor.spool_id.to_be_bytes(), cursor.segment as i64, cursor.offset as i64, cursor.seq as i64);
    tx.prepared(sql::CURSOR_PUT).and_then(|mut upsert| upsert.execute(place)).map_err(store_error)?;
    Ok(())
}

/// Rolls up click events that did not come through a spool (their rows are written already). They name no visitor.
pub(super) fn roll_up_external<'a>(
    tx: &Tx<'_>,
    clicks: impl IntoIterator<Item = (LinkId, UnixMillis, Option<&'a str>)>,
) -> Result<()> {
    let told: Vec<_> = clicks.into_iter().map(|(link_id, at, details)| ToldClick::new(link_id, at, details)).collect();
    if told.is_empty() {
        return Ok(());
    }
    tx.add_to_counter("clicks_external", told.len() as i64).map_err(store_error)?;
    let mut rolled = RollUp::default();
    for click in &told {
        rolled.add(&click.rolled());
    }
    roll_up::write(tx, rolled)
}

pub(super) fn ledger(conn: &Connection) -> Result<ClickLedger> {
    conn.prepared(sql::CLICK_LEDGER)
        .and_then(|mut query| {
            query.query_row([], |row| {
                let figure = |column| row.get::<_, i64>(column).map(|value| value.max(0) as u64);
                Ok(ClickLedger {
                    delivered: figure(0)?,
                    undecodable: figure(1)?,
                    unlinked: figure(2)?,
                    raw: figure(3)?,
                    purged: figure(4)?,
                    external: figure(5)?,
                    rolled_up: figure(6)?,
                    accepted_events: row.get(7)?,
                    accepted_roll_ups: row.get(8)?,
                })
            })
        })
        .map_err(store_error)
}

pub(super) fn purge(tx: &Tx<'_>, before: UnixMillis, rows_max: u32) -> Result<u64> {
    let sources: Vec<i64> = tx
        .prepared(sql::CLICKS_PURGE)
        .and_then(|mut delete| delete.query_map((before.0, rows_max), |row| row.get(0))?.collect())
        .map_err(store_error)?;
    let from_spools = sources.iter().filter(|source| **source == ClickSource::Spool as i64).count();
    if from_spools > 0 {
        tx.add_to_counter("clicks_purged", from_spools as i64).map_err(store_error)?;
    }
    Ok(sources.len() as u64)
}
