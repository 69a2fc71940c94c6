//! What is written into the copy: changed rows, and pages of the whole table that are compared with it. One transaction each, its progress
//! included.

use std::cmp::Ordering;

use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, params};

use super::{
    copy::{LinkCopy, Raw},
    file::{Progress, put_progress},
    follow::Changed,
};
use crate::{StoreError, sqlite::failure::store_error, store::Result};

const INSERT: &str = include_str!("queries/link_insert.sql");
const REMOVE: &str = include_str!("queries/link_remove.sql");
const REMOVE_OF_CODE: &str = include_str!("queries/link_remove_of_code.sql");
const BETWEEN: &str = include_str!("queries/links_between.sql");
pub(super) const BY_CODE: &str = include_str!("queries/link_by_code.sql");

/// Rows of the copy looked at in one go: where the database has lost a million, they are not removed in one transaction.
const ROWS_MAX: usize = 10_000;
const FIRST_VERSION: i64 = 1;

/// What became of the copy.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Codes that lead elsewhere now, or may.
    pub(super) codes: Vec<Changed>,
    /// Codes the copy had nothing of, and which nobody has changed since they were created.
    pub(super) new: Vec<Changed>,
    /// Links more (or less) that are not deleted.
    links: i64,
}

impl Written {
    /// Of rows that were written nowhere.
    pub(super) fn of(rows: Vec<LinkCopy>) -> Self {
        let codes = rows.into_iter().map(|row| Changed { code: row.short_code, version: row.version });
        Self { codes: codes.collect(), ..Self::default() }
    }

    fn came(&mut self, row: &Raw, is_new: bool) {
        self.links += i64::from(row.counts());
        let changed = Changed { code: row.short_code.clone(), version: row.version };
        if is_new && row.version == FIRST_VERSION { self.new.push(changed) } else { self.codes.push(changed) }
    }

    fn went(&mut self, row: Removed) {
        self.links -= i64::from(row.counted);
        self.codes.push(Changed { code: row.code, version: row.version.saturating_add(1) });
    }
}

/// Rows as the database has them now.
pub(super) fn rows(connection: &mut Connection, rows: &[LinkCopy], progress: &mut Progress) -> Result<Written> {
    transact(connection, progress, |connection, _| {
        let mut statements = Statements::of(connection)?;
        let mut written = Written::default();
        for row in rows {
            statements.put(&Raw::from(row), &mut written)?;
        }
        Ok(written)
    })
}

/// `rows` are all that the database has above the id `above` up to `to`, ascending: what else the copy has there is removed. Returns up to
/// which id that has been done; `settle` is told, for the progress.
pub(super) fn compare(
    connection: &mut Connection,
    (above, to): (i64, i64),
    rows: &[LinkCopy],
    progress: &mut Progress,
    settle: impl FnOnce(&mut Progress, i64),
) -> Result<Written> {
    transact(connection, progress, |connection, progress| {
        let mine = between(connection, above, to)?;
        let reached = if mine.len() < ROWS_MAX { to } else { mine.last().map_or(to, |last| last.id) };
        let theirs: Vec<Raw> = rows.iter().take_while(|row| row.id.0 <= reached).map(Raw::from).collect();
        let mut statements = Statements::of(connection)?;
        let mut written = Written::default();
        let (mut mine, mut theirs) = (mine.iter().peekable(), theirs.iter().peekable());
        loop {
            let order = match (mine.peek(), theirs.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(mine), Some(theirs)) => mine.id.cmp(&theirs.id),
            };
            let mine = if order.is_le() { mine.next() } else { None };
            let theirs = if order.is_ge() { theirs.next() } else { None };
            match (mine, theirs) {
                (Some(mine), Some(theirs)) if mine == theirs => {}
                (_, Some(theirs)) => statements.put(theirs, &mut written)?,
                (Some(mine), None) => statements.remove(mine.id, &mut written)?,
                (None, None) => {}
            }
        }
        settle(progress, reached);
        Ok(written)
    })
}

fn between(connection: &Connection, above: i64, to: i64) -> Result<Vec<Raw>> {
    let mut statement = connection.prepare_cached(BETWEEN).map_err(store_error)?;
    let rows = statement.query_map((above, to, ROWS_MAX as i64), Raw::read).map_err(store_error)?;
    rows.map(|row| row.map_err(store_error)?.ok_or_else(damaged)).collect()
}

