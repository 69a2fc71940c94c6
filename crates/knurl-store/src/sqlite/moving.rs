//! A SQLite database as an end of a move ([`Side`]).
//!
//! It is looked at through a connection of its own, so a look is a moment that a server beside it does not disturb; notes are told by a
//! number that grows with every commit, because there is one writer. Refused: to fill a file that somebody else has open.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rusqlite::{Connection, Statement, params_from_iter, types::ValueRef};

use super::{
    SqliteOptions,
    connection::{self, Access},
    failure::store_error,
    migrate::{self, MIGRATIONS},
    sql,
    sql::scripts,
};
use crate::{
    StoreError,
    moving::{
        End, Into, IntoState, Note, Out, OutState, Part, Side, Standing, StandingRow, Surveyed, agents,
        row::{Changes, Lead, Row, Span, Value},
    },
    store::Result,
};

#[derive(Debug)]
pub struct SqliteSide {
    path: PathBuf,
    options: SqliteOptions,
    conn: Connection,
    /// Open while it is looked at.
    look: Option<Connection>,
    /// The last note of this look, and of those before it.
    read: i64,
    forgotten: i64,
    _lock: Option<Lock>,
}

impl SqliteSide {
    /// Blocks, as does everything here: for a process that does nothing else.
    pub fn open(path: &Path, options: &SqliteOptions, end: End) -> Result<Self> {
        if matches!(end, End::From | End::Survey(Surveyed::From)) && !path.exists() {
            return Err(StoreError::Refused(format!("there is no database at {}", path.display())));
        }
        let lock = match end {
            End::From | End::To => Some(Lock::take(path)?),
            End::Survey(_) => None,
        };
        let mut conn = match end {
            End::To => {
                let conn = connection::open(path, options, Access::ReadWrite)?;
                migrate::migrate(&conn)?;
                conn
            }
            End::Survey(Surveyed::To) if !path.exists() => {
                let conn = Connection::open_in_memory().map_err(store_error)?;
                migrate::migrate(&conn)?;
                conn
            }
            End::From | End::Survey(_) => open_as_it_is(path, options, end)?,
        };
        // A server that commits one group after the other leaves short gaps, which the usual handler, who sleeps long, misses.
        conn.busy_handler(Some(wait_for_a_gap)).map_err(store_error)?;
        Ok(Self { path: path.to_owned(), options: options.clone(), conn, look: None, read: 0, forgotten: 0, _lock: lock })
    }

    fn reading(&self) -> &Connection {
        self.look.as_ref().unwrap_or(&self.conn)
    }

    /// All or nothing.
    fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.conn.execute_batch("begin immediate").map_err(store_error)?;
        let done = work(&self.conn).and_then(|done| {
            self.conn.execute_batch("commit").map_err(store_error)?;
            Ok(done)
        });
        if done.is_err() && !self.conn.is_autocommit() {
            // What went wrong is what matters; the connection is closed with the move.
            let _ = self.conn.execute_batch("rollback");
        }
        done
    }

    /// Somebody who has it open would go on writing into what is being filled.
    fn refuse_company(&mut self) -> Result<()> {
        self.conn.busy_timeout(COMPANY_TIME).map_err(store_error)?;
        let alone = set_journal_mode(&self.conn, "delete");
        set_journal_mode(&self.conn, "wal")?;
        self.conn.busy_handler(Some(wait_for_a_gap)).map_err(store_error)?;
        match alone.as_deref() {
            Ok("delete") => Ok(()),
            _ => Err(StoreError::Refused(format!("{} is in use: stop the server that has it open", self.place()))),
        }
    }
}

/// The mode it has then.
fn set_journal_mode(conn: &Connection, mode: &str) -> Result<String> {
    conn.query_row(&format!("pragma journal_mode = {mode}"), [], |row| row.get(0)).map_err(store_error)
}

/// Polls in a minute. Then something else is wrong than a busy server.
const GAP_POLLS_MAX: i32 = 60_000;
const GAP_POLL: Duration = Duration::from_millis(1);
/// For whoever has just closed the file.
const COMPANY_TIME: Duration = Duration::from_millis(500);

fn wait_for_a_gap(polls: i32) -> bool {
    thread::sleep(GAP_POLL);
    polls < GAP_POLLS_MAX
}

/// A server of this version must have been here: it knows what a fence is.
fn open_as_it_is(path: &Path, options: &SqliteOptions, end: End) -> Result<Connection> {
    let access = if matches!(end, End::Survey(_)) { Access::ReadOnly } else { Access::ReadWrite };
    let conn = connection::open(path, options, access)?;
    migrate::refuse_strangers(&conn)?;
    if migrate::schema_version(&conn)? < MIGRATIONS.len() as i64 {
        return Err(StoreError::Refused(format!("{} is an older knurl's: start this version on it first", path.display())));
    }
    Ok(conn)
}

