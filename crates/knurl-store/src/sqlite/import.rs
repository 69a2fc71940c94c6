//! Imports: rows kept to the letter, with their ids and times, and judged as they go in.
//!
//! The same row again (same id, and the same in what never changes) changes nothing, whatever became of it here since, and the difference is
//! noted. Refused: a row whose id is another row's, or is out of [`ID_MAX`]. Everything else is taken, and what is odd about it is noted.
//! Ids given afterwards come after the rows' own, and after those that the rows name.

use knurl_core::{Event, EventType, Link, LinkId, User, UserId, user::fold};
use rusqlite::OptionalExtension;

use super::{
    clicks, events as event_rows, events::ClickSource, failure::store_error, links as link_rows, prepared::Prepare, sql, tx::Tx,
    users as user_rows,
};
use crate::{
    store::{Imported, Numbered, Result, RowNote, RowNoteKind},
    there::{self, There},
};

/// Ids a JavaScript client can hold. Without a bound one row with the largest id would leave none for those created afterwards.
pub(super) const ID_MAX: i64 = (1 << 53) - 1;

pub(super) fn users(tx: &Tx<'_>, rows: &[Numbered<User>]) -> Result<Imported> {
    let mut imported = Imported::default();
    for Numbered { line, row: user } in rows {
        let mut notes = Notes { line: *line, imported: &mut imported };
        if notes.refuses(user.id.0) {
            continue;
        }
        if let Some(gone) = user_rows::gone(tx, user.id)? {
            notes.there(there::deleted_user(gone, user));
            continue;
        }
        let Some((username_twin, email_twin)) = insert_user(tx, user)? else {
            let there = user_rows::by_id(tx, user.id)?;
            notes.there(there.map_or(There::Another, |there| there::user(&there, user)));
            continue;
        };
        tx.count_users(1);
        notes.note(username_twin, "username", RowNoteKind::Duplicate);
        notes.note(email_twin, "email", RowNoteKind::Duplicate);
        notes.imported.inserted += 1;
    }
    Ok(imported)
}

/// Whether the name and the address were another's; `None` where the id is taken.
fn insert_user(tx: &Tx<'_>, user: &User) -> Result<Option<(bool, bool)>> {
    let (username_key, email_key) = (fold(&user.username), fold(&user.email));
    let taken: (bool, bool) = tx
        .prepared(sql::USER_NAMES_TAKEN)
        .and_then(|mut query| query.query_row((&username_key, &email_key), |row| Ok((row.get(0)?, row.get(1)?))))
        .map_err(store_error)?;
    let twin = |is_twin: bool| if is_twin { user.id.0 } else { 0 };
    let (username, email) = (&user.username, &user.email);
    let row = (user.id.0, username, email, username_key, email_key, user.created_at.0, twin(taken.0), twin(taken.1));
    let inserted = tx.prepared(sql::USER_IMPORT).and_then(|mut insert| insert.execute(row)).map_err(store_error)?;
    Ok((inserted > 0).then_some(taken))
}

pub(super) fn links(tx: &Tx<'_>, rows: &[Numbered<Link>]) -> Result<Imported> {
    let mut imported = Imported::default();
    for Numbered { line, row: link } in rows {
        let mut notes = Notes { line: *line, imported: &mut imported };
        if notes.refuses(link.id.0) {
            continue;
        }
        let Some(twin) = insert_link(tx, link)? else {
            notes.there(there::link(&link_kept(tx, link.id)?, link));
            continue;
        };
        if link.deleted_at.is_none() {
            tx.count_links(1);
        }
        notes.note(twin, "short_code", RowNoteKind::Duplicate);
        if let Some(owner) = link.owner {
            let since = user_created_at(tx, owner)?;
            notes.note(since.is_none(), "user_id", RowNoteKind::DanglingReference);
            notes.note(since.is_some_and(|since| link.created_at.0 < since), "created_at", RowNoteKind::OlderThanParent);
        }
        notes.imported.inserted += 1;
    }
    keep_named(tx, "users", rows.iter().filter_map(|numbered| numbered.row.owner).map(|owner| owner.0))?;
    Ok(imported)
}

