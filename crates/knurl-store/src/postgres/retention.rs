//! Removes old clicks: whole months by their partition, the rest by rows.
//!
//! Promised: each removed click is counted as purged exactly once; readers and writers of clicks wait for no longer than a lock takes. A
//! month is retired first (it moves to `clicks_gone`, where nobody reads or writes but the ledger), then counted at leisure, then dropped.

use knurl_core::{UnixMillis, time::DAY_MS};

use super::{
    clicks::count,
    connection::{Tx, get},
    months::{Month, Months, tables},
    pool::Pool,
    sql,
    tx::Ending,
};
use crate::store::Result;

/// Retiring a month waits for those who read or write clicks just now, and all others wait behind it.
const LOCK_WAIT: &str = "set local lock_timeout = '1s'";
/// Steps of one call: there are no more months than these, each retired and then removed.
const STEPS_MAX: usize = 256;

enum Step {
    /// There may be more to do.
    Removed(u64),
    Retired(Month),
    /// Nothing is left, or another node is at it.
    Done,
}

/// A month counts as a whole, however many rows it had.
pub(super) async fn purge(pool: &Pool, months: &Months, before: UnixMillis, rows_max: u32) -> Result<u64> {
    let mut removed = 0;
    for _ in 0..STEPS_MAX {
        if removed >= u64::from(rows_max) {
            return Ok(removed);
        }
        let rows_left = i64::from(rows_max) - removed as i64;
        match pool.write_much(Ending::Commit, move |tx| Box::pin(step(tx, before, rows_left))).await? {
            Step::Removed(rows) => removed += rows,
            Step::Retired(month) => months.forget(month),
            Step::Done => break,
        }
    }
    Ok(removed)
}

async fn step(tx: &Tx<'_>, before: UnixMillis, rows_left: i64) -> Result<Step> {
    let ours: bool = get(&tx.row(sql::RETENTION_TRY_LOCK, &[]).await?, 0)?;
    if !ours {
        return Ok(Step::Done);
    }
    if let Some(month) = tables(tx, "clicks_gone").await?.first() {
        return drop_month(tx, *month).await.map(Step::Removed);
    }
    let is_old = |month: &&Month| month.range().is_some_and(|(_, next)| next <= before.0);
    if let Some(month) = tables(tx, "clicks").await?.iter().find(is_old) {
        retire(tx, *month).await?;
        return Ok(Step::Retired(*month));
    }
    let (rows, from_spools) = removed(tx, before, rows_left).await?;
    count(tx, "clicks_purged", from_spools).await?;
    Ok(if rows == 0 { Step::Done } else { Step::Removed(rows as u64) })
}

async fn retire(tx: &Tx<'_>, month: Month) -> Result<()> {
    let (Some((first, next)), table) = (month.range(), month.table()) else {
        return Ok(());
    };
    tx.batch(&format!(
        "{LOCK_WAIT}; \
         alter table clicks detach partition {table}; \
         alter table clicks_gone attach partition {table} for values from ({first}) to ({next})"
    ))
    .await
}

/// A day at a time: a month may take longer than a statement may.
async fn drop_month(tx: &Tx<'_>, month: Month) -> Result<u64> {
    let (mut rows, mut from_spools) = (0, 0);
    let (first, next) = month.range().unwrap_or_default();
    for day in (first..next).step_by(DAY_MS as usize) {
        let counted = tx.row(sql::MONTH_ROWS, &[&day, &(day + DAY_MS)]).await?;
        rows += get::<i64>(&counted, 0)?;
        from_spools += get::<i64>(&counted, 1)?;
    }
    tx.batch(&format!("{LOCK_WAIT}; drop table {}", month.table())).await?;
    count(tx, "clicks_purged", from_spools).await?;
    count(tx, "clicks", -rows).await?;
    tracing::info!(table = month.table(), rows, "a month of clicks is removed");
    Ok(rows as u64)
}

/// All rows, and those that came from spools. The total of clicks is counted by a trigger.
async fn removed(tx: &Tx<'_>, before: UnixMillis, rows_max: i64) -> Result<(i64, i64)> {
    let row = tx.row(sql::CLICKS_PURGE, &[&before.0, &rows_max]).await?;
    Ok((get(&row, 0)?, get(&row, 1)?))
}
