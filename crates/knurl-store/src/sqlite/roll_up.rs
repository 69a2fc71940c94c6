//! Roll-ups of a batch: added up in memory first, then one upsert for each row it touches.
//!
//! Promised: rows are touched in key order (neighbours share pages); a day of a link names at most [`REFERRERS_MAX`] referrers.

use std::collections::HashMap;

use knurl_core::{LinkId, UnixMillis, agent::Agent, sketch::Sketch, stats::Dimension};

use super::{failure::store_error, sql, tx::Tx};
use crate::store::Result;

/// The row of all links together.
pub(super) const ALL_LINKS: i64 = 0;

/// Different referrers of one link and day; the rest are [`OTHER`]. Anybody can send any referrer: without a bound a stranger
/// could grow the table without end.
pub(super) const REFERRERS_MAX: i64 = 500;
/// No host has parentheses.
pub(super) const OTHER: &str = "(other)";
pub(super) const DIRECT: &str = "(direct)";

pub(super) struct RolledClick<'a> {
    pub(super) link_id: LinkId,
    pub(super) at: UnixMillis,
    pub(super) visitor: Option<u64>,
    pub(super) agent: Agent,
    pub(super) referrer_host: Option<&'a str>,
}

#[derive(Debug, Default)]
pub(super) struct RollUp<'a> {
    hours: HashMap<(i64, i64), Tally>,
    days: HashMap<(i64, i64), Tally>,
    totals: HashMap<i64, Total>,
    shares: HashMap<(i64, i64, i64), HashMap<&'a str, i64>>,
}

#[derive(Debug, Default)]
struct Tally {
    total: i64,
    human: i64,
    visitors: Vec<u64>,
}

#[derive(Debug)]
struct Total {
    total: i64,
    human: i64,
    last_click_at: i64,
}

impl<'a> RollUp<'a> {
    pub(super) fn add(&mut self, click: &RolledClick<'a>) {
        let human = i64::from(click.agent.class.is_human());
        let (hour, day) = (click.at.hour(), click.at.day());
        let values = [
            (Dimension::Referrer, click.referrer_host.unwrap_or(DIRECT)),
            (Dimension::AgentClass, click.agent.class.as_str()),
            (Dimension::Browser, click.agent.browser),
            (Dimension::Os, click.agent.os),
        ];
        for link in [ALL_LINKS, click.link_id.0] {
            self.hours.entry((link, hour)).or_default().add(human, click.visitor);
            self.days.entry((link, day)).or_default().add(human, click.visitor);
            for (dimension, value) in values {
                *self.shares.entry((link, number(dimension), day)).or_default().entry(value).or_default() += 1;
            }
        }
        let total = self.totals.entry(click.link_id.0).or_insert(Total { total: 0, human: 0, last_click_at: i64::MIN });
        total.total += 1;
        total.human += human;
        total.last_click_at = total.last_click_at.max(click.at.0);
    }

    pub(super) fn write(self, tx: &Tx<'_>) -> Result<()> {
        for ((link, hour), tally) in sorted(self.hours) {
            tally.write(tx, sql::HOUR_SKETCH, sql::HOUR_ADD, link, hour)?;
        }
        for ((link, day), tally) in sorted(self.days) {
            tally.write(tx, sql::DAY_SKETCH, sql::DAY_ADD, link, day)?;
        }
        for (link, total) in sorted(self.totals) {
            tx.prepare_cached(sql::TOTAL_ADD)
                .and_then(|mut upsert| upsert.execute((link, total.total, total.human, total.last_click_at)))
                .map_err(store_error)?;
        }
        for (key, values) in sorted(self.shares) {
            write_shares(tx, key, values)?;
        }
        Ok(())
    }
}

impl Tally {
    fn add(&mut self, human: i64, visitor: Option<u64>) {
        self.total += 1;
        self.human += human;
        self.visitors.extend(visitor);
    }

    fn write(&self, tx: &Tx<'_>, select: &str, upsert: &str, link: i64, unit: i64) -> Result<()> {
        let sketch = if self.visitors.is_empty() { None } else { Some(self.sketch(tx, select, link, unit)?) };
        let visitors = sketch.as_ref().map_or(0, Sketch::estimate) as i64;
        let row = (link, unit, self.total, self.human, visitors, sketch.map(|sketch| sketch.to_bytes()));
        tx.prepare_cached(upsert).and_then(|mut upsert| upsert.execute(row)).map_err(store_error)?;
        Ok(())
    }

    /// The stored sketch with this batch's visitors in it.
    fn sketch(&self, tx: &Tx<'_>, select: &str, link: i64, unit: i64) -> Result<Sketch> {
        let mut query = tx.prepare_cached(select).map_err(store_error)?;
        let mut rows = query.query((link, unit)).map_err(store_error)?;
        let stored = match rows.next().map_err(store_error)? {
            Some(row) => row.get_ref(0).map_err(store_error)?.as_blob_or_null().ok().flatten().map(Sketch::from_bytes),
            None => None,
        };
        let mut sketch = match stored {
            None => Sketch::new(),
            Some(Ok(sketch)) => sketch,
            // Unique visitors of one unit are worth less than the delivery of every click after it.
            Some(Err(error)) => {
                tracing::error!(link, unit, %error, "a visitor sketch is damaged; it begins anew");
                Sketch::new()
            }
        };
        for visitor in &self.visitors {
            sketch.insert(*visitor);
        }
        Ok(sketch)
    }
}

fn write_shares(tx: &Tx<'_>, (link, dimension, day): (i64, i64, i64), values: HashMap<&str, i64>) -> Result<()> {
    if dimension != number(Dimension::Referrer) {
        for (value, total) in sorted(values) {
            add_share(tx, (link, dimension, day, value, total))?;
        }
        return Ok(());
    }
    let mut known: Option<i64> = None;
    let mut other = 0;
    for (value, total) in sorted(values) {
        let grown = tx.prepare_cached(sql::SHARE_GROW).and_then(|mut grow| grow.execute((link, dimension, day, value, total)));
        if grown.map_err(store_error)? > 0 {
            continue;
        }
        let count = match known {
            Some(count) => count,
            None => count_values(tx, link, dimension, day)?,
        };
        if count >= REFERRERS_MAX {
            other += total;
            known = Some(count);
            continue;
        }
        add_share(tx, (link, dimension, day, value, total))?;
        known = Some(count + 1);
    }
    if other > 0 {
        add_share(tx, (link, dimension, day, OTHER, other))?;
    }
    Ok(())
}

fn add_share(tx: &Tx<'_>, row: (i64, i64, i64, &str, i64)) -> Result<()> {
    tx.prepare_cached(sql::SHARE_ADD).and_then(|mut upsert| upsert.execute(row)).map_err(store_error)?;
    Ok(())
}

fn count_values(tx: &Tx<'_>, link: i64, dimension: i64, day: i64) -> Result<i64> {
    let counted =
        tx.prepare_cached(sql::SHARE_VALUES).and_then(|mut query| query.query_row((link, dimension, day), |row| row.get(0)));
    counted.map_err(store_error)
}

/// As in the table's column: stored for ever.
pub(super) fn number(dimension: Dimension) -> i64 {
    match dimension {
        Dimension::Referrer => 0,
        Dimension::AgentClass => 1,
        Dimension::Browser => 2,
        Dimension::Os => 3,
    }
}

fn sorted<K: Ord, V>(map: HashMap<K, V>) -> Vec<(K, V)> {
    let mut rows: Vec<_> = map.into_iter().collect();
    rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    rows
}