#[async_trait::async_trait]
impl Side for SqliteSide {
    fn place(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }

    async fn standing(&mut self) -> Result<Standing> {
        standing(&self.conn)
    }

    async fn rows(&mut self, part: Part, span: Span, limit: usize) -> Result<Vec<Row>> {
        let conn = self.reading();
        let mut query = conn.prepare_cached(statements(part).rows).map_err(store_error)?;
        let mut rows = Vec::new();
        read_span(&mut query, part, span, limit, &mut rows)?;
        Ok(rows)
    }

    async fn rows_at(&mut self, part: Part, leads: &[Lead]) -> Result<Vec<Row>> {
        let conn = self.reading();
        let mut query = conn.prepare_cached(statements(part).rows).map_err(store_error)?;
        let mut rows = Vec::with_capacity(leads.len());
        for lead in leads {
            read_span(&mut query, part, Span::at(part, *lead), usize::MAX, &mut rows)?;
        }
        Ok(rows)
    }

    async fn counts(&mut self) -> Result<Vec<(Part, u64)>> {
        let counted: Vec<(i64, i64)> = self
            .reading()
            .prepare_cached(sql::MOVING_COUNTS)
            .and_then(|mut query| query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .map_err(store_error)?;
        Ok(counted.into_iter().filter_map(|(part, rows)| Some((Part::numbered(part)?, rows.max(0) as u64))).collect())
    }

    async fn stand_out(&mut self, out: Option<&Out>) -> Result<()> {
        let scripts: &[&str] = match out.map(|out| out.state) {
            None => &[scripts::UNFENCE, scripts::UNWATCH],
            Some(OutState::Copying) => &[scripts::UNFENCE, scripts::UNWATCH, scripts::WATCH],
            Some(OutState::Settling) => &[scripts::FENCE_CLICKS],
            Some(OutState::Fenced) => &[scripts::FENCE_WRITES],
            Some(OutState::Moved) => &[scripts::UNWATCH],
        };
        if matches!(out.map(|out| out.state), Some(OutState::Copying)) {
            self.forgotten = 0;
        }
        self.write(|conn| {
            for script in scripts {
                conn.execute_batch(script).map_err(store_error)?;
            }
            if !matches!(out.map(|out| out.state), Some(OutState::Settling | OutState::Fenced)) {
                conn.prepare_cached(sql::MOVING_NOTES_CLEAR).and_then(|mut clear| clear.execute([])).map_err(store_error)?;
            }
            match out {
                Some(out) => stand(conn, ("out", &out.id, &out.to, out.state.as_str())),
                None => leave(conn, "out"),
            }
        })
    }

    async fn begin_look(&mut self) -> Result<()> {
        let look = match self.look.take() {
            Some(look) => look,
            None => connection::open(&self.path, &self.options, Access::ReadOnly)?,
        };
        // A transaction takes its snapshot with its first read.
        look.execute_batch("begin").map_err(store_error)?;
        look.query_row("select count(*) from sqlite_schema", [], |_| Ok(())).map_err(store_error)?;
        self.look = Some(look);
        self.read = self.forgotten;
        Ok(())
    }

    async fn end_look(&mut self) -> Result<()> {
        // Dropped with its transaction where it cannot even end it.
        match self.look.take() {
            Some(look) => look.execute_batch("commit").map_err(store_error),
            None => Ok(()),
        }
    }

    async fn notes(&mut self, limit: usize) -> Result<Vec<Note>> {
        let found: Vec<(i64, Lead, i64)> = self
            .reading()
            .prepare_cached(sql::MOVING_NOTES)
            .and_then(|mut query| {
                let note = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, Lead { a: row.get(1)?, b: row.get(2)? }, row.get(3)?));
                query.query_map((self.read, limit as i64), note)?.collect()
            })
            .map_err(store_error)?;
        if let Some((.., last)) = found.last() {
            self.read = *last;
        }
        Ok(found.into_iter().filter_map(|(part, lead, mark)| Some(Note { part: Part::numbered(part)?, lead, mark })).collect())
    }

    /// They stay in the table until the move is over: a server beside us would take each of our writes for a stranger's change.
    async fn forget_notes(&mut self, _notes: &[Note]) -> Result<()> {
        self.forgotten = self.read;
        Ok(())
    }

    async fn stand_in(&mut self, into: &Into) -> Result<()> {
        if into.state == IntoState::Copying {
            self.refuse_company()?;
        }
        self.write(|conn| {
            conn.execute_batch(scripts::UNFENCE).map_err(store_error)?;
            conn.execute_batch(scripts::UNWATCH).map_err(store_error)?;
            leave(conn, "out")?;
            if into.state == IntoState::Live {
                conn.prepare_cached(sql::MOVING_RECOUNT).and_then(|mut recount| recount.execute([])).map_err(store_error)?;
            }
            stand(conn, ("in", &into.id, &into.from, into.state.as_str()))
        })
    }

    async fn change(&mut self, part: Part, changes: Changes) -> Result<Vec<Lead>> {
        let statements = statements(part);
        self.write(|conn| {
            // A table that is empty for a moment is taken for one that somebody has emptied.
            let goes_last = matches!(part, Part::Users | Part::Links | Part::Events);
            if !goes_last {
                remove(conn, part, &statements, &changes.gone)?;
            }
            if matches!(part, Part::Days | Part::Sequences) {
                // Agents are rows of another table; a sequence has no key.
                remove(conn, part, &statements, &changes.changed)?;
            }
            let rows = || changes.changed.iter().chain(&changes.new);
            let displaced = if part == Part::Users { displace(conn, rows())? } else { Vec::new() };
            let mut put = conn.prepare_cached(statements.put).map_err(store_error)?;
            let columns = if part == Part::Days { 0..6 } else { part.stored() };
            for row in rows() {
                put.execute(params_from_iter(row[columns.clone()].iter().map(Bound))).map_err(store_error)?;
                if part == Part::Days {
                    put_agents(conn, row)?;
                }
            }
            if goes_last {
                remove(conn, part, &statements, &changes.gone)?;
            }
            Ok(displaced)
        })
    }

    async fn close(&mut self) {
        self.look = None;
        // The last one to close a database checkpoints it; this one may not be the last.
        let _ = self.conn.execute_batch("pragma wal_checkpoint(truncate)");
    }
}

