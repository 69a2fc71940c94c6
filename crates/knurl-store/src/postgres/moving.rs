//! A PostgreSQL database as an end of a move ([`Side`]).
//!
//! It is looked at in read-only transactions of one snapshot each. What is noted of changes is told by a number that grows when it is noted
//! again, because commits do not come in the order of any number here. While it is filled it is fenced as one that is left: only
//! transactions that say that they move rows in may write. For as long as a move is at work it is the only one, and old clicks stay.

use std::{sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use knurl_core::{EventType, UnixMillis};
use tokio_postgres::Row as Found;

use super::{
    PostgresOptions,
    clicks::count,
    connection::{Connection, Connector, Param, Tx, get},
    migrate::{self, MIGRATIONS},
    months::Months,
    pool::{Pool, Reach},
    sql::{self, Query, scripts},
    tx::Ending,
};
use crate::{
    StoreError,
    moving::{
        End, Into, IntoState, Kind, Note, Out, OutState, Part, Side, Standing, StandingRow, Surveyed, agents,
        row::{Changes, Lead, Row, Span, Value},
    },
    store::Result,
};

/// Look-ups on their way at a time.
const PIPELINED_MAX: usize = 256;
/// A page of rows may take a while to read, and to write.
const STATEMENT_TIME: Duration = Duration::from_secs(120);
/// Between two pages of a look the other side is written to.
const BEGIN_LOOK: &str = "begin isolation level repeatable read read only; set local idle_in_transaction_session_timeout = '120s'";
/// What follows writes rows that are moved in: the fence lets it through.
const MOVES_IN: &str = "set local knurl.moving = 'in'";
/// A fence waits for the writes that are under way, and meanwhile all others wait behind it.
const STAND_TRIES: u32 = 5;

#[derive(Debug)]
pub struct PostgresSide {
    place: String,
    pool: Pool,
    months: Months,
    reader: Connection,
    /// Holds the locks by which there is one move at a time.
    keeper: Option<Connection>,
    /// Nothing of ours is there, and a survey does not change that.
    is_blank: bool,
    /// Where the notes of this look have been read to.
    read: Option<Note>,
}

impl PostgresSide {
    /// `place` is for people: the URL without its password.
    pub async fn open(place: &str, options: &PostgresOptions, end: End) -> Result<Self> {
        let options = PostgresOptions { long_timeout: STATEMENT_TIME, start_away: false, ..options.clone() };
        let connector = Connector::new(&options)?;
        if end == End::To {
            migrate::migrate(&connector, &options).await?;
        }
        let reader = connector.connect(STATEMENT_TIME).await?;
        let version = migrate::schema_version(&reader).await?;
        let is_blank = version == 0 && end == End::Survey(Surveyed::To);
        if !is_blank && version < MIGRATIONS.len() as i64 {
            return Err(StoreError::Refused(format!(
                "{place} is not a knurl's, or an older one's: start this version on it first"
            )));
        }
        if version > MIGRATIONS.len() as i64 {
            return Err(StoreError::Refused(format!(
                "{place} is a newer knurl's, which has more to move than this one knows: move it with that one"
            )));
        }
        let keeper = match end {
            End::Survey(_) => None,
            End::From | End::To => Some(keep(&connector, place, end).await?),
        };
        let pool = Pool::start(&options, connector, Reach::Up);
        Ok(Self { place: place.to_owned(), pool, months: Months::default(), reader, keeper, is_blank, read: None })
    }

    async fn stand(
        &self,
        scripts: &[&'static str],
        clear_notes: bool,
        row: Option<[String; 4]>,
        leave: &'static str,
    ) -> Result<()> {
        let (scripts, row) = (Arc::<[&str]>::from(scripts), Arc::new(row));
        let mut tries = 0;
        loop {
            let (scripts, row) = (scripts.clone(), row.clone());
            let done = self
                .pool
                .write_much(Ending::Commit, move |tx| {
                    let (scripts, row) = (scripts.clone(), row.clone());
                    Box::pin(async move {
                        for script in scripts.iter() {
                            tx.batch(script).await?;
                        }
                        if clear_notes {
                            tx.execute(sql::MOVING_NOTES_CLEAR, &[]).await?;
                        }
                        if !leave.is_empty() {
                            tx.execute(sql::MOVING_LEAVE, &[&leave]).await?;
                        }
                        if let Some([role, id, other, state]) = &*row {
                            tx.execute(sql::MOVING_STAND, &[role, id, other, state]).await?;
                        }
                        Ok(())
                    })
                })
                .await;
            tries += 1;
            match done {
                Err(error) if error.is_transient() && self.pool.is_up() && tries < STAND_TRIES => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a state of the move could not be entered; tried again"
                    );
                }
                done => return done,
            }
        }
    }
}

