//! Creates that happen once: the links and what is remembered of them, in one transaction.

use knurl_core::{UnixMillis, event::NewEvent, link::NewLink};

use super::{
    connection::{Connection, Tx, get},
    creates::{Made, insert},
    events,
    failure::owner_held,
    sql,
};
use crate::{
    StoreError,
    once::{self, Candidate, Done, LinkFate, Once, Posted},
    store::Result,
};

pub(super) async fn create(tx: &Tx<'_>, once: &Once, candidates: &[Candidate], now: UnixMillis) -> Result<Done> {
    try_lock(tx, once).await?;
    // Asked only now: what the one before us has committed is seen.
    if let Some(done) = recall(tx, once).await? {
        return Ok(done);
    }
    let done = Done { at: now, fates: settle(tx, candidates, now).await?, is_replay: false };
    if done.is_worth_remembering() {
        put(tx, once, now, &once::write(&done.fates)?).await?;
        fail::fail_point!("store::created_once");
    }
    Ok(done)
}

/// As [`create`], of an event.
pub(super) async fn post(tx: &Tx<'_>, once: &Once, new: &NewEvent) -> Result<Posted> {
    try_lock(tx, once).await?;
    if let Some(row) = tx.row_opt(sql::ONCE_GET, &[&once.id.as_slice()]).await? {
        return once::read_event(once, UnixMillis(get(&row, 0)?), get(&row, 1)?, get(&row, 2)?, new);
    }
    let event = events::post(tx, new).await?;
    put(tx, once, event.at, &once::write_event(&event)).await?;
    Ok(Posted { event, is_replay: false })
}

async fn try_lock(tx: &Tx<'_>, once: &Once) -> Result<()> {
    let is_ours = get::<bool>(&tx.row(sql::ONCE_TRY_LOCK, &[&lock_of(once)]).await?, 0)?;
    if is_ours { Ok(()) } else { Err(StoreError::InFlight) }
}

async fn put(tx: &Tx<'_>, once: &Once, at: UnixMillis, fates: &str) -> Result<()> {
    let (id, fingerprint) = (once.id.as_slice(), once.fingerprint.as_slice());
    tx.execute(sql::ONCE_PUT, &[&id, &fingerprint, &at.0, &fates]).await.map(drop)
}

/// Two ids that begin alike wait for each other, which is once in a long while and does no harm.
fn lock_of(once: &Once) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = once.id;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

pub(super) async fn recall(connection: &Connection, once: &Once) -> Result<Option<Done>> {
    let Some(row) = connection.row_opt(sql::ONCE_GET, &[&once.id.as_slice()]).await? else {
        return Ok(None);
    };
    once::read(once, UnixMillis(get(&row, 0)?), get(&row, 1)?, get(&row, 2)?).map(Some)
}

/// All candidates by their first code, then those whose code was taken by their next one, until none is left or has another.
async fn settle(tx: &Tx<'_>, candidates: &[Candidate], now: UnixMillis) -> Result<Vec<LinkFate>> {
    let mut fates = vec![LinkFate::CodeTaken; candidates.len()];
    let mut links: Vec<(usize, NewLink)> = candidates.iter().map(|candidate| candidate.link.clone()).enumerate().collect();
    for round in 0.. {
        let made = insert(tx, links.iter().map(|(_, link)| (link, now))).await?;
        if made.iter().any(|made| made.is_owner_held) {
            return Err(owner_held());
        }
        let mut again = Vec::new();
        for ((at, link), made) in links.into_iter().zip(made) {
            fates[at] = fate(&link, &made);
            if fates[at] == LinkFate::CodeTaken
                && let Some(spare) = candidates[at].spare_codes.get(round)
            {
                again.push((at, NewLink { short_code: spare.clone(), ..link }));
            }
        }
        if again.is_empty() {
            break;
        }
        links = again;
    }
    Ok(fates)
}

fn fate(link: &NewLink, made: &Made) -> LinkFate {
    match made {
        Made { has_owner: false, .. } => LinkFate::NoSuchUser,
        Made { is_there: false, .. } => LinkFate::CodeTaken,
        Made { id, .. } => LinkFate::Created { id: *id, short_code: link.short_code.clone() },
    }
}

pub(super) async fn forget(connection: &Connection, before: UnixMillis, rows_max: u32) -> Result<u64> {
    connection.execute(sql::ONCES_SWEEP, &[&before.0, &i64::from(rows_max)]).await
}
