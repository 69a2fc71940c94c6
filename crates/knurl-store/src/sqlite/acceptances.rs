//! What somebody has acknowledged as removed by hand.

use knurl_core::UnixMillis;
use rusqlite::Connection;

use super::{clicks, failure::store_error, prepared::Prepare, sql, tx::Tx};
use crate::store::{Acceptance, Result};

pub(super) fn accept(tx: &Tx<'_>, reason: &str, now: UnixMillis) -> Result<Option<Acceptance>> {
    let Some(accepted) = Acceptance::of(&clicks::ledger(tx)?, reason, now) else {
        return Ok(None);
    };
    let row = (accepted.at.0, &accepted.reason, accepted.events, accepted.roll_ups);
    tx.prepared(sql::ACCEPTANCE_PUT).and_then(|mut put| put.execute(row)).map_err(store_error)?;
    Ok(Some(accepted))
}

pub(super) fn list(conn: &Connection) -> Result<Vec<Acceptance>> {
    let acceptance = |row: &rusqlite::Row<'_>| {
        Ok(Acceptance { at: UnixMillis(row.get(0)?), reason: row.get(1)?, events: row.get(2)?, roll_ups: row.get(3)? })
    };
    conn.prepared(sql::ACCEPTANCES).and_then(|mut query| query.query_map([], acceptance)?.collect()).map_err(store_error)
}
