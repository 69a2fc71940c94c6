//! What the database knows of itself: its totals, and whether somebody else was here.

use super::{
    connection::{Connection, get},
    sql,
};
use crate::store::{Counts, Result};

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

/// A write, so that a server that only reads is found out.
pub(super) async fn ping(connection: &Connection) -> Result<()> {
    connection.execute(sql::PING, &[]).await.map(drop)
}