/// Whether the code was another's; `None` where the id is taken.
fn insert_link(tx: &Tx<'_>, link: &Link) -> Result<Option<bool>> {
    let code_taken: bool = tx
        .prepared(sql::LINK_CODE_TAKEN)
        .and_then(|mut query| query.query_row((&link.domain, link.short_code.as_str()), |row| row.get(0)))
        .map_err(store_error)?;
    let row = (
        link.id.0,
        &link.domain,
        link.short_code.as_str(),
        link.target.as_str(),
        &link.title,
        link.is_active,
        link.status.as_u16(),
        link.owner.map(|owner| owner.0),
        link.expires_at.map(|at| at.0),
        link.created_at.0,
        link.updated_at.0,
        link.deleted_at.map(|at| at.0),
        link.version,
        if code_taken { link.id.0 } else { 0 },
    );
    let inserted = tx.prepared(sql::LINK_IMPORT).and_then(|mut insert| insert.execute(row)).map_err(store_error)?;
    Ok((inserted > 0).then_some(code_taken))
}

/// Deleted ones too.
fn link_kept(tx: &Tx<'_>, id: LinkId) -> Result<Link> {
    tx.prepared(sql::LINK_KEPT)
        .and_then(|mut query| query.query_row([id.0], |row| Ok(link_rows::link(row))))
        .map_err(store_error)?
}

pub(super) fn events(tx: &Tx<'_>, rows: &[Numbered<Event>]) -> Result<Imported> {
    let mut imported = Imported::default();
    let mut click_rows = Vec::new();
    for Numbered { line, row: event } in rows {
        let mut notes = Notes { line: *line, imported: &mut imported };
        if notes.refuses(event.id.0) {
            continue;
        }
        let is_click = event.event_type.as_str() == EventType::CLICK;
        if !insert_event(tx, event, is_click)? {
            let there = event_rows::by_id(tx, event.id)?;
            notes.there(if there.as_ref() == Some(event) { There::Same } else { There::Another });
            continue;
        }
        tx.count_events(1);
        if is_click {
            click_rows.push((event.link_id, event.at, event.details.as_deref()));
        }
        let link = link_of(tx, event)?;
        let since = link.map(|(since, _)| since);
        notes.note(since.is_none(), "url_id", RowNoteKind::DanglingReference);
        notes.note(since.is_some_and(|since| event.at.0 < since), "timestamp", RowNoteKind::OlderThanParent);
        let is_active = link.is_some_and(|(_, is_active)| is_active);
        notes.note(is_active && event.event_type.as_str() == EventType::DELETED, "event_type", RowNoteKind::LinkStillActive);
        if let Some(user) = event.user_id {
            notes.note(!user_rows::exists(tx, user)?, "user_id", RowNoteKind::DanglingReference);
        }
        notes.imported.inserted += 1;
    }
    clicks::roll_up_external(tx, click_rows)?;
    keep_named(tx, "links", rows.iter().map(|numbered| numbered.row.link_id.0))?;
    keep_named(tx, "users", rows.iter().filter_map(|numbered| numbered.row.user_id).map(|user| user.0))?;
    Ok(imported)
}

/// Whoever got one of these ids later would own what the rows that name it say.
fn keep_named(tx: &Tx<'_>, table: &str, ids: impl Iterator<Item = i64>) -> Result<()> {
    match ids.filter(in_range).max() {
        Some(last) => tx.keep_sequence(table, last).map_err(store_error),
        None => Ok(()),
    }
}

fn in_range(id: &i64) -> bool {
    (1..=ID_MAX).contains(id)
}

fn insert_event(tx: &Tx<'_>, event: &Event, is_click: bool) -> Result<bool> {
    let row = (
        event.id.0,
        event.link_id.0,
        event.user_id.map(|user| user.0),
        event.event_type.as_str(),
        event.at.0,
        &event.details,
        is_click.then_some(ClickSource::External as i64),
    );
    let inserted = tx.prepared(sql::EVENT_IMPORT).and_then(|mut insert| insert.execute(row)).map_err(store_error)?;
    Ok(inserted > 0)
}

fn user_created_at(tx: &Tx<'_>, user: UserId) -> Result<Option<i64>> {
    tx.prepared(sql::USER_CREATED_AT)
        .and_then(|mut query| query.query_row([user.0], |row| row.get(0)).optional())
        .map_err(store_error)
}

/// When its link was created, and whether it redirects.
fn link_of(tx: &Tx<'_>, event: &Event) -> Result<Option<(i64, bool)>> {
    tx.prepared(sql::LINK_IDENTITY)
        .and_then(|mut query| query.query_row([event.link_id.0], |row| Ok((row.get(2)?, row.get(3)?))).optional())
        .map_err(store_error)
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
