//! Roll-ups of a batch, added up in memory: what a dialect then writes is one upsert for each row the batch touches.
//!
//! Promised: every dialect counts the same; a day of a link names at most [`REFERRERS_MAX`] referrers.

use std::collections::HashMap;

use knurl_core::{
    LinkId, UnixMillis,
    agent::{self, Agent},
    click::Purpose,
    sketch::Sketch,
    stats::{Dimension, StatsQuery},
};

use crate::{click_details, store::DeliveredClick};

/// The row of all links together.
pub(crate) const ALL_LINKS: i64 = 0;

/// Different referrers of one link and day; the rest are [`OTHER`]. Anybody can send any referrer: without a bound a stranger
/// could grow the table without end.
pub(crate) const REFERRERS_MAX: i64 = 500;
/// No host has parentheses.
pub(crate) const OTHER: &str = "(other)";
pub(crate) const DIRECT: &str = "(direct)";

pub(crate) struct RolledClick<'a> {
    pub(crate) link_id: LinkId,
    pub(crate) at: UnixMillis,
    pub(crate) visitor: Option<u64>,
    pub(crate) agent: Agent,
    pub(crate) referrer_host: Option<&'a str>,
}

impl<'a> RolledClick<'a> {
    pub(crate) fn of(delivered: &'a DeliveredClick) -> Self {
        Self {
            link_id: delivered.click.link_id,
            at: delivered.click.at,
            visitor: Some(delivered.click.visitor),
            agent: delivered.agent,
            referrer_host: delivered.referrer_host.as_deref(),
        }
    }
}

/// Link and hour, or link and day.
pub(crate) type UnitKey = (i64, i64);
/// Link, dimension, day.
pub(crate) type SharesKey = (i64, i64, i64);

#[derive(Debug, Default)]
pub(crate) struct RollUp<'a> {
    pub(crate) hours: HashMap<UnitKey, Tally>,
    pub(crate) days: HashMap<UnitKey, Tally>,
    pub(crate) totals: HashMap<i64, Total>,
    pub(crate) shares: HashMap<SharesKey, HashMap<&'a str, i64>>,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) total: i64,
    pub(crate) human: i64,
    pub(crate) visitors: Vec<u64>,
}

#[derive(Debug)]
pub(crate) struct Total {
    pub(crate) total: i64,
    pub(crate) human: i64,
    pub(crate) last_click_at: i64,
}

impl<'a> RollUp<'a> {
    pub(crate) fn add(&mut self, click: &RolledClick<'a>) {
        let human = i64::from(click.agent.class.is_human());
        // Visitors are people: what crawls or prefetches is a click, and nobody.
        let visitor = click.visitor.filter(|_| click.agent.class.is_human());
        let (hour, day) = (click.at.hour(), click.at.day());
        let values = [
            (Dimension::Referrer, click.referrer_host.unwrap_or(DIRECT)),
            (Dimension::AgentClass, click.agent.class.as_str()),
            (Dimension::Browser, click.agent.browser),
            (Dimension::Os, click.agent.os),
        ];
        for link in [ALL_LINKS, click.link_id.0] {
            self.hours.entry((link, hour)).or_default().add(human, visitor);
            self.days.entry((link, day)).or_default().add(human, visitor);
            for (dimension, value) in values {
                *self.shares.entry((link, number(dimension), day)).or_default().entry(value).or_default() += 1;
            }
        }
        let total = self.totals.entry(click.link_id.0).or_insert(Total { total: 0, human: 0, last_click_at: i64::MIN });
        total.total += 1;
        total.human += human;
        total.last_click_at = total.last_click_at.max(click.at.0);
    }
}

impl Tally {
    fn add(&mut self, human: i64, visitor: Option<u64>) {
        self.total += 1;
        self.human += human;
        self.visitors.extend(visitor);
    }

    /// The stored sketch of link and unit with this batch's visitors in it.
    pub(crate) fn sketch(&self, (link, unit): UnitKey, stored: Option<&[u8]>) -> Sketch {
        let mut sketch = match stored.map(Sketch::from_bytes) {
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
        sketch
    }
}

/// A click that came through no spool, as its details tell it. It names no visitor.
#[derive(Debug)]
pub(crate) struct ToldClick {
    link_id: LinkId,
    at: UnixMillis,
    agent: Agent,
    referrer_host: Option<String>,
}

impl ToldClick {
    pub(crate) fn new(link_id: LinkId, at: UnixMillis, details: Option<&str>) -> Self {
        let told = click_details::read(details);
        let purpose = if told.prefetch { Purpose::Prefetch } else { Purpose::Visit };
        Self {
            link_id,
            at,
            agent: agent::classify(told.user_agent.as_deref(), purpose),
            referrer_host: told.referrer.as_deref().and_then(agent::referrer_host),
        }
    }

    pub(crate) fn rolled(&self) -> RolledClick<'_> {
        let (link_id, at, agent) = (self.link_id, self.at, self.agent);
        RolledClick { link_id, at, visitor: None, agent, referrer_host: self.referrer_host.as_deref() }
    }
}

/// As in the table's column: stored for ever.
pub(crate) fn number(dimension: Dimension) -> i64 {
    match dimension {
        Dimension::Referrer => 0,
        Dimension::AgentClass => 1,
        Dimension::Browser => 2,
        Dimension::Os => 3,
    }
}

/// Neighbours share pages, and whoever takes locks in this order meets no deadlock.
pub(crate) fn sorted<K: Ord, V>(map: HashMap<K, V>) -> Vec<(K, V)> {
    let mut rows: Vec<_> = map.into_iter().collect();
    rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    rows
}

/// Whose roll-ups a question is about.
pub(crate) fn link_of(query: StatsQuery) -> i64 {
    query.link.map_or(ALL_LINKS, |link| link.0)
}

/// First and last unit that touch `[from, to)`.
pub(crate) fn units_of(query: StatsQuery, unit_ms: i64) -> Option<(i64, i64)> {
    (query.from < query.to).then(|| (query.from.0.div_euclid(unit_ms), (query.to.0 - 1).div_euclid(unit_ms)))
}