async fn keep(connector: &Connector, place: &str, end: End) -> Result<Connection> {
    let keeper = connector.connect(STATEMENT_TIME).await?;
    if !get::<bool>(&keeper.row(sql::MOVING_LOCK, &[]).await?, 0)? {
        return Err(StoreError::Refused(format!("another `knurl move` is at work on {place}")));
    }
    if end == End::From && !get::<bool>(&keeper.row(sql::MOVING_RETENTION_LOCK, &[]).await?, 0)? {
        return Err(StoreError::Refused(format!("old clicks are just being removed from {place}: try again in a moment")));
    }
    Ok(keeper)
}

#[async_trait::async_trait]
impl Side for PostgresSide {
    fn place(&self) -> String {
        self.place.clone()
    }

    async fn standing(&mut self) -> Result<Standing> {
        if self.is_blank {
            return Ok(Standing { is_empty: true, ..Standing::default() });
        }
        standing(&self.reader).await
    }

    async fn rows(&mut self, part: Part, span: Span, limit: usize) -> Result<Vec<Row>> {
        read_span(&self.reader, part, span, limit).await
    }

    async fn rows_at(&mut self, part: Part, leads: &[Lead]) -> Result<Vec<Row>> {
        let mut rows = Vec::with_capacity(leads.len());
        self.reader.prepare(&[statements(part).rows]).await?;
        for leads in leads.chunks(PIPELINED_MAX) {
            let asked = leads.iter().map(|lead| read_span(&self.reader, part, Span::at(part, *lead), usize::MAX));
            rows.extend(try_join_all(asked).await?.into_iter().flatten());
        }
        Ok(rows)
    }

    async fn counts(&mut self) -> Result<Vec<(Part, u64)>> {
        let counted = self.reader.rows(sql::MOVING_COUNTS, &[]).await?;
        let counted = counted.iter().map(|row| Ok((get::<i64>(row, 0)?, get::<i64>(row, 1)?))).collect::<Result<Vec<_>>>()?;
        Ok(counted.into_iter().filter_map(|(part, rows)| Some((Part::numbered(part)?, rows.max(0) as u64))).collect())
    }

    async fn stand_out(&mut self, out: Option<&Out>) -> Result<()> {
        let state = out.map(|out| out.state);
        let scripts: &[&str] = match state {
            None => &[scripts::UNFENCE, scripts::UNWATCH],
            Some(OutState::Copying) => &[scripts::UNFENCE, scripts::UNWATCH, scripts::WATCH],
            Some(OutState::Settling) => &[scripts::FENCE_CLICKS],
            Some(OutState::Fenced) => &[scripts::FENCE_WRITES],
            Some(OutState::Moved) => &[scripts::UNWATCH],
        };
        let clear_notes = !matches!(state, Some(OutState::Settling | OutState::Fenced));
        let row = out.map(|out| ["out".to_owned(), out.id.clone(), out.to.clone(), out.state.as_str().to_owned()]);
        let leave = if row.is_none() { "out" } else { "" };
        self.stand(scripts, clear_notes, row, leave).await
    }

    async fn begin_look(&mut self) -> Result<()> {
        self.read = None;
        self.reader.batch(BEGIN_LOOK).await
    }

    async fn end_look(&mut self) -> Result<()> {
        self.reader.batch("commit").await
    }

    async fn notes(&mut self, limit: usize) -> Result<Vec<Note>> {
        let (part, lead) = self.read.map_or((0, Lead::FIRST), |note| (note.part as i64, note.lead));
        let found = self.reader.rows(sql::MOVING_NOTES, &[&part, &lead.a, &lead.b, &(limit as i64)]).await?;
        let mut notes = Vec::with_capacity(found.len());
        for row in &found {
            let part = Part::numbered(get(row, 0)?).ok_or_else(|| StoreError::Corrupt("a note of no part".into()))?;
            notes.push(Note { part, lead: Lead { a: get(row, 1)?, b: get(row, 2)? }, mark: get(row, 3)? });
        }
        self.read = notes.last().copied().or(self.read);
        Ok(notes)
    }

