//! Clicks as the drain delivers them: raw events, roll-ups and the cursor in one transaction, so that each counts exactly once.

use std::{io::Cursor as Bytes, sync::Arc};

use futures_util::{
    FutureExt, SinkExt,
    future::{BoxFuture, Shared, join, join3, join4},
};
use knurl_core::{LinkId, UnixMillis, UserId};
use tokio_postgres::{Row, types::ToSql};

use super::{
    blocking,
    click_rows::ClickRows,
    connection::{Connection, Tx, get},
    failure::{is_duplicate, together},
    months::Months,
    pool::Pool,
    roll_up::{self, Looked, RolledUp},
    sql,
};
use crate::{
    StoreError,
    clicked::{self, Named, Seen, There, Unseen},
    roll_up::{RollUp, RolledClick, ToldClick},
    store::{Applied, ClickBatch, ClickLedger, Cursor, DeliveredClick, Result, undecodable_counter},
};

/// Bytes handed to COPY at a time: enough for the server to be busy, not so many that a batch is held twice in its buffers.
const COPY_BYTES: usize = 256 * 1024;

/// A batch as it is sent.
#[derive(Debug)]
struct Delivery {
    from: Cursor,
    to: Cursor,
    undecodable: i64,
    clicks: Arc<Vec<DeliveredClick>>,
    unseen: Unseen,
    written: Written,
}

/// Clicks as they are written: made while the database looks up what they name.
#[derive(Debug)]
struct Written {
    clicks: usize,
    rows: Made<ClickRows>,
    rolled: Made<RolledUp>,
}

/// On a thread that may block. `None`: it panicked.
type Made<T> = Shared<BoxFuture<'static, Option<Arc<T>>>>;

pub(super) async fn apply(pool: &Pool, months: &Months, seen: &Arc<Seen>, batch: ClickBatch) -> Result<Applied> {
    months.cover(pool, batch.clicks.iter().map(|delivered| delivered.click.at)).await;
    let delivery = Arc::new(Delivery::of(batch, seen).await?);
    let applied = delivery.write(pool, seen, Looked::UpClicked).await;
    if !applied.as_ref().is_err_and(is_duplicate) {
        return applied;
    }
    tracing::warn!("a link without a total has roll-ups: somebody has changed the tables; all of this batch's are looked up");
    delivery.write(pool, seen, Looked::UpAll).await
}

impl Delivery {
    async fn of(batch: ClickBatch, seen: &Arc<Seen>) -> Result<Self> {
        let undecodable = batch.undecodable_found()?;
        let (from, to, clicks) = (batch.from, batch.to, Arc::new(batch.clicks));
        let (naming, seen) = (Arc::clone(&clicks), Arc::clone(seen));
        let written = Written::of(&clicks);
        let unseen = blocking(move || seen.unseen(&naming)).await?;
        Ok(Self { from, to, undecodable, clicks, unseen, written })
    }

    async fn write(self: &Arc<Self>, pool: &Pool, seen: &Arc<Seen>, looked: Looked) -> Result<Applied> {
        pool.write(move |tx| {
            let (delivery, seen) = (self.clone(), seen.clone());
            Box::pin(async move { delivery.apply(tx, &seen, looked).await })
        })
        .await
    }

    async fn apply(&self, tx: &Tx<'_>, seen: &Seen, looked: Looked) -> Result<Applied> {
        let (stored, mark, there) = join3(lock_cursor(tx, self.from), mark(tx), there(tx, &self.unseen.named)).await;
        let (stored, mark, there) = (stored?, mark?, there?);
        // `seq` alone names a record: a position at a segment's end and the next segment's start are the same place.
        if stored.seq != self.from.seq {
            seen.forget();
            return Ok(Applied::CursorIs(stored));
        }
        if self.unseen.are(&there, &mark) {
            seen.note(&mark, &self.unseen.named);
            return self.deliver(tx, &self.written, 0, looked).await;
        }
        // What was seen under another mark says nothing: all are asked for.
        let all = Arc::clone(&self.clicks);
        let named = blocking(move || Named::of(&all)).await?;
        let there = self::there(tx, &named).await?;
        if named.are(&there) {
            seen.note(&mark, &named);
            return self.deliver(tx, &self.written, 0, looked).await;
        }
        let all = Arc::clone(&self.clicks);
        let clicks = blocking(move || Arc::new(there.belonging(&all))).await?;
        let unlinked = self.clicks.len() - clicks.len();
        let applied = self.deliver(tx, &Written::of(&clicks), unlinked, looked).await;
        if unlinked > 0 && applied.is_ok() {
            clicked::tell_unlinked(unlinked);
        }
        applied
    }

