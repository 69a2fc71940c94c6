//! Answers from the roll-ups.

use std::collections::BTreeMap;

use knurl_core::{
    LinkId,
    stats::{Bucket, Dimension, LinkTotal, Share, StatsQuery, TopLink},
};
use rusqlite::Connection;

use crate::store::{Counts, Result};

pub(super) fn buckets(_conn: &Connection, _query: StatsQuery) -> Result<Vec<Bucket>> {
    todo!("store")
}
pub(super) fn shares(_conn: &Connection, _query: StatsQuery, _by: Dimension, _limit: u32) -> Result<Vec<Share>> {
    todo!("store")
}
pub(super) fn top_links(_conn: &Connection, _query: StatsQuery, _limit: u32) -> Result<Vec<TopLink>> {
    todo!("store")
}
pub(super) fn link_totals(_conn: &Connection, _links: &[LinkId]) -> Result<BTreeMap<LinkId, LinkTotal>> {
    todo!("store")
}

pub(super) fn counts(conn: &Connection) -> Result<Counts> {
    Ok(Counts {
        users: super::counter(conn, "users")?,
        links: super::counter(conn, "links")?,
        events: super::counter(conn, "events")?,
    })
}