    async fn forget_notes(&mut self, notes: &[Note]) -> Result<()> {
        const TOGETHER: usize = 10_000;
        for notes in notes.chunks(TOGETHER) {
            let column = |of: fn(&Note) -> i64| Arc::<[i64]>::from(notes.iter().map(of).collect::<Vec<_>>());
            let columns =
                [column(|note| note.part as i64), column(|note| note.lead.a), column(|note| note.lead.b), column(|note| note.mark)];
            self.pool
                .write_much(Ending::Commit, move |tx| {
                    let columns = columns.clone();
                    Box::pin(async move {
                        let [part, a, b, mark] = columns.each_ref().map(|column| &**column);
                        tx.execute(sql::MOVING_NOTES_FORGET, &[&part, &a, &b, &mark]).await.map(drop)
                    })
                })
                .await?;
        }
        Ok(())
    }

    fn objection(&self, part: Part, row: &Row) -> Option<&'static str> {
        let holds_nul = |value: &Value| matches!(value, Value::Text(text) if text.contains('\0'));
        if part == Part::Events && !is_click(row) && matches!(row.get(3), Some(Value::Text(kind)) if kind == EventType::CLICK) {
            return Some("a click that came neither from a spool nor from a client");
        }
        row.iter().any(holds_nul).then_some("a text with a NUL, which PostgreSQL's texts do not have")
    }

    async fn stand_in(&mut self, into: &Into) -> Result<()> {
        let scripts: &[&str] = match into.state {
            IntoState::Copying => &[scripts::UNWATCH, scripts::FENCE_CLICKS, scripts::FENCE_WRITES],
            IntoState::Live => &[scripts::UNFENCE],
        };
        let row = ["in".to_owned(), into.id.clone(), into.from.clone(), into.state.as_str().to_owned()];
        self.stand(scripts, true, Some(row), "out").await
    }

    async fn change(&mut self, part: Part, changes: Changes) -> Result<Vec<Lead>> {
        if part == Part::Events {
            let times = changes.new.iter().chain(&changes.changed).filter(|row| is_click(row)).filter_map(|row| int(row, 4));
            self.months.cover(&self.pool, times.map(UnixMillis)).await;
        }
        let written = Arc::new(Written::of(part, changes)?);
        self.pool
            .write_much(Ending::Commit, move |tx| {
                let written = written.clone();
                Box::pin(async move { written.write(tx).await })
            })
            .await
    }

    async fn close(&mut self) {
        self.pool.close().await;
        // The server ends a session some time after it was left, and the way back may begin at once.
        if let Some(keeper) = self.keeper.take()
            && let Err(error) = keeper.batch("select pg_advisory_unlock_all()").await
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "the locks of the move end with its session");
        }
    }
}

/// What a database is to moves.
pub(super) async fn standing(connection: &Connection) -> Result<Standing> {
    let rows = connection.rows(sql::MOVING_STANDING, &[]).await?;
    let row = |row: &Found| -> Result<StandingRow> { Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?, get(row, 3)?)) };
    let rows = rows.iter().map(row).collect::<Result<Vec<_>>>()?;
    Standing::read(rows, get(&connection.row(sql::MOVING_EMPTY, &[]).await?, 0)?)
}

