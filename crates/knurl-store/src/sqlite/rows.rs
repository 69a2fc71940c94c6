//! Many rows in one statement: its parameters are bound at once, its cursors opened once, its id sequence written once.
//!
//! Promised: rows go in in their order, under consecutive ids. The statement says `or fail`: where a row is refused, those before it
//! stay and those after it have not been looked at, without a journal of the statement's own, which would copy every page it touches.

use std::sync::LazyLock;

use rusqlite::{Connection, Statement, ToSql};

use super::prepared::Prepare;

/// How many rows one statement may hold: the largest that fits is used. The more rows the less each costs, with nothing left to gain
/// beyond this; each of the three is one prepared statement.
const SIZES: [usize; 3] = [64, 8, 1];

/// Statements of [`SIZES`] rows.
pub(super) type Texts = LazyLock<[String; SIZES.len()]>;

/// From a statement whose last line is the parameters of one row, `(?, …)`.
pub(super) fn texts(one_row: &'static str) -> [String; SIZES.len()] {
    let (head, row) = one_row.trim_end().rsplit_once('\n').unwrap_or(("", one_row));
    SIZES.map(|rows| format!("{head}\n{}", vec![row; rows].join(",")))
}

/// Binds the parameters of a row, from left to right.
pub(super) struct Binder<'s, 'c> {
    statement: &'s mut Statement<'c>,
    next: usize,
}

impl Binder<'_, '_> {
    pub(super) fn bind(&mut self, value: impl ToSql) -> rusqlite::Result<()> {
        self.next += 1;
        self.statement.raw_bind_parameter(self.next, value)
    }
}

/// How far one statement came: so many rows are in, under the last ids there are.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) inserted: usize,
    /// Of the row after them.
    pub(super) refused: Option<rusqlite::Error>,
}

/// Inserts the first of `rows` (one at least), as many as one statement takes.
pub(super) fn insert_some<T>(
    conn: &Connection,
    texts: &Texts,
    rows: &[T],
    mut bind: impl FnMut(&mut Binder<'_, '_>, &T) -> rusqlite::Result<()>,
) -> rusqlite::Result<Progress> {
    let size = SIZES.iter().position(|size| *size <= rows.len()).unwrap_or(SIZES.len() - 1);
    let mut statement = conn.prepared(&texts[size])?;
    let mut binder = Binder { statement: &mut statement, next: 0 };
    for row in &rows[..SIZES[size]] {
        bind(&mut binder, row)?;
    }
    Ok(match statement.raw_execute() {
        Ok(inserted) => Progress { inserted, refused: None },
        Err(error) => Progress { inserted: conn.changes() as usize, refused: Some(error) },
    })
}