/// Looks whether the rows above `above` are what was written and found by their codes. Returns where to go on; `None` at the end.
pub(super) fn check(connection: &Connection, above: i64, rows: usize) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached(BETWEEN).map_err(store_error)?;
    let mut by_code = connection.prepare_cached(BY_CODE).map_err(store_error)?;
    let mut checked = statement.query((above, i64::MAX, rows as i64)).map_err(store_error)?;
    let (mut count, mut last) = (0, None);
    while let Some(row) = checked.next().map_err(store_error)? {
        let row = Raw::read(row).map_err(store_error)?.ok_or_else(damaged)?;
        let found =
            by_code.query_row((&row.domain, &row.short_code), |found| found.get::<_, i64>(0)).optional().map_err(store_error)?;
        if row.twin == 0 && found != Some(row.id) {
            return Err(damaged());
        }
        (count, last) = (count + 1, Some(row.id));
    }
    Ok(last.filter(|_| count == rows))
}

pub(super) fn damaged() -> StoreError {
    StoreError::Corrupt("a row of the replica is not what was written".into())
}

fn transact(
    connection: &mut Connection,
    progress: &mut Progress,
    work: impl FnOnce(&Connection, &mut Progress) -> Result<Written>,
) -> Result<Written> {
    let mut next = progress.clone();
    let tx = connection.transaction().map_err(store_error)?;
    let written = work(&tx, &mut next)?;
    next.links = next.links.saturating_add_signed(written.links);
    put_progress(&tx, &next)?;
    tx.commit().map_err(store_error)?;
    *progress = next;
    Ok(written)
}

struct Statements<'c> {
    insert: CachedStatement<'c>,
    remove: CachedStatement<'c>,
    remove_of_code: CachedStatement<'c>,
}

impl<'c> Statements<'c> {
    fn of(connection: &'c Connection) -> Result<Self> {
        let prepare = |text| connection.prepare_cached(text).map_err(store_error);
        Ok(Self { insert: prepare(INSERT)?, remove: prepare(REMOVE)?, remove_of_code: prepare(REMOVE_OF_CODE)? })
    }

    fn put(&mut self, row: &Raw, written: &mut Written) -> Result<()> {
        let before = self.take(row.id)?;
        let mut is_new = before.is_none();
        if let Some(before) = before {
            written.links -= i64::from(before.counted);
            // The row itself is told of below.
            if before.code != row.short_code {
                written.went(Removed { counted: false, ..before });
            }
        }
        match self.insert(row) {
            // Another row still has the code: the database, where no two can, has given that one another code or removed it.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                let key = params![row.domain, row.short_code, row.twin];
                if let Some(gone) = self.remove_of_code.query_row(key, removed).optional().map_err(store_error)? {
                    written.went(gone);
                    is_new = false;
                }
                self.insert(row).map_err(store_error)?;
            }
            done => done.map_err(store_error)?,
        }
        written.came(row, is_new);
        Ok(())
    }

    fn remove(&mut self, id: i64, written: &mut Written) -> Result<()> {
        if let Some(gone) = self.take(id)? {
            written.went(gone);
        }
        Ok(())
    }

    fn take(&mut self, id: i64) -> Result<Option<Removed>> {
        self.remove.query_row([id], removed).optional().map_err(store_error)
    }

    fn insert(&mut self, row: &Raw) -> rusqlite::Result<()> {
        self.insert.execute(params![
            row.id,
            row.domain,
            row.short_code,
            row.twin,
            row.state,
            row.target,
            row.is_active,
            row.status,
            row.owner,
            row.expires_at,
            row.version,
            row.check_sum(),
        ])?;
        Ok(())
    }
}

/// A row that was there.
struct Removed {
    code: String,
    counted: bool,
    version: i64,
}

fn removed(row: &rusqlite::Row<'_>) -> rusqlite::Result<Removed> {
    Ok(Removed { code: row.get(0)?, counted: row.get::<_, i64>(1)? != Raw::DELETED, version: row.get(2)? })
}
