//! Creates that happen once: the links and what is remembered of them, in one transaction.

use knurl_core::{UnixMillis, event::NewEvent, link::NewLink};
use rusqlite::{Connection, OptionalExtension};

use super::{events, failure::store_error, links, prepared::Prepare, sql, tx::Tx};
use crate::{
    Conflict, Reference, StoreError,
    once::{self, Candidate, Done, LinkFate, Once, Posted},
    store::Result,
};

pub(super) fn create(tx: &Tx<'_>, once: &Once, candidates: &[Candidate], now: UnixMillis) -> Result<Done> {
    if let Some(done) = recall(tx, once)? {
        return Ok(done);
    }
    let fates = candidates.iter().map(|candidate| settle(tx, candidate, now)).collect::<Result<_>>()?;
    let done = Done { at: now, fates, is_replay: false };
    if done.is_worth_remembering() {
        put(tx, once, now, once::write(&done.fates)?)?;
        fail::fail_point!("store::created_once");
    }
    Ok(done)
}

/// As [`create`], of an event.
pub(super) fn post(tx: &Tx<'_>, once: &Once, new: &NewEvent) -> Result<Posted> {
    if let Some((at, fingerprint, id)) = remembered(tx, once)? {
        return once::read_event(once, UnixMillis(at), &fingerprint, &id, new);
    }
    let event = events::post(tx, new)?;
    put(tx, once, event.at, once::write_event(&event))?;
    Ok(Posted { event, is_replay: false })
}

fn put(tx: &Tx<'_>, once: &Once, at: UnixMillis, fates: String) -> Result<()> {
    let put = tx.prepared(sql::ONCE_PUT).and_then(|mut put| put.execute((once.id, once.fingerprint, at.0, fates)));
    put.map(drop).map_err(store_error)
}

/// The writer runs one write after the other, so nothing can come between this look and the leap.
pub(super) fn recall(conn: &Connection, once: &Once) -> Result<Option<Done>> {
    remembered(conn, once)?.map(|(at, fingerprint, fates)| once::read(once, UnixMillis(at), &fingerprint, &fates)).transpose()
}

fn remembered(conn: &Connection, once: &Once) -> Result<Option<(i64, [u8; 32], String)>> {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    conn.prepared(sql::ONCE_GET).and_then(|mut get| get.query_row([once.id], row).optional()).map_err(store_error)
}

/// A refused insert has changed nothing, so the next code can be tried. Any other error is the whole create's.
fn settle(tx: &Tx<'_>, candidate: &Candidate, now: UnixMillis) -> Result<LinkFate> {
    let mut refused = links::create(tx, &candidate.link, now);
    for code in &candidate.spare_codes {
        if !matches!(refused, Err(StoreError::Conflict(Conflict::ShortCode))) {
            break;
        }
        refused = links::create(tx, &NewLink { short_code: code.clone(), ..candidate.link.clone() }, now);
    }
    match refused {
        Ok(link) => Ok(LinkFate::Created { id: link.id, short_code: link.short_code }),
        Err(StoreError::Conflict(Conflict::ShortCode)) => Ok(LinkFate::CodeTaken),
        Err(StoreError::MissingReference(Reference::User)) => Ok(LinkFate::NoSuchUser),
        Err(error) => Err(error),
    }
}

pub(super) fn forget(tx: &Tx<'_>, before: UnixMillis, rows_max: u32) -> Result<u64> {
    let swept = tx.prepared(sql::ONCES_SWEEP).and_then(|mut sweep| sweep.execute((before.0, rows_max)));
    Ok(swept.map_err(store_error)? as u64)
}
