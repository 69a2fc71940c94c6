//! What the database knows of itself: its totals, and whether somebody else was here.

use knurl_core::UnixMillis;

use super::{
    connection::{Connection, Tx, get},
    sql,
};
use crate::store::{Counts, Result};

/// Every look at foreign changes adds up so many rows without a thought: some hundred nodes' and processes'.
const EDITS_ROWS_MAX: i64 = 256;

pub(super) async fn counts(connection: &Connection) -> Result<Counts> {
    let row = connection.row(sql::COUNTS, &[]).await?;
    let total = |column| get::<i64>(&row, column).map(|total| total.max(0) as u64);
    Ok(Counts { users: total(0)?, links: total(1)?, events: total(2)? })
}

/// Edits of links and keys by everybody but `node`. Creates are not among them: counting each would let creates of all nodes wait for
/// each other. A node that remembers "no such code" learns of another's create from the feed of changes, which lists the new row; where it
/// follows none, that memory ends by itself (`cache.negative_ttl_ms`).
pub(super) async fn foreign_changes(connection: &Connection, node: &str) -> Result<u64> {
    Ok(get::<i64>(&connection.row(sql::FOREIGN_CHANGES, &[&node]).await?, 0)?.max(0) as u64)
}

/// Each process that ever edited has rows of its own under a name that nobody uses again: beyond [`EDITS_ROWS_MAX`] of them those of everybody but
/// `node` go under the empty name, but for shards in which somebody counts just now (the next time takes them). Nobody's sum changes but that
/// of a folded node that lives: it sees its own edits once as another's, which costs it a look at the keys. Returns how many rows went.
pub(super) async fn fold_edits(tx: &Tx<'_>, node: &str) -> Result<u64> {
    if get::<i64>(&tx.row(sql::EDITS_ROWS, &[&node]).await?, 0)? <= EDITS_ROWS_MAX {
        return Ok(0);
    }
    // Held until the end. Whoever counts takes another shard, and we wait for nobody: no deadlock.
    let shards: Vec<i32> = get(&tx.row(sql::SHARDS_TRY_LOCK, &[]).await?, 0)?;
    // Asked only now: what was counted in these shards before is seen.
    Ok(get::<i64>(&tx.row(sql::EDITS_FOLD, &[&node, &shards]).await?, 0)?.max(0) as u64)
}

pub(super) async fn time(connection: &Connection) -> Result<UnixMillis> {
    Ok(UnixMillis(get(&connection.row(sql::TIME, &[]).await?, 0)?))
}

/// A write, so that a server that only reads is found out.
pub(super) async fn ping(connection: &Connection) -> Result<()> {
    connection.execute(sql::PING, &[]).await.map(drop)
}
