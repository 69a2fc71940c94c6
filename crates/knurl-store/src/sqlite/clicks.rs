//! Clicks: raw events, roll-ups and the cursor in one transaction.

use knurl_core::{LinkId, UnixMillis};
use rusqlite::Connection;

use super::tx::Tx;
use crate::store::*;

pub(super) fn roll_up_external<'a>(
    _tx: &Tx<'_>,
    _clicks: impl IntoIterator<Item = (LinkId, UnixMillis, Option<&'a str>)>,
) -> Result<()> {
    todo!("store")
}
pub(super) fn apply(_tx: &Tx<'_>, _batch: &ClickBatch) -> Result<Applied> {
    todo!("store")
}
pub(super) fn cursor(_conn: &Connection, _spool_id: u128) -> Result<Option<Cursor>> {
    todo!("store")
}
pub(super) fn ledger(_conn: &Connection) -> Result<ClickLedger> {
    todo!("store")
}
pub(super) fn purge(_tx: &Tx<'_>, _before: UnixMillis, _rows_max: u32) -> Result<u64> {
    todo!("store")
}
