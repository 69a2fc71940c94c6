//! Imports: rows kept to the letter, with their ids and times, and judged as they go in; a chunk is a handful of statements.
//!
//! The same row again (same id, and the same in what never changes) changes nothing, whatever became of it here since, and the difference is
//! noted. Refused: a row whose id is another row's, or is out of [`ID_MAX`]. Everything else is taken, and what is odd about it is noted.
//! Somebody who takes an id or a code between our look and our insert makes the chunk run again.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use knurl_core::{Event, EventType, Link, UnixMillis, User, user::fold};

use super::{
    clicks,
    connection::{Tx, get},
    events::event,
    failure::taken_meanwhile,
    links::link as link_row,
    pool::Pool,
    sql,
    tx::no_codes,
    users::user,
};
use crate::{
    store::{ImportMode, Imported, Numbered, Result, RowNote, RowNoteKind},
    there::{self, There},
};

/// Ids a JavaScript client can hold. Without a bound one row with the largest id would leave none for those created afterwards.
const ID_MAX: i64 = (1 << 53) - 1;

/// Whose ids a chunk has, or names.
#[derive(Clone, Copy)]
pub(super) enum IdsOf {
    Users,
    Links,
}

/// Before the chunk, in a transaction of its own, so that those who create wait for this alone: ids given from now on come after the
/// chunk's own, and after those it names. Whoever got one of these later would own what the rows that name it say.
pub(super) async fn move_ids(pool: &Pool, of: IdsOf, ids: impl Iterator<Item = i64>) -> Result<()> {
    let Some(last) = ids.filter(in_range).max() else {
        return Ok(());
    };
    let (behind, lock, past) = match of {
        IdsOf::Users => (sql::USER_IDS_BEHIND, sql::USER_IDS_LOCK, sql::USER_IDS_PAST),
        IdsOf::Links => (sql::LINK_IDS_BEHIND, sql::LINK_IDS_LOCK, sql::LINK_IDS_PAST),
    };
    pool.edit(no_codes, move |tx| {
        Box::pin(async move {
            // Nobody waits where there is nothing to move: most chunks name what an earlier one has brought.
            if tx.row_opt(behind, &[&last]).await?.is_none() {
                return Ok(());
            }
            tx.execute(lock, &[]).await?;
            tx.rows(past, &[&last]).await.map(drop)
        })
    })
    .await
}

fn in_range(id: &i64) -> bool {
    (1..=ID_MAX).contains(id)
}

pub(super) async fn users(tx: &Tx<'_>, rows: &[Numbered<User>]) -> Result<Imported> {
    tx.execute(sql::USER_NAMES_LOCK, &[]).await?;
    let mut imported = Imported::default();
    let there = tx.rows(sql::USERS_BY_IDS, &[&ids(rows, |user| user.id.0)]).await?;
    let mut there = there.iter().map(user).map(|user| user.map(|user| (user.id.0, user))).collect::<Result<HashMap<_, _>>>()?;
    let gone = users_gone(tx, rows).await?;
    let mut taken = names_taken(tx, rows).await?;
    let mut new = Vec::new();
    for Numbered { line, row: user } in rows {
        let mut notes = Notes { line: *line, imported: &mut imported };
        if notes.refuses(user.id.0) {
            continue;
        }
        if let Some(gone) = gone.get(&user.id.0) {
            notes.there(there::deleted_user(*gone, user));
            continue;
        }
        match there.entry(user.id.0) {
            Entry::Occupied(there) => {
                notes.there(there::user(there.get(), user));
                continue;
            }
            Entry::Vacant(vacant) => drop(vacant.insert(user.clone())),
        }
        let username_twin = !taken.insert((0, fold(&user.username)));
        let email_twin = !taken.insert((1, fold(&user.email)));
        notes.note(username_twin, "username", RowNoteKind::Duplicate);
        notes.note(email_twin, "email", RowNoteKind::Duplicate);
        notes.imported.inserted += 1;
        new.push((user, username_twin, email_twin));
    }
    insert_users(tx, &new).await?;
    Ok(imported)
}