    async fn deliver(&self, tx: &Tx<'_>, written: &Written, unlinked: usize, looked: Looked) -> Result<Applied> {
        written.copy(tx).await?;
        let rolled = made(&written.rolled).await?;
        let of_spool = undecodable_counter(self.to.spool_id);
        let not_decoded = async {
            count(tx, "clicks_undecodable", self.undecodable).await?;
            count(tx, &of_spool, self.undecodable).await?;
            count(tx, "clicks_unlinked", unlinked as i64).await
        };
        let (counted, not_decoded, moved, rolled) = join4(
            count(tx, "clicks", written.clicks as i64),
            not_decoded,
            put_cursor(tx, self.to),
            roll_up::write(tx, &rolled, looked),
        )
        .await;
        together([counted, not_decoded, moved, rolled])?;
        fail::fail_point!("store::before_commit");
        Ok(Applied::Applied)
    }
}

impl Written {
    /// Writing and adding up thousands of clicks takes milliseconds, each on a thread of its own.
    fn of(clicks: &Arc<Vec<DeliveredClick>>) -> Self {
        let (written, summed) = (Arc::clone(clicks), Arc::clone(clicks));
        let rolled = move || {
            let mut rolled = RollUp::default();
            summed.iter().for_each(|delivered| rolled.add(&RolledClick::of(delivered)));
            RolledUp::new(rolled)
        };
        Self { clicks: clicks.len(), rows: making(move || ClickRows::new(&written)), rolled: making(rolled) }
    }

    async fn copy(&self, tx: &Tx<'_>) -> Result<()> {
        if self.clicks == 0 {
            return Ok(());
        }
        let first: i64 = get(&tx.row(sql::EVENT_IDS, &[&(self.clicks as i64)]).await?, 0)?;
        let bytes = made(&self.rows).await?.with_ids(first);
        tx.bounded(async {
            let mut copy = std::pin::pin!(tx.client.copy_in(&tx.prepared(sql::CLICKS_COPY).await?).await?);
            for piece in bytes.chunks(COPY_BYTES) {
                copy.send(Bytes::new(piece.to_vec())).await?;
            }
            copy.finish().await
        })
        .await
        .map(drop)
    }
}

fn making<T: Send + Sync + 'static>(make: impl FnOnce() -> T + Send + 'static) -> Made<T> {
    tokio::task::spawn_blocking(move || Arc::new(make())).map(std::result::Result::ok).boxed().shared()
}

async fn made<T>(made: &Made<T>) -> Result<Arc<T>> {
    made.clone().await.ok_or_else(|| StoreError::Internal("writing or adding up a batch of clicks panicked".into()))
}

async fn mark(tx: &Tx<'_>) -> Result<String> {
    get(&tx.row(sql::LINKS_MARK, &[]).await?, 0)
}

async fn there(tx: &Tx<'_>, named: &Named) -> Result<There> {
    let ids = named.ids();
    let asked: [&(dyn ToSql + Sync); 1] = [&ids];
    let (emptied_at, links) = join(tx.row_opt(sql::LINKS_EMPTIED_AT, &[]), tx.rows(sql::LINKS_CLICKED, &asked)).await;
    let of = |row: &Row| Ok((get(row, 0)?, (get(row, 1)?, get::<Option<i64>>(row, 2)?.map(UserId))));
    let links = links?.iter().map(of).collect::<Result<_>>()?;
    let emptied_at = emptied_at?.map(|row| get(&row, 0)).transpose()?;
    Ok(There { links, emptied_at: emptied_at.map(UnixMillis) })
}

