//! What somebody has acknowledged as removed by hand.

use knurl_core::UnixMillis;

use super::{
    clicks,
    connection::{Connection, Tx, get},
    sql,
};
use crate::store::{Acceptance, Result};

pub(super) async fn accept(tx: &Tx<'_>, reason: &str, now: UnixMillis) -> Result<Option<Acceptance>> {
    tx.execute(sql::ACCEPTANCES_LOCK, &[]).await?;
    let Some(accepted) = Acceptance::of(&clicks::ledger(tx).await?, reason, now) else {
        return Ok(None);
    };
    tx.execute(sql::ACCEPTANCE_PUT, &[&accepted.at.0, &accepted.reason, &accepted.events, &accepted.roll_ups]).await?;
    Ok(Some(accepted))
}

pub(super) async fn list(connection: &Connection) -> Result<Vec<Acceptance>> {
    let rows = connection.rows(sql::ACCEPTANCES, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(Acceptance { at: UnixMillis(get(row, 0)?), reason: get(row, 1)?, events: get(row, 2)?, roll_ups: get(row, 3)? })
        })
        .collect()
}