/// When the users that had these ids, and were deleted, had been created.
async fn users_gone(tx: &Tx<'_>, rows: &[Numbered<User>]) -> Result<HashMap<i64, UnixMillis>> {
    let gone = tx.rows(sql::DELETED_USER_CREATED_AT, &[&ids(rows, |user| user.id.0)]).await?;
    gone.iter().map(|row| Ok((get(row, 0)?, UnixMillis(get(row, 1)?)))).collect()
}

/// (0, username_key) and (1, email_key) of those that somebody holds.
async fn names_taken(tx: &Tx<'_>, rows: &[Numbered<User>]) -> Result<HashSet<(i32, String)>> {
    let usernames: Vec<String> = rows.iter().map(|numbered| fold(&numbered.row.username)).collect();
    let emails: Vec<String> = rows.iter().map(|numbered| fold(&numbered.row.email)).collect();
    let taken = tx.rows(sql::USER_NAMES_TAKEN, &[&usernames, &emails]).await?;
    taken.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}

async fn insert_users(tx: &Tx<'_>, new: &[(&User, bool, bool)]) -> Result<()> {
    let ids: Vec<i64> = new.iter().map(|(user, ..)| user.id.0).collect();
    let usernames: Vec<&str> = new.iter().map(|(user, ..)| user.username.as_str()).collect();
    let emails: Vec<&str> = new.iter().map(|(user, ..)| user.email.as_str()).collect();
    let username_keys: Vec<String> = usernames.iter().map(|name| fold(name)).collect();
    let email_keys: Vec<String> = emails.iter().map(|name| fold(name)).collect();
    let created_at: Vec<i64> = new.iter().map(|(user, ..)| user.created_at.0).collect();
    let username_twins: Vec<i64> = new.iter().map(|(user, is_twin, _)| if *is_twin { user.id.0 } else { 0 }).collect();
    let email_twins: Vec<i64> = new.iter().map(|(user, _, is_twin)| if *is_twin { user.id.0 } else { 0 }).collect();
    let inserted = tx
        .execute(
            sql::USER_IMPORT,
            &[&ids, &usernames, &emails, &username_keys, &email_keys, &created_at, &username_twins, &email_twins],
        )
        .await?;
    all_of(inserted, new.len())
}

pub(super) async fn links(tx: &Tx<'_>, rows: &[Numbered<Link>]) -> Result<Imported> {
    let mut imported = Imported::default();
    let there = tx.rows(sql::LINKS_KEPT, &[&ids(rows, |link| link.id.0)]).await?;
    let mut there = there.iter().map(link_row).map(|link| link.map(|link| (link.id.0, link))).collect::<Result<HashMap<_, _>>>()?;
    let mut taken = codes_taken(tx, rows).await?;
    let since = users_since(tx, rows.iter().filter_map(|numbered| numbered.row.owner).map(|owner| owner.0)).await?;
    let mut new = Vec::new();
    for Numbered { line, row: link } in rows {
        let mut notes = Notes { line: *line, imported: &mut imported };
        if notes.refuses(link.id.0) {
            continue;
        }
        match there.entry(link.id.0) {
            Entry::Occupied(there) => {
                notes.there(there::link(there.get(), link));
                continue;
            }
            Entry::Vacant(vacant) => drop(vacant.insert(link.clone())),
        }
        let twin = !taken.insert((link.domain.clone(), link.short_code.as_str().to_owned()));
        notes.note(twin, "short_code", RowNoteKind::Duplicate);
        if let Some(owner) = link.owner {
            let since = since.get(&owner.0);
            notes.note(since.is_none(), "user_id", RowNoteKind::DanglingReference);
            notes.note(since.is_some_and(|since| link.created_at.0 < *since), "created_at", RowNoteKind::OlderThanParent);
        }
        notes.imported.inserted += 1;
        new.push((link, twin));
    }
    insert_links(tx, &new).await?;
    Ok(imported)
}

