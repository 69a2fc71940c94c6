//! `knurl link stats`: a link's clicks by day or hour, with a bar for each. Counted are the whole units that touch `[from, to)`, as by
//! the API.

use clap::{Args, ValueEnum};
use knurl_core::{
    Link, UnixMillis,
    stats::{Bucket, Dimension, Share, StatsQuery, Unit},
    time::{DAY_MS, HOUR_MS},
};
use knurl_store::Store;
use serde::Serialize;

use super::{failure::Failure, link::WhichLink, now, out::Out, table::Table, when::When};
use crate::{clicks::audit::waiting, config::Config};

const BAR_CHARS_MAX: u64 = 40;
/// Rows of a table a person still reads; `--json` has them all.
const ROWS_MAX: usize = 366;

#[derive(Debug, Args)]
pub(super) struct StatsArgs {
    #[command(flatten)]
    pub(super) which: WhichLink,
    /// From this instant, or this long ago
    #[arg(long, value_name = "WHEN", default_value = "13d")]
    from: When,
    /// Up to this instant, itself not included (now where it is not given)
    #[arg(long, value_name = "WHEN")]
    to: Option<When>,
    #[arg(long, value_enum, default_value_t = UnitName::Day, help = "The length of one line")]
    unit: UnitName,
    /// Break the clicks down besides
    #[arg(long, value_enum)]
    by: Option<DimensionName>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum UnitName {
    Day,
    Hour,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DimensionName {
    Referrer,
    Agent,
    Browser,
    Os,
}

#[derive(Serialize)]
struct StatsShape {
    short_code: String,
    from: String,
    to: String,
    unit: &'static str,
    total: u64,
    human: u64,
    bot: u64,
    visitors: u64,
    /// Clicks, of any link, that this node's spool holds and that are not counted yet; null where it could not be read.
    waiting: Option<u64>,
    buckets: Vec<BucketShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shares: Vec<ShareShape>,
}

#[derive(Serialize)]
struct BucketShape {
    at: String,
    total: u64,
    human: u64,
    bot: u64,
    visitors: u64,
}

#[derive(Serialize)]
struct ShareShape {
    value: String,
    total: u64,
}

pub(super) async fn run(store: &dyn Store, config: &Config, out: Out, link: &Link, args: &StatsArgs) -> Result<(), Failure> {
    const SHARES_MAX: u32 = 50;
    let now = now();
    let unit = match args.unit {
        UnitName::Day => Unit::Day,
        UnitName::Hour => Unit::Hour,
    };
    let from = args.from.before(now);
    let to = args.to.map_or(UnixMillis(now.0 + 1), |when| when.before(now));
    if to < from {
        return Err(Failure::usage("--from is later than --to"));
    }
    let query = StatsQuery { link: Some(link.id), from, to, unit };
    // Before the counts: a click that is delivered in between is told twice rather than not at all.
    let waiting = waiting(store, &config.spool_dir()).await.ok();
    let buckets = store.buckets(query).await?;
    let by = args.by.map(dimension);
    let shares = match by {
        Some(by) => store.shares(query, by, SHARES_MAX).await?,
        None => Vec::new(),
    };
    let shape = StatsShape { waiting, ..shape(link, query, &buckets, by, &shares) };
    out.show(&shape, || text(out, query, &buckets, &shape))
}

fn dimension(name: DimensionName) -> Dimension {
    match name {
        DimensionName::Referrer => Dimension::Referrer,
        DimensionName::Agent => Dimension::AgentClass,
        DimensionName::Browser => Dimension::Browser,
        DimensionName::Os => Dimension::Os,
    }
}

fn shape(link: &Link, query: StatsQuery, buckets: &[Bucket], by: Option<Dimension>, shares: &[Share]) -> StatsShape {
    let sum = |of: fn(&Bucket) -> u64| buckets.iter().map(of).sum();
    StatsShape {
        short_code: link.short_code.as_str().to_owned(),
        from: query.from.to_rfc3339(),
        to: query.to.to_rfc3339(),
        unit: if query.unit == Unit::Day { "day" } else { "hour" },
        total: sum(|b| b.total),
        human: sum(|b| b.human),
        bot: sum(|b| b.bot),
        visitors: sum(|b| b.visitors),
        waiting: None,
        buckets: buckets
            .iter()
            .map(|b| BucketShape { at: b.at.to_rfc3339(), total: b.total, human: b.human, bot: b.bot, visitors: b.visitors })
            .collect(),
        by: by.map(Dimension::as_str),
        shares: shares.iter().map(|share| ShareShape { value: share.value.clone(), total: share.total }).collect(),
    }
}

fn text(out: Out, query: StatsQuery, buckets: &[Bucket], shape: &StatsShape) -> String {
    let unit_name = if query.unit == Unit::Day { "DAY" } else { "HOUR" };
    let mut table = Table::new(out, &[unit_name, "#CLICKS", "#HUMAN", "#BOT", "#VISITORS", ""]);
    let largest = buckets.iter().map(|b| b.total).max().unwrap_or(0).max(1);
    let lines = every_unit(query, buckets);
    for bucket in lines.iter().take(ROWS_MAX) {
        let at = bucket.at.to_contract();
        let at = if query.unit == Unit::Day { at[..10].to_owned() } else { at[..16].replace('T', " ") };
        let bar = "█".repeat((bucket.total * BAR_CHARS_MAX).div_ceil(largest) as usize);
        table.row(&[
            at,
            bucket.total.to_string(),
            bucket.human.to_string(),
            bucket.bot.to_string(),
            bucket.visitors.to_string(),
            bar,
        ]);
    }
    let mut text = format!(
        "{}\n\n{} clicks ({} human, {} bot), {} visitors",
        table.text(),
        shape.total,
        shape.human,
        shape.bot,
        shape.visitors
    );
    match shape.waiting {
        Some(0) => {}
        Some(1) => text.push_str("\n1 click (of any link) waits for delivery and is not counted yet"),
        Some(waiting) => text.push_str(&format!("\n{waiting} clicks (of any link) wait for delivery and are not counted yet")),
        None => text.push_str("\nclicks may wait for delivery: the spool cannot be read, see `knurl audit`"),
    }
    if lines.len() > ROWS_MAX {
        text.push_str(&format!("\nonly the first {ROWS_MAX} lines; --json has all"));
    }
    if let Some(by) = shape.by {
        let mut table = Table::new(out, &[if by == "os" { "OS" } else { by }, "#CLICKS"]);
        shape.shares.iter().for_each(|share| table.row(&[share.value.clone(), share.total.to_string()]));
        text.push_str(&format!("\n\n{}", table.text()));
    }
    text
}

/// The units without clicks too, so that the bars show time; as they are where there would be too many.
fn every_unit(query: StatsQuery, buckets: &[Bucket]) -> Vec<Bucket> {
    let step = if query.unit == Unit::Day { DAY_MS } else { HOUR_MS };
    let first = query.from.0.div_euclid(step) * step;
    let count = (query.to.0 - first) / step + 1;
    if count > ROWS_MAX as i64 {
        return buckets.to_vec();
    }
    let empty = |at| Bucket { at: UnixMillis(at), total: 0, human: 0, bot: 0, visitors: 0 };
    let starts = (0..count).map(|i| first + i * step).filter(|at| *at < query.to.0);
    starts.map(|at| buckets.iter().find(|b| b.at.0 == at).copied().unwrap_or_else(|| empty(at))).collect()
}
