//! Answers from the roll-ups.

use std::collections::BTreeMap;

use knurl_core::{
    LinkId, UnixMillis,
    stats::{Bucket, Dimension, LinkTotal, Share, StatsQuery, TopLink, Unit},
    time::{DAY_MS, HOUR_MS},
};
use rusqlite::{Connection, OptionalExtension};

use super::{failure::store_error, prepared::Prepare, sql};
use crate::{
    roll_up::{link_of, number, units_of},
    store::{Counts, Result},
};

pub(super) fn buckets(conn: &Connection, query: StatsQuery) -> Result<Vec<Bucket>> {
    let (statement, unit_ms) = match query.unit {
        Unit::Hour => (sql::HOURS_OF_LINK, HOUR_MS),
        Unit::Day => (sql::DAYS_OF_LINK, DAY_MS),
    };
    let Some((first, last)) = units_of(query, unit_ms) else {
        return Ok(Vec::new());
    };
    conn.prepared(statement)
        .and_then(|mut rows| {
            let rows = rows.query_map((link_of(query), first, last), |row| {
                let (total, human) = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
                Ok(Bucket {
                    at: UnixMillis(row.get::<_, i64>(0)?.saturating_mul(unit_ms)),
                    total: total as u64,
                    human: human as u64,
                    bot: (total - human) as u64,
                    visitors: row.get::<_, i64>(3)? as u64,
                })
            })?;
            rows.collect()
        })
        .map_err(store_error)
}

pub(super) fn shares(conn: &Connection, query: StatsQuery, by: Dimension, limit: u32) -> Result<Vec<Share>> {
    let Some((first, last)) = units_of(query, DAY_MS) else {
        return Ok(Vec::new());
    };
    conn.prepared(sql::SHARES_OF_LINK)
        .and_then(|mut rows| {
            let key = (link_of(query), number(by), first, last, limit);
            rows.query_map(key, |row| Ok(Share { value: row.get(0)?, total: row.get::<_, i64>(1)? as u64 }))?.collect()
        })
        .map_err(store_error)
}

pub(super) fn top_links(conn: &Connection, query: StatsQuery, limit: u32) -> Result<Vec<TopLink>> {
    let Some((first, last)) = units_of(query, DAY_MS) else {
        return Ok(Vec::new());
    };
    conn.prepared(sql::LINKS_TOP)
        .and_then(|mut rows| {
            let key = (first, last, limit, query.link.map(|link| link.0));
            rows.query_map(key, |row| Ok(TopLink { link_id: LinkId(row.get(0)?), total: row.get::<_, i64>(1)? as u64 }))?.collect()
        })
        .map_err(store_error)
}

pub(super) fn link_totals(conn: &Connection, links: &[LinkId]) -> Result<BTreeMap<LinkId, LinkTotal>> {
    let mut totals = BTreeMap::new();
    let mut query = conn.prepared(sql::TOTAL_OF_LINK).map_err(store_error)?;
    for link in links {
        let total = query.query_row([link.0], |row| {
            let (total, human) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
            Ok(LinkTotal {
                total: total as u64,
                human: human as u64,
                bot: (total - human) as u64,
                last_click_at: Some(UnixMillis(row.get(2)?)),
            })
        });
        if let Some(total) = total.optional().map_err(store_error)? {
            totals.insert(*link, total);
        }
    }
    Ok(totals)
}

pub(super) fn counts(conn: &Connection) -> Result<Counts> {
    Ok(Counts {
        users: super::counter(conn, "users")?,
        links: super::counter(conn, "links")?,
        events: super::counter(conn, "events")?,
    })
}