/// When each of these links was created, and whether it redirects; deleted ones too. What is not there is not in it.
async fn links_named(tx: &Tx<'_>, ids: &[i64]) -> Result<HashMap<i64, (i64, bool)>> {
    let named = tx.rows(sql::LINK_IDENTITY, &[&ids]).await?;
    named.iter().map(|row| Ok((get(row, 0)?, (get(row, 3)?, get(row, 4)?)))).collect()
}

async fn codes_taken(tx: &Tx<'_>, rows: &[Numbered<Link>]) -> Result<HashSet<(String, String)>> {
    let domains: Vec<&str> = rows.iter().map(|numbered| numbered.row.domain.as_str()).collect();
    let codes: Vec<&str> = rows.iter().map(|numbered| numbered.row.short_code.as_str()).collect();
    let taken = tx.rows(sql::LINK_CODE_TAKEN, &[&domains, &codes]).await?;
    taken.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}

/// When each of these users was created; who is not there is not in it.
async fn users_since(tx: &Tx<'_>, ids: impl Iterator<Item = i64>) -> Result<HashMap<i64, i64>> {
    let ids: Vec<i64> = ids.collect();
    let since = tx.rows(sql::USER_CREATED_AT, &[&ids]).await?;
    since.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}

async fn insert_links(tx: &Tx<'_>, new: &[(&Link, bool)]) -> Result<()> {
    fn column<'a, T>(new: &[(&'a Link, bool)], of: impl Fn(&'a Link) -> T) -> Vec<T> {
        new.iter().map(|(link, _)| of(link)).collect()
    }
    let twins: Vec<i64> = new.iter().map(|(link, is_twin)| if *is_twin { link.id.0 } else { 0 }).collect();
    let inserted = tx
        .execute(
            sql::LINK_IMPORT,
            &[
                &column(new, |link| link.id.0),
                &column(new, |link| link.domain.as_str()),
                &column(new, |link| link.short_code.as_str()),
                &column(new, |link| link.target.as_str()),
                &column(new, |link| link.title.as_deref()),
                &column(new, |link| link.is_active),
                &column(new, |link| link.status.as_u16() as i16),
                &column(new, |link| link.owner.map(|owner| owner.0)),
                &column(new, |link| link.expires_at.map(|at| at.0)),
                &column(new, |link| link.created_at.0),
                &column(new, |link| link.updated_at.0),
                &column(new, |link| link.deleted_at.map(|at| at.0)),
                &column(new, |link| link.version),
                &twins,
            ],
        )
        .await?;
    all_of(inserted, new.len())
}

pub(super) async fn events(tx: &Tx<'_>, rows: &[Numbered<Event>], mode: ImportMode) -> Result<Imported> {
    let mut imported = Imported::default();
    let ids = ids(rows, |event| event.id.0);
    keep_ids_to_ourselves(tx, &ids, mode).await?;
    let there = tx.rows(sql::EVENTS_BY_IDS, &[&ids]).await?;
    let mut there =
        there.iter().map(event).map(|event| event.map(|event| (event.id.0, event))).collect::<Result<HashMap<_, _>>>()?;
    let of_links: Vec<i64> = rows.iter().map(|numbered| numbered.row.link_id.0).collect();
    let links = links_named(tx, &of_links).await?;
    let users = users_since(tx, rows.iter().filter_map(|numbered| numbered.row.user_id).map(|user| user.0)).await?;
    let (mut others, mut click_events) = (Vec::new(), Vec::new());
    for Numbered { line, row: event } in rows {
        let mut notes = Notes { line: *line, imported: &mut imported };
        if notes.refuses(event.id.0) {
            continue;
        }
        match there.entry(event.id.0) {
            Entry::Occupied(there) => {
                notes.there(if there.get() == event { There::Same } else { There::Another });
                continue;
            }
            Entry::Vacant(vacant) => drop(vacant.insert(event.clone())),
        }
        let link = links.get(&event.link_id.0).copied();
        let since = link.map(|(since, _)| since);
        notes.note(since.is_none(), "url_id", RowNoteKind::DanglingReference);
        notes.note(since.is_some_and(|since| event.at.0 < since), "timestamp", RowNoteKind::OlderThanParent);
        let is_active = link.is_some_and(|(_, is_active)| is_active);
        notes.note(is_active && event.event_type.as_str() == EventType::DELETED, "event_type", RowNoteKind::LinkStillActive);
        notes.note(event.user_id.is_some_and(|user| !users.contains_key(&user.0)), "user_id", RowNoteKind::DanglingReference);
        notes.imported.inserted += 1;
        if event.event_type.as_str() == EventType::CLICK { click_events.push(event) } else { others.push(event) }
    }
    insert_events(tx, &others).await?;
    insert_clicks(tx, &click_events).await?;
    Ok(imported)
}