/// What a database is to moves.
pub(super) fn standing(conn: &Connection) -> Result<Standing> {
    let rows: Vec<StandingRow> = conn
        .prepare_cached(sql::MOVING_STANDING)
        .and_then(|mut query| query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?.collect())
        .map_err(store_error)?;
    let is_empty = conn.prepare_cached(sql::MOVING_EMPTY).and_then(|mut query| query.query_row([], |row| row.get(0)));
    Standing::read(rows, is_empty.map_err(store_error)?)
}

fn stand(conn: &Connection, row: (&str, &str, &str, &str)) -> Result<()> {
    conn.prepare_cached(sql::MOVING_STAND).and_then(|mut stand| stand.execute(row)).map_err(store_error)?;
    Ok(())
}

fn leave(conn: &Connection, role: &str) -> Result<()> {
    conn.prepare_cached(sql::MOVING_LEAVE).and_then(|mut leave| leave.execute([role])).map_err(store_error)?;
    Ok(())
}

struct Statements {
    rows: &'static str,
    put: &'static str,
    remove: &'static str,
}

fn statements(part: Part) -> Statements {
    let (rows, put, remove) = match part {
        Part::Users => (sql::MOVING_USERS_ROWS, sql::MOVING_USERS_PUT, sql::MOVING_USERS_REMOVE),
        Part::Links => (sql::MOVING_LINKS_ROWS, sql::MOVING_LINKS_PUT, sql::MOVING_LINKS_REMOVE),
        Part::Events => (sql::MOVING_EVENTS_ROWS, sql::MOVING_EVENTS_PUT, sql::MOVING_EVENTS_REMOVE),
        Part::Keys => (sql::MOVING_KEYS_ROWS, sql::MOVING_KEYS_PUT, sql::MOVING_KEYS_REMOVE),
        Part::Hours => (sql::MOVING_HOURS_ROWS, sql::MOVING_HOURS_PUT, sql::MOVING_HOURS_REMOVE),
        Part::Days => (sql::MOVING_DAYS_ROWS, sql::MOVING_DAYS_PUT, sql::MOVING_DAYS_REMOVE),
        Part::Totals => (sql::MOVING_TOTALS_ROWS, sql::MOVING_TOTALS_PUT, sql::MOVING_TOTALS_REMOVE),
        Part::Referrers => (sql::MOVING_REFERRERS_ROWS, sql::MOVING_REFERRERS_PUT, sql::MOVING_REFERRERS_REMOVE),
        Part::Onces => (sql::MOVING_ONCES_ROWS, sql::MOVING_ONCES_PUT, sql::MOVING_ONCES_REMOVE),
        Part::Salts => (sql::MOVING_SALTS_ROWS, sql::MOVING_SALTS_PUT, sql::MOVING_SALTS_REMOVE),
        Part::Cursors => (sql::MOVING_CURSORS_ROWS, sql::MOVING_CURSORS_PUT, sql::MOVING_CURSORS_REMOVE),
        Part::Counters => (sql::MOVING_COUNTERS_ROWS, sql::MOVING_COUNTERS_PUT, sql::MOVING_COUNTERS_REMOVE),
        Part::Sequences => (sql::MOVING_SEQUENCES_ROWS, sql::MOVING_SEQUENCES_PUT, sql::MOVING_SEQUENCES_REMOVE),
        Part::DeletedUsers => (sql::MOVING_DELETED_USERS_ROWS, sql::MOVING_DELETED_USERS_PUT, sql::MOVING_DELETED_USERS_REMOVE),
        Part::Acceptances => (sql::MOVING_ACCEPTANCES_ROWS, sql::MOVING_ACCEPTANCES_PUT, sql::MOVING_ACCEPTANCES_REMOVE),
    };
    Statements { rows, put, remove }
}

