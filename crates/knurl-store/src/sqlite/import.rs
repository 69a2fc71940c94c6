//! Imports: rows kept to the letter, judged as they go in.

use knurl_core::{Event, Link, User};

use super::tx::Tx;
use crate::store::{Imported, Numbered, Result};

pub(super) fn users(_tx: &Tx<'_>, _rows: &[Numbered<User>]) -> Result<Imported> {
    todo!("store")
}
pub(super) fn links(_tx: &Tx<'_>, _rows: &[Numbered<Link>]) -> Result<Imported> {
    todo!("store")
}
pub(super) fn events(_tx: &Tx<'_>, _rows: &[Numbered<Event>]) -> Result<Imported> {
    todo!("store")
}
