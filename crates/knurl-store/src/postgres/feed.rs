//! What has changed in the links, read from a connection of its own, which also hears the server's notifications.
//!
//! A look is one read-only transaction of one snapshot: it sees a moment, and the number of links at that moment is comparable. Snapshots
//! and not clocks or sequences say what is new (see [`crate::replica::position`]), so no commit is missed however late it comes. A look whose
//! connection says nothing is given up as soon as a server that says nothing is: the next one has a connection of its own.
//!
//! Not seen: changes made with triggers turned off (`session_replication_role = replica`): they carry no transaction of their own.

use std::sync::Arc;

use futures_util::future;
use tokio::{sync::Notify, time::timeout};
use tokio_postgres::Row;

use super::{
    connection::{Connection, get},
    failure::unavailable,
    pool::Pool,
    sql,
};
use crate::{
    StoreError,
    replica::{
        LinkCopy, Raw,
        follow::{Head, Source},
        position::{Position, Range},
    },
    store::Result,
};

/// Where a link was edited, disabled or deleted (see the triggers); creates are found by looking.
const CHANNEL: &str = "listen knurl_links";
const BEGIN: &str = "begin isolation level repeatable read read only";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    ByNotifications,
    /// As where a pooler or a proxy loses them.
    Never,
}

/// Its connection is made when it is needed and dropped with the first error; a server that is away is an error at once.
#[derive(Debug)]
pub struct Feed {
    pool: Arc<Pool>,
    woken: Woken,
    heard: Arc<Notify>,
    connection: Option<Connection>,
    /// A look began and has not ended: its transaction is open.
    looking: bool,
}

impl Feed {
    pub(super) fn new(pool: Arc<Pool>, woken: Woken) -> Self {
        Self { pool, woken, heard: Arc::default(), connection: None, looking: false }
    }

    /// Rung when the server says that links have changed.
    pub fn heard(&self) -> Arc<Notify> {
        self.heard.clone()
    }

    async fn connected(&mut self) -> Result<Connection> {
        if let Some(connection) = self.connection.take().filter(Connection::is_usable) {
            return Ok(connection);
        }
        let connection = self.pool.own(&self.heard).await?;
        if self.woken == Woken::ByNotifications {
            connection.batch(CHANNEL).await?;
        }
        connection.prepare(&[sql::FEED_HEAD]).await?;
        Ok(connection)
    }

    /// Taken for the time of a call: a call that fails, or is left, takes it with it.
    fn taken(&mut self) -> Result<Connection> {
        self.connection.take().ok_or_else(|| StoreError::Internal("no look has begun".into()))
    }
}

impl Source for Feed {
    async fn look(&mut self) -> Result<Head> {
        if std::mem::replace(&mut self.looking, true) {
            self.connection = None;
        }
        let connection = self.connected().await?;
        // Both are on their way before the first answer comes.
        let both = future::join(connection.batch(BEGIN), connection.row(sql::FEED_HEAD, &[]));
        let (begun, row) = timeout(self.pool.hung_after(), both).await.map_err(|_| unavailable("a look that is not answered"))?;
        begun?;
        let head = head(&row?)?;
        self.connection = Some(connection);
        Ok(head)
    }

    async fn changes(&mut self, range: Range, limit: u32) -> Result<Vec<(u64, LinkCopy)>> {
        let connection = self.taken()?;
        let (xid, id) = range.above;
        let rows =
            connection.rows(sql::FEED_CHANGES, &[&xid.to_string(), &id, &range.below.to_string(), &i64::from(limit)]).await?;
        self.connection = Some(connection);
        rows.iter().map(|row| Ok((number(get(row, 11)?)?, copy(row)?))).collect()
    }

    async fn looked(&mut self) -> Result<()> {
        let connection = self.taken()?;
        connection.batch("commit").await?;
        self.looking = false;
        self.connection = Some(connection);
        Ok(())
    }

    async fn page(&mut self, above: i64, limit: u32) -> Result<Vec<LinkCopy>> {
        let connection = self.taken()?;
        let rows = connection.rows(sql::FEED_PAGE, &[&above, &i64::from(limit)]).await?;
        self.connection = Some(connection);
        rows.iter().map(copy).collect()
    }
}

fn head(row: &Row) -> Result<Head> {
    Ok(Head {
        database: get(row, 0)?,
        lineage: get(row, 1)?,
        generation: get(row, 2)?,
        now: Position::parse(get(row, 3)?)?,
        links: get::<i64>(row, 4)?.max(0) as u64,
    })
}

fn copy(row: &Row) -> Result<LinkCopy> {
    let deleted: bool = get(row, 9)?;
    let raw = Raw {
        id: get(row, 0)?,
        domain: get(row, 1)?,
        short_code: get(row, 2)?,
        twin: get(row, 3)?,
        state: if deleted { Raw::DELETED } else { Raw::LINK },
        target: get(row, 4)?,
        is_active: get(row, 5)?,
        status: i64::from(get::<i16>(row, 6)?),
        owner: get(row, 7)?,
        expires_at: get(row, 8)?,
        version: get(row, 10)?,
    };
    Ok(raw.judge())
}

fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| StoreError::Corrupt(format!("transaction {text:?}")))
}
