//! The salt of each day, kept only as long as clicks of that day may still arrive. Every node asks for it: the first candidate is
//! everybody's.

use knurl_core::visitor::Salt;

use super::{
    connection::{Tx, get},
    sql,
};
use crate::{StoreError, store::Result};

pub(super) async fn of_day(tx: &Tx<'_>, day: i64, candidate: Salt) -> Result<Salt> {
    tx.execute(sql::SALTS_DESTROY, &[&(day - 1)]).await?;
    tx.execute(sql::SALT_PUT, &[&day, &candidate.0.as_slice()]).await?;
    let salt: Vec<u8> = get(&tx.row(sql::SALT_GET, &[&day]).await?, 0)?;
    salt.try_into().map(Salt).map_err(|_| StoreError::Corrupt(format!("the salt of day {day} is of another length")))
}