/// Where the spool is, for us to move. One that is new begins at nothing.
async fn lock_cursor(tx: &Tx<'_>, from: Cursor) -> Result<Cursor> {
    let (spool_id, key) = (from.spool_id, key(from.spool_id));
    let mut row = tx.row_opt(sql::CURSOR_LOCK, &[&key]).await?;
    if row.is_none() && from.seq == 0 {
        tx.execute(sql::CURSOR_BEGIN, &[&key]).await?;
        row = tx.row_opt(sql::CURSOR_LOCK, &[&key]).await?;
    }
    row.map_or(Ok(Cursor { spool_id, segment: 0, offset: 0, seq: 0 }), |row| read_cursor(spool_id, &row))
}

pub(super) async fn cursor(connection: &Connection, spool_id: u128) -> Result<Option<Cursor>> {
    let row = connection.row_opt(sql::CURSOR_GET, &[&key(spool_id)]).await?;
    row.map(|row| read_cursor(spool_id, &row)).transpose()
}

fn read_cursor(spool_id: u128, row: &Row) -> Result<Cursor> {
    let place = |column| get::<i64>(row, column).map(|value| value as u64);
    Ok(Cursor { spool_id, segment: place(0)?, offset: place(1)?, seq: place(2)? })
}

async fn put_cursor(tx: &Tx<'_>, to: Cursor) -> Result<()> {
    let (segment, offset, seq) = (to.segment as i64, to.offset as i64, to.seq as i64);
    tx.execute(sql::CURSOR_PUT, &[&key(to.spool_id), &segment, &offset, &seq]).await.map(drop)
}

fn key(spool_id: u128) -> Vec<u8> {
    spool_id.to_be_bytes().to_vec()
}

pub(super) async fn count(tx: &Tx<'_>, name: &str, difference: i64) -> Result<()> {
    if difference == 0 {
        return Ok(());
    }
    tx.execute(sql::COUNTER_ADD, &[&name, &difference]).await.map(drop)
}

/// Rolls up click events that did not come through a spool (their rows are written already). They name no visitor.
pub(super) async fn roll_up_external<'a>(
    tx: &Tx<'_>,
    clicks: impl IntoIterator<Item = (LinkId, UnixMillis, Option<&'a str>)>,
) -> Result<()> {
    let told: Vec<_> = clicks.into_iter().map(|(link_id, at, details)| ToldClick::new(link_id, at, details)).collect();
    let mut rolled = RollUp::default();
    told.iter().for_each(|click| rolled.add(&click.rolled()));
    let rolled = RolledUp::new(rolled);
    let (counted, rolled) = join(count(tx, "clicks_external", told.len() as i64), roll_up::write(tx, &rolled, Looked::UpAll)).await;
    counted.and(rolled)
}

pub(super) async fn undecodable_of(connection: &Connection, spool_id: u128) -> Result<u64> {
    let row = connection.row(sql::COUNTER_GET, &[&undecodable_counter(spool_id)]).await?;
    Ok(get::<i64>(&row, 0)?.max(0) as u64)
}

pub(super) async fn ledger(connection: &Connection) -> Result<ClickLedger> {
    let row = connection.row(sql::CLICK_LEDGER, &[]).await?;
    let figure = |column| get::<i64>(&row, column).map(|value| value.max(0) as u64);
    Ok(ClickLedger {
        delivered: figure(0)?,
        undecodable: figure(1)?,
        unlinked: figure(2)?,
        raw: figure(3)?,
        purged: figure(4)?,
        external: figure(5)?,
        rolled_up: figure(6)?,
        accepted_events: get(&row, 7)?,
        accepted_roll_ups: get(&row, 8)?,
    })
}
