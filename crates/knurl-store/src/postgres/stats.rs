//! Answers from the roll-ups.

use std::collections::BTreeMap;

use knurl_core::{
    LinkId, UnixMillis,
    stats::{Bucket, Dimension, LinkTotal, Share, StatsQuery, TopLink, Unit},
    time::{DAY_MS, HOUR_MS},
};
use tokio_postgres::Row;

use super::{
    connection::{Connection, get},
    sql,
};
use crate::{
    roll_up::{link_of, units_of},
    store::Result,
};

pub(super) async fn buckets(connection: &Connection, query: StatsQuery) -> Result<Vec<Bucket>> {
    let (statement, unit_ms) = match query.unit {
        Unit::Hour => (sql::HOURS_OF_LINK, HOUR_MS),
        Unit::Day => (sql::DAYS_OF_LINK, DAY_MS),
    };
    let Some((first, last)) = units_of(query, unit_ms) else {
        return Ok(Vec::new());
    };
    let bucket = |row: &Row| {
        let (total, human) = (get::<i64>(row, 1)?, get::<i64>(row, 2)?);
        Ok(Bucket {
            at: UnixMillis(get::<i64>(row, 0)?.saturating_mul(unit_ms)),
            total: total as u64,
            human: human as u64,
            bot: (total - human) as u64,
            visitors: get::<i64>(row, 3)? as u64,
        })
    };
    connection.rows(statement, &[&link_of(query), &first, &last]).await?.iter().map(bucket).collect()
}

pub(super) async fn shares(connection: &Connection, query: StatsQuery, by: Dimension, limit: u32) -> Result<Vec<Share>> {
    let Some((first, last)) = units_of(query, DAY_MS) else {
        return Ok(Vec::new());
    };
    let (link, limit, dimension) = (link_of(query), i64::from(limit), by.as_str());
    let rows = match by {
        Dimension::Referrer => connection.rows(sql::REFERRERS_OF_LINK, &[&link, &first, &last, &limit]).await?,
        _ => connection.rows(sql::AGENTS_OF_LINK, &[&link, &first, &last, &limit, &dimension]).await?,
    };
    rows.iter().map(|row| Ok(Share { value: get(row, 0)?, total: get::<i64>(row, 1)? as u64 })).collect()
}

pub(super) async fn top_links(connection: &Connection, query: StatsQuery, limit: u32) -> Result<Vec<TopLink>> {
    let Some((first, last)) = units_of(query, DAY_MS) else {
        return Ok(Vec::new());
    };
    let (limit, only) = (i64::from(limit), query.link.map(|link| link.0));
    let rows = connection.rows(sql::LINKS_TOP, &[&first, &last, &limit, &only]).await?;
    rows.iter().map(|row| Ok(TopLink { link_id: LinkId(get(row, 0)?), total: get::<i64>(row, 1)? as u64 })).collect()
}

pub(super) async fn link_totals(connection: &Connection, links: &[LinkId]) -> Result<BTreeMap<LinkId, LinkTotal>> {
    let links: Vec<i64> = links.iter().map(|link| link.0).collect();
    let total = |row: &Row| {
        let (total, human) = (get::<i64>(row, 1)?, get::<i64>(row, 2)?);
        let last_click_at = Some(UnixMillis(get(row, 3)?));
        let figures = LinkTotal { total: total as u64, human: human as u64, bot: (total - human) as u64, last_click_at };
        Ok((LinkId(get(row, 0)?), figures))
    };
    connection.rows(sql::TOTAL_OF_LINK, &[&links]).await?.iter().map(total).collect()
}