struct Statements {
    rows: Query,
    put: Query,
    remove: Query,
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

async fn read_span(connection: &Connection, part: Part, span: Span, limit: usize) -> Result<Vec<Row>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let Span { after, to } = span;
    let one: [Param<'_>; 3] = [&after.a, &to.a, &limit];
    let two: [Param<'_>; 5] = [&after.a, &after.b, &to.a, &to.b, &limit];
    let params: &[Param<'_>] = if part.leads() == 2 { &two } else { &one };
    let found = connection.rows(statements(part).rows, params).await?;
    found.iter().map(|row| read(part, row)).collect()
}

fn read(part: Part, found: &Found) -> Result<Row> {
    let mut row = Vec::with_capacity(part.columns().len());
    for (column, kind) in part.columns().iter().enumerate() {
        row.push(match kind {
            Kind::Int => get::<Option<i64>>(found, column)?.map_or(Value::Null, Value::Int),
            Kind::Text => get::<Option<String>>(found, column)?.map_or(Value::Null, Value::Text),
            Kind::Bytes => get::<Option<Vec<u8>>>(found, column)?.map_or(Value::Null, Value::Bytes),
        });
    }
    if part == Part::Days
        && let Some(document) = row.last_mut()
    {
        *document = agents::from_document(document)?;
    }
    Ok(row)
}

/// Statements of one transaction, as often as it has to run.
struct Written {
    part: Part,
    steps: Vec<(Query, Columns)>,
    /// Of users: the names and addresses that are to be free.
    freed: Option<Columns>,
    /// Clicks that are new: their total is counted by whoever writes them.
    clicks: i64,
}

impl Written {
    fn of(part: Part, changes: Changes) -> Result<Self> {
        let statements = statements(part);
        let Changes { gone, new, changed } = changes;
        let clicks = new.iter().filter(|row| is_click(row)).count() as i64;
        let rows: Vec<Row> = new.into_iter().chain(changed).collect();
        let mut steps = Vec::new();
        let mut freed = None;
        if part == Part::Events {
            let (clicks_gone, gone): (Vec<_>, Vec<_>) = gone.into_iter().partition(is_click);
            let (clicks, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_click);
            steps.push((statements.put, Columns::of(part, &others, &[0, 1, 2, 3, 4, 5])));
            steps.push((sql::MOVING_CLICKS_PUT, Columns::of(part, &clicks, &[0, 1, 2, 4, 5, 6])));
            // Last: a table that is empty for a moment is taken for one that somebody has emptied.
            steps.push((statements.remove, Columns::of(part, &gone, &[0])));
            steps.push((sql::MOVING_CLICKS_REMOVE, Columns::of(part, &clicks_gone, &[0])));
        } else {
            let all = |range: std::ops::Range<usize>| range.collect::<Vec<_>>();
            steps.push((statements.remove, Columns::of(part, &gone, &all(part.identity()))));
            if part == Part::Users {
                freed = Some(Columns::of(part, &rows, &[3, 4, 5, 6]));
            }
            steps.push((statements.put, Columns::of(part, &rows, &all(part.stored()))));
        }
        if matches!(part, Part::Users | Part::Links) {
            // As with events.
            steps.reverse();
        }
        steps.retain(|(_, columns)| columns.rows > 0);
        Ok(Self {
            part,
            steps,
            freed: freed.filter(|columns| columns.rows > 0),
            clicks: if part == Part::Events { clicks } else { 0 },
        })
    }

    async fn write(&self, tx: &Tx<'_>) -> Result<Vec<Lead>> {
        tx.batch(MOVES_IN).await?;
        let mut displaced = Vec::new();
        for (query, columns) in &self.steps {
            if let Some(freed) = self.freed.as_ref().filter(|_| query.name == sql::MOVING_USERS_PUT.name) {
                for row in tx.rows(sql::MOVING_USERS_DISPLACE, &freed.params()).await? {
                    displaced.push(Lead { a: get(&row, 0)?, b: 0 });
                }
            }
            tx.execute(*query, &columns.params()).await?;
        }
        if self.part == Part::Events {
            count(tx, "clicks", self.clicks).await?;
        }
        Ok(displaced)
    }
}

/// The rows of a statement, column by column.
#[derive(Debug)]
struct Columns {
    rows: usize,
    columns: Vec<Column>,
}

#[derive(Debug)]
enum Column {
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Columns {
    fn of(part: Part, rows: &[Row], columns: &[usize]) -> Self {
        let column = |at: usize| match part.columns()[at] {
            Kind::Int => Column::Ints(rows.iter().map(|row| int(row, at)).collect()),
            Kind::Text => Column::Texts(rows.iter().map(|row| text(row, at)).collect()),
            Kind::Bytes => Column::Bytes(rows.iter().map(|row| bytes(row, at)).collect()),
        };
        Self { rows: rows.len(), columns: columns.iter().map(|at| column(*at)).collect() }
    }

    fn params(&self) -> Vec<Param<'_>> {
        self.columns.iter().map(Column::param).collect()
    }
}

impl Column {
    fn param(&self) -> Param<'_> {
        match self {
            Self::Ints(values) => values,
            Self::Texts(values) => values,
            Self::Bytes(values) => values,
        }
    }
}

fn int(row: &Row, at: usize) -> Option<i64> {
    match row.get(at) {
        Some(Value::Int(value)) => Some(*value),
        _ => None,
    }
}

fn text(row: &Row, at: usize) -> Option<String> {
    match row.get(at) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

fn bytes(row: &Row, at: usize) -> Option<Vec<u8>> {
    match row.get(at) {
        Some(Value::Bytes(bytes)) => Some(bytes.clone()),
        _ => None,
    }
}

/// Of a row of [`Part::Events`].
fn is_click(row: &Row) -> bool {
    matches!(row.get(6), Some(Value::Int(_)))
}
