//! Counts over a range of time: of one link, or of all.

use std::sync::Arc;

use axum::{body::Body, extract::State};
use http::Response;
use knurl_core::{
    UnixMillis,
    link::Link,
    stats::{Bucket, Dimension, Share, StatsQuery, Unit},
    time::{DAY_MS, HOUR_MS},
};
use serde::Serialize;

use super::{
    clicks::{Freshness, totals},
    form::Form,
    now,
    path_id::PathId,
    query::Query,
    reply,
};
use crate::http::{HttpState, error::Error};

/// Buckets one answer may hold: 13 months of hours, 27 years of days.
const BUCKETS_MAX: i64 = 10_000;
/// Where no range is given.
const DAYS_DEFAULT: i64 = 30;
/// Rows of a breakdown and of the top links where `limit` is not given, and at most.
const ROWS_DEFAULT: i64 = 10;
const ROWS_MAX: i64 = 100;

/// What is asked, parsed: the whole units that touch `[from, to)`.
struct Range {
    from: UnixMillis,
    to: UnixMillis,
    unit: Unit,
    by: Option<Dimension>,
    rows: u32,
}

impl Range {
    fn of(query: &Query, now: UnixMillis) -> Result<Self, Error> {
        let mut asked = query.parameters();
        let unit = match asked.text("unit").as_deref() {
            None | Some("day") => Unit::Day,
            Some("hour") => Unit::Hour,
            Some(_) => {
                asked.fail("unit", "unit must be hour or day.");
                Unit::Day
            }
        };
        let by = asked.text("by").and_then(|name| {
            let known = Dimension::from_name(&name);
            if known.is_none() {
                asked.fail("by", "by must be referrer, agent, browser or os.");
            }
            known
        });
        let rows = asked.integer("limit").unwrap_or(ROWS_DEFAULT).clamp(1, ROWS_MAX);
        let (to, from) = (asked.time("to"), asked.time("from"));
        asked.finish()?;
        // Up to and with this very moment, so that a click just made is in it.
        let to = to.unwrap_or(UnixMillis(now.0 + 1));
        let from = from.unwrap_or(UnixMillis(to.0 - DAYS_DEFAULT * DAY_MS));
        if from > to {
            return Err(Error::parameter("from", "from must not be later than to."));
        }
        let unit_ms = match unit {
            Unit::Hour => HOUR_MS,
            Unit::Day => DAY_MS,
        };
        if (to.0 - from.0) / unit_ms >= BUCKETS_MAX {
            return Err(Error::parameter("from", format!("A range holds at most {BUCKETS_MAX} hours or days.")));
        }
        Ok(Self { from, to, unit, by, rows: rows as u32 })
    }

    fn ask(&self, link: Option<&Link>) -> StatsQuery {
        StatsQuery { link: link.map(|link| link.id), from: self.from, to: self.to, unit: self.unit }
    }
}

/// The part that both answers share.
#[derive(Serialize)]
struct Counted {
    from: String,
    to: String,
    unit: &'static str,
    total: u64,
    human: u64,
    bot: u64,
    /// The sum of each unit's unique visitors: nobody is recognised from one day to the next.
    visitors: u64,
    buckets: Vec<BucketOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shares: Option<Vec<ShareOut>>,
}

#[derive(Serialize)]
struct BucketOut {
    at: String,
    total: u64,
    human: u64,
    bot: u64,
    visitors: u64,
}

#[derive(Serialize)]
struct ShareOut {
    value: String,
    total: u64,
}

async fn count(state: &HttpState, range: &Range, link: Option<&Link>, form: Form) -> Result<Counted, Error> {
    let ask = range.ask(link);
    let buckets = state.store.buckets(ask).await?;
    let shares = match range.by {
        None => None,
        Some(by) => Some(state.store.shares(ask, by, range.rows).await?),
    };
    let sum = |of: fn(&Bucket) -> u64| buckets.iter().map(of).sum();
    Ok(Counted {
        from: form.time(range.from),
        to: form.time(range.to),
        unit: match range.unit {
            Unit::Hour => "hour",
            Unit::Day => "day",
        },
        total: sum(|bucket| bucket.total),
        human: sum(|bucket| bucket.human),
        bot: sum(|bucket| bucket.bot),
        visitors: sum(|bucket| bucket.visitors),
        by: range.by.map(Dimension::as_str),
        shares: shares.map(|shares| shares.into_iter().map(ShareOut::of).collect()),
        buckets: buckets.into_iter().map(|bucket| BucketOut::of(bucket, form)).collect(),
    })
}

impl ShareOut {
    fn of(share: Share) -> Self {
        Self { value: share.value, total: share.total }
    }
}

impl BucketOut {
    fn of(bucket: Bucket, form: Form) -> Self {
        Self { at: form.time(bucket.at), total: bucket.total, human: bucket.human, bot: bucket.bot, visitors: bucket.visitors }
    }
}

#[derive(Serialize)]
struct OfLink<'a> {
    id: i64,
    url_id: i64,
    short_code: &'a str,
    original_url: &'a str,
    /// Ever; the figures below are of the range.
    click_count: u64,
    human_count: u64,
    bot_count: u64,
    last_click_at: Option<String>,
    #[serde(flatten)]
    counted: Counted,
}

pub(super) async fn of_link(
    State(state): State<Arc<HttpState>>,
    id: PathId,
    form: Form,
    query: Query,
) -> Result<Response<Body>, Error> {
    let range = Range::of(&query, now())?;
    let link = state.store.link(id.link()?).await?.ok_or_else(Error::link_not_found)?;
    let freshness = Freshness::reach(&state).await;
    let counted = count(&state, &range, Some(&link), form).await?;
    let ever = totals(&state, std::slice::from_ref(&link)).await?.get(&link.id).copied().unwrap_or_default();
    let answer = OfLink {
        id: link.id.0,
        url_id: link.id.0,
        short_code: link.short_code.as_str(),
        original_url: link.target.as_str(),
        click_count: ever.total,
        human_count: ever.human,
        bot_count: ever.bot,
        last_click_at: ever.last_click_at.map(|at| form.time(at)),
        counted,
    };
    reply::ok(&answer).map(|response| freshness.mark(response))
}

#[derive(Serialize)]
struct Overall {
    users: u64,
    urls: u64,
    events: u64,
    #[serde(flatten)]
    counted: Counted,
    top_urls: Vec<Top>,
}

#[derive(Serialize)]
struct Top {
    url_id: i64,
    /// Null where the link was deleted since.
    short_code: Option<String>,
    original_url: Option<String>,
    total: u64,
}

pub(super) async fn overall(State(state): State<Arc<HttpState>>, form: Form, query: Query) -> Result<Response<Body>, Error> {
    let range = Range::of(&query, now())?;
    let freshness = Freshness::reach(&state).await;
    let counts = state.store.counts().await?;
    let counted = count(&state, &range, None, form).await?;
    let mut top_urls = Vec::with_capacity(range.rows as usize);
    for top in state.store.top_links(range.ask(None), range.rows).await? {
        let link = state.store.link(top.link_id).await?;
        let (short_code, original_url) =
            link.map(|link| (link.short_code.as_str().to_owned(), link.target.as_str().to_owned())).unzip();
        top_urls.push(Top { url_id: top.link_id.0, short_code, original_url, total: top.total });
    }
    let answer = Overall { users: counts.users, urls: counts.links, events: counts.events, counted, top_urls };
    reply::ok(&answer).map(|response| freshness.mark(response))
}