fn read_span(query: &mut Statement<'_>, part: Part, span: Span, limit: usize, rows: &mut Vec<Row>) -> Result<()> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut found = if part.leads() == 2 {
        query.query((span.after.a, span.after.b, span.to.a, span.to.b, limit))
    } else {
        query.query((span.after.a, span.to.a, limit))
    }
    .map_err(store_error)?;
    let columns = part.columns().len();
    while let Some(row) = found.next().map_err(store_error)? {
        let mut read = Vec::with_capacity(columns);
        for column in 0..columns {
            read.push(value(row.get_ref(column).map_err(store_error)?)?);
        }
        if part == Part::Days {
            let rows = read.pop();
            read.push(agents::from_rows(rows.as_ref())?);
        }
        rows.push(read);
    }
    Ok(())
}

fn value(value: ValueRef<'_>) -> Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Text(text) => match str::from_utf8(text) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => return Err(StoreError::Corrupt("a text is not UTF-8".into())),
        },
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        ValueRef::Real(_) => return Err(StoreError::Corrupt("a number that no column holds".into())),
    })
}

struct Bound<'v>(&'v Value);

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::ToSqlOutput::Borrowed;
        Ok(Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Int(value) => ValueRef::Integer(*value),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn remove(conn: &Connection, part: Part, statements: &Statements, rows: &[Row]) -> Result<()> {
    let mut remove = conn.prepare_cached(statements.remove).map_err(store_error)?;
    for row in rows {
        let identity = || params_from_iter(row[part.identity()].iter().map(Bound));
        remove.execute(identity()).map_err(store_error)?;
        if part == Part::Days {
            let gone = conn.prepare_cached(sql::MOVING_AGENTS_REMOVE).and_then(|mut remove| remove.execute(identity()));
            gone.map_err(store_error)?;
        }
    }
    Ok(())
}

fn displace<'r>(conn: &Connection, rows: impl Iterator<Item = &'r Row>) -> Result<Vec<Lead>> {
    let mut displace = conn.prepare_cached(sql::MOVING_USERS_DISPLACE).map_err(store_error)?;
    let mut displaced = Vec::new();
    for row in rows {
        let ids = displace.query_map(params_from_iter(row[3..7].iter().map(Bound)), |row| row.get(0)).map_err(store_error)?;
        for id in ids {
            displaced.push(Lead { a: id.map_err(store_error)?, b: 0 });
        }
    }
    Ok(displaced)
}

/// Of a day whose agents were removed.
fn put_agents(conn: &Connection, day: &Row) -> Result<()> {
    let mut put = conn.prepare_cached(sql::MOVING_AGENTS_PUT).map_err(store_error)?;
    for (dimension, value, total) in agents::to_rows(&day[6])? {
        put.execute((Bound(&day[0]), dimension, Bound(&day[1]), value, total)).map_err(store_error)?;
    }
    Ok(())
}

fn unavailable(error: io::Error) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

/// One move at a time: a file beside the database that is locked while one is at work.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    fn take(database: &Path) -> Result<Self> {
        let mut name = database.as_os_str().to_owned();
        name.push("-moving");
        let path = PathBuf::from(name);
        loop {
            let file = File::create(&path).map_err(unavailable)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::Refused(format!("another `knurl move` is at work on {}", database.display())));
                }
                Err(TryLockError::Error(error)) => return Err(unavailable(error)),
            }
            // Whoever had it before may have removed it between our two steps: then the next one would lock another file.
            let ours = file.metadata().map_err(unavailable)?.ino();
            if fs::metadata(&path).is_ok_and(|there| there.ino() == ours) {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is still locked. One that is left behind by a kill harms nobody.
        let _ = fs::remove_file(&self.path);
    }
}
