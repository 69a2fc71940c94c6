//! The salt of each day, kept only as long as clicks of that day may still arrive.

use knurl_core::visitor::Salt;

use super::{failure::store_error, prepared::Prepare, sql, tx::Tx};
use crate::store::Result;

pub(super) fn of_day(tx: &Tx<'_>, day: i64, candidate: Salt) -> Result<Salt> {
    tx.prepared(sql::SALTS_DESTROY).and_then(|mut delete| delete.execute([day - 1])).map_err(store_error)?;
    tx.prepared(sql::SALT_PUT).and_then(|mut insert| insert.execute((day, candidate.0))).map_err(store_error)?;
    tx.prepared(sql::SALT_GET).and_then(|mut query| query.query_row([day], |row| row.get(0).map(Salt))).map_err(store_error)
}