/// From here to the end of the transaction nobody else writes an event with one of these ids.
async fn keep_ids_to_ourselves(tx: &Tx<'_>, ids: &[i64], mode: ImportMode) -> Result<()> {
    tx.execute(sql::EVENT_IMPORTS_LOCK, &[]).await?;
    let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else {
        return Ok(());
    };
    let given: i64 = match mode {
        ImportMode::Commit => get(&tx.row(sql::EVENT_IDS_PAST, &[last]).await?, 0)?,
        // What is undone must not move the sequence, which is not undone.
        ImportMode::DryRun => i64::MAX,
    };
    if *first <= given {
        tx.execute(sql::EVENT_IDS_LOCK, &[]).await?;
    }
    Ok(())
}

async fn insert_events(tx: &Tx<'_>, new: &[&Event]) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let types: Vec<&str> = new.iter().map(|event| event.event_type.as_str()).collect();
    let inserted = tx
        .execute(
            sql::EVENT_IMPORT,
            &[
                &event_column(new, |event| event.id.0),
                &event_column(new, |event| event.link_id.0),
                &event_column(new, |event| event.user_id.map(|user| user.0)),
                &types,
                &event_column(new, |event| event.at.0),
                &event_column(new, |event| event.details.as_deref()),
            ],
        )
        .await?;
    all_of(inserted, new.len())
}

async fn insert_clicks(tx: &Tx<'_>, new: &[&Event]) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    tx.execute(
        sql::CLICK_IMPORT,
        &[
            &event_column(new, |event| event.id.0),
            &event_column(new, |event| event.link_id.0),
            &event_column(new, |event| event.user_id.map(|user| user.0)),
            &event_column(new, |event| event.at.0),
            &event_column(new, |event| event.details.as_deref()),
        ],
    )
    .await?;
    clicks::roll_up_external(tx, new.iter().map(|event| (event.link_id, event.at, event.details.as_deref()))).await
}

fn event_column<'a, T>(new: &[&'a Event], of: impl Fn(&'a Event) -> T) -> Vec<T> {
    new.iter().map(|event| of(event)).collect()
}

/// Those that are in range: the others are refused anyway.
fn ids<T>(rows: &[Numbered<T>], id: impl Fn(&T) -> i64) -> Vec<i64> {
    rows.iter().map(|numbered| id(&numbered.row)).filter(in_range).collect()
}

fn all_of(inserted: u64, asked: usize) -> Result<()> {
    if inserted == asked as u64 { Ok(()) } else { Err(taken_meanwhile()) }
}

/// What is said about one row.
struct Notes<'a> {
    line: u64,
    imported: &'a mut Imported,
}

impl Notes<'_> {
    fn note(&mut self, applies: bool, field: &'static str, kind: RowNoteKind) {
        if applies {
            self.imported.notes.push(RowNote { line: self.line, field, kind });
        }
    }

    fn refuses(&mut self, id: i64) -> bool {
        let out = !in_range(&id);
        self.note(out, "id", RowNoteKind::IdOutOfRange);
        out
    }

    fn there(&mut self, there: There) {
        match there {
            There::Same => self.note(true, "id", RowNoteKind::AlreadyThere),
            There::Changed(fields) => fields.into_iter().for_each(|field| self.note(true, field, RowNoteKind::LeftAsIs)),
            There::Deleted => self.note(true, "id", RowNoteKind::StaysDeleted),
            There::Another => self.note(true, "id", RowNoteKind::IdTaken),
        }
    }
}
