//! Writes a batch's roll-ups while other nodes write theirs.
//!
//! Promised: batches do not deadlock, no visitor is lost, and a day of a link names no more referrers than it may. Totals come first, in
//! the order of their links: whoever has added to a link's total holds all that is rolled up for this link until the end of the
//! transaction, so that whatever is stored may be read before it is written. All links together, which every batch adds to, come last and
//! under a lock of their own: they are held for the time of a commit and not of a batch.
//!
//! Agent classes, browsers and systems are few: they are a document of the day's row, and no rows of their own. Most links of a batch
//! have a click or two, and each row less is a fifth of what they cost.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use futures_util::future::{join, join3};
use knurl_core::stats::Dimension;
use tokio_postgres::types::ToSql;

use super::{
    blocking,
    connection::{Tx, get},
    sql::{self, Query},
};
use crate::{
    StoreError,
    roll_up::{ALL_LINKS, OTHER, REFERRERS_MAX, RollUp, SharesKey, Tally, Total, UnitKey, number, sorted},
    store::Result,
};

/// Prepared before anything is sent: what is pipelined reaches the server in the order of the code.
const QUERIES: [Query; 9] = [
    sql::TOTAL_ADD,
    sql::HOUR_SKETCH,
    sql::DAY_SKETCH,
    sql::REFERRERS_COUNT,
    sql::REFERRERS_KNOWN,
    sql::HOUR_ADD,
    sql::DAY_ADD,
    sql::REFERRER_ADD,
    sql::ROLL_UPS_OF_ALL_LOCK,
];

/// Clicks of a link and day by dimension (all but referrers) and value.
type Agents = BTreeMap<String, BTreeMap<String, i64>>;
/// Clicks of a link and day by referrer, ascending.
type Referrers = Vec<(String, i64)>;

/// A batch's sums in the order of their keys; may be written more than once, should a transaction have to be.
#[derive(Debug)]
pub(super) struct RolledUp {
    totals: Vec<(i64, Total)>,
    of_links: Arc<Sums>,
    of_all: Arc<Sums>,
}

#[derive(Debug, Default)]
struct Sums {
    hours: Rows<Tally>,
    days: Rows<Tally>,
    agents: HashMap<UnitKey, Agents>,
    referrers: Rows<Referrers>,
}

impl RolledUp {
    pub(super) fn new(rolled: RollUp<'_>) -> Self {
        let (mut of_links, mut of_all) = (Sums::default(), Sums::default());
        (of_all.hours, of_links.hours) = divided(sorted(rolled.hours));
        (of_all.days, of_links.days) = divided(sorted(rolled.days));
        for (key, values) in sorted(rolled.shares) {
            let sums = if key.0 == ALL_LINKS { &mut of_all } else { &mut of_links };
            sums.put_shares(key, values);
        }
        Self { totals: sorted(rolled.totals), of_links: Arc::new(of_links), of_all: Arc::new(of_all) }
    }
}

impl Sums {
    fn put_shares(&mut self, (link, dimension, day): SharesKey, values: HashMap<&str, i64>) {
        let values = sorted(values).into_iter().map(|(value, total)| (value.to_owned(), total));
        match Dimension::ALL.into_iter().find(|of| number(*of) == dimension) {
            Some(Dimension::Referrer) => self.referrers.push(((link, day), values.collect())),
            Some(other) => {
                self.agents.entry((link, day)).or_default().insert(other.as_str().to_owned(), values.collect());
            }
            None => {}
        }
    }
}

/// In the order of their keys.
type Rows<V> = Vec<(UnitKey, V)>;

/// All links together, which stand first because no link has a lower id, and the links.
fn divided<V>(mut rows: Rows<V>) -> (Rows<V>, Rows<V>) {
    let of_links = rows.split_off(rows.partition_point(|(key, _)| key.0 == ALL_LINKS));
    (rows, of_links)
}

pub(super) async fn write(tx: &Tx<'_>, rolled: &RolledUp) -> Result<()> {
    if rolled.totals.is_empty() {
        return Ok(());
    }
    tx.prepare(&QUERIES).await?;
    let clicked = hold_links(tx, &rolled.totals).await?;
    let before = |link| clicked.get(&link).copied().unwrap_or(0);
    add(tx, &rolled.of_links, before).await?;
    // The lock is on its way before what it guards is looked at.
    let (held, added) = join(tx.execute(sql::ROLL_UPS_OF_ALL_LOCK, &[]), add(tx, &rolled.of_all, |_| i64::MAX)).await;
    held.and(added)
}

/// Each kind by itself: while the server looks up or writes one, another is merged here, which takes milliseconds for thousands of sketches. `clicks` says how many a link had before.
async fn add(tx: &Tx<'_>, sums: &Arc<Sums>, clicks: impl Fn(i64) -> i64) -> Result<()> {
    let (hours, days, referrers) =
        join3(add_hours(tx, sums, &clicks), add_days(tx, sums, &clicks), add_referrers(tx, sums, &clicks)).await;
    hours.and(days).and(referrers)
}

async fn add_hours(tx: &Tx<'_>, sums: &Arc<Sums>, clicks: impl Fn(i64) -> i64) -> Result<()> {
    let stored = units(tx, sql::HOUR_SKETCH, &sums.hours, clicks).await?;
    let sums = sums.clone();
    let new = blocking(move || UnitColumns::of(&sums.hours, &stored)).await?;
    let asked: [&(dyn ToSql + Sync); 6] = [&new.links, &new.units, &new.totals, &new.humans, &new.visitors, &new.sketches];
    tx.execute(sql::HOUR_ADD, &asked).await.map(drop)
}

async fn add_days(tx: &Tx<'_>, sums: &Arc<Sums>, clicks: impl Fn(i64) -> i64) -> Result<()> {
    let stored = units(tx, sql::DAY_SKETCH, &sums.days, clicks).await?;
    let sums = sums.clone();
    let (new, agents) = blocking(move || (UnitColumns::of(&sums.days, &stored), agents_of(&sums, &stored))).await?;
    let agents = agents?;
    let asked: [&(dyn ToSql + Sync); 7] = [&new.links, &new.units, &new.totals, &new.humans, &new.visitors, &new.sketches, &agents];
    tx.execute(sql::DAY_ADD, &asked).await.map(drop)
}

async fn add_referrers(tx: &Tx<'_>, sums: &Arc<Sums>, clicks: impl Fn(i64) -> i64) -> Result<()> {
    let stored = stored_referrers(tx, &sums.referrers, clicks).await?;
    let sums = sums.clone();
    let new = blocking(move || ReferrerColumns::of(&sums.referrers, &stored)).await?;
    tx.execute(sql::REFERRER_ADD, &[&new.links, &new.days, &new.hosts, &new.totals]).await.map(drop)
}

/// Returns the links that had clicks before this batch, and how many. Of the others nothing is stored, and nobody need look: every roll-up
/// is written by whoever has added to its link's total in the same transaction.
async fn hold_links(tx: &Tx<'_>, totals: &[(i64, Total)]) -> Result<HashMap<i64, i64>> {
    let column = |of: fn(&(i64, Total)) -> i64| totals.iter().map(of).collect::<Vec<_>>();
    let (links, sums) = (column(|(link, _)| *link), column(|(_, total)| total.total));
    let (human, last) = (column(|(_, total)| total.human), column(|(_, total)| total.last_click_at));
    let mut clicked = HashMap::with_capacity(totals.len());
    for row in &tx.rows(sql::TOTAL_ADD, &[&links, &sums, &human, &last]).await? {
        let (link, now): (i64, i64) = (get(row, 0)?, get(row, 1)?);
        let added = totals.binary_search_by_key(&link, |(link, _)| *link).map_or(0, |at| totals[at].1.total);
        if added != now {
            clicked.insert(link, now - added);
        }
    }
    Ok(clicked)
}

/// What the database has of a row that a batch adds to.
#[derive(Debug)]
struct StoredUnit {
    sketch: Option<Vec<u8>>,
    /// JSON; days only.
    agents: Option<String>,
}

/// Of one link and day.
#[derive(Debug, Default)]
struct StoredReferrers {
    count: i64,
    /// Those of the batch that are there already; looked up only where not all of them may be named.
    known: HashSet<String>,
}

async fn units(
    tx: &Tx<'_>,
    query: Query,
    sums: &[(UnitKey, Tally)],
    clicks: impl Fn(i64) -> i64,
) -> Result<HashMap<UnitKey, StoredUnit>> {
    let (links, units): (Vec<i64>, Vec<i64>) = sums.iter().map(|(key, _)| *key).filter(|key| clicks(key.0) > 0).unzip();
    let found = tx.rows(query, &[&links, &units]).await?;
    let unit = |row| Ok(((get(row, 0)?, get(row, 1)?), StoredUnit { sketch: get(row, 2)?, agents: get(row, 3)? }));
    found.iter().map(unit).collect()
}

/// Of days that may be full by now: a link never had more referrers than clicks.
async fn stored_referrers(
    tx: &Tx<'_>,
    sums: &Rows<Referrers>,
    clicks: impl Fn(i64) -> i64,
) -> Result<HashMap<UnitKey, StoredReferrers>> {
    let may_be_full = |new: &Referrers, key: &UnitKey| clicks(key.0).saturating_add(new.len() as i64) > REFERRERS_MAX;
    let (links, days): (Vec<i64>, Vec<i64>) = sums.iter().filter(|(key, new)| may_be_full(new, key)).map(|(key, _)| *key).unzip();
    if links.is_empty() {
        return Ok(HashMap::new());
    }
    let found = tx.rows(sql::REFERRERS_COUNT, &[&links, &days]).await?;
    let counted = |row| Ok(((get(row, 0)?, get(row, 1)?), StoredReferrers { count: get(row, 2)?, known: HashSet::new() }));
    let mut stored: HashMap<UnitKey, StoredReferrers> = found.iter().map(counted).collect::<Result<_>>()?;
    let mut asked = ReferrerColumns::default();
    for (key, new) in sums {
        if stored.get(key).is_some_and(|there| there.count + new.len() as i64 > REFERRERS_MAX) {
            new.iter().for_each(|(host, total)| asked.push(*key, host, *total));
        }
    }
    if asked.links.is_empty() {
        return Ok(stored);
    }
    for row in &tx.rows(sql::REFERRERS_KNOWN, &[&asked.links, &asked.days, &asked.hosts]).await? {
        stored.entry((get(row, 0)?, get(row, 1)?)).or_default().known.insert(get(row, 2)?);
    }
    Ok(stored)
}

/// In the order of the days.
fn agents_of(sums: &Sums, stored: &HashMap<UnitKey, StoredUnit>) -> Result<Vec<String>> {
    let empty = Agents::new();
    let document = |(key, _): &(UnitKey, Tally)| {
        let new = sums.agents.get(key).unwrap_or(&empty);
        let Some(there) = stored.get(key).and_then(|stored| stored.agents.as_deref()) else {
            return serde_json::to_string(new);
        };
        let mut merged: Agents = serde_json::from_str(there).unwrap_or_else(|error| {
            // As with sketches: the delivery of every click after it is worth more.
            tracing::error!(link = key.0, day = key.1, %error, "the agents of a day are damaged; they begin anew");
            Agents::new()
        });
        for (dimension, values) in new {
            let merged = merged.entry(dimension.clone()).or_default();
            values.iter().for_each(|(value, total)| *merged.entry(value.clone()).or_default() += total);
        }
        serde_json::to_string(&merged)
    };
    sums.days.iter().map(document).collect::<std::result::Result<_, _>>().map_err(|e| StoreError::Internal(Box::new(e)))
}

#[derive(Debug, Default)]
struct UnitColumns {
    links: Vec<i64>,
    units: Vec<i64>,
    totals: Vec<i64>,
    humans: Vec<i64>,
    visitors: Vec<i64>,
    sketches: Vec<Option<Vec<u8>>>,
}

impl UnitColumns {
    fn of(sums: &[(UnitKey, Tally)], stored: &HashMap<UnitKey, StoredUnit>) -> Self {
        let mut columns = Self::default();
        for (key, tally) in sums {
            let stored = stored.get(key).and_then(|stored| stored.sketch.as_deref());
            let sketch = (!tally.visitors.is_empty()).then(|| tally.sketch(*key, stored));
            // Where nobody new came, the row keeps the sketch it has.
            let changed = sketch.map(|sketch| (sketch.estimate(), sketch.to_bytes())).filter(|(_, bytes)| stored != Some(bytes));
            columns.links.push(key.0);
            columns.units.push(key.1);
            columns.totals.push(tally.total);
            columns.humans.push(tally.human);
            columns.visitors.push(changed.as_ref().map_or(0, |(visitors, _)| *visitors as i64));
            columns.sketches.push(changed.map(|(_, bytes)| bytes));
        }
        columns
    }
}

#[derive(Debug, Default)]
struct ReferrerColumns {
    links: Vec<i64>,
    days: Vec<i64>,
    hosts: Vec<String>,
    totals: Vec<i64>,
}

impl ReferrerColumns {
    /// As many new ones as each day may still name; the rest together.
    fn of(sums: &[(UnitKey, Referrers)], stored: &HashMap<UnitKey, StoredReferrers>) -> Self {
        let (mut columns, none) = (Self::default(), StoredReferrers::default());
        for (key, referrers) in sums {
            let there = stored.get(key).unwrap_or(&none);
            let mut room = REFERRERS_MAX - there.count;
            let mut other = 0;
            for (host, total) in referrers {
                let is_new = !there.known.contains(host);
                if is_new && room <= 0 {
                    other += total;
                    continue;
                }
                room -= i64::from(is_new);
                columns.push(*key, host, *total);
            }
            if other > 0 {
                columns.push(*key, OTHER, other);
            }
        }
        columns
    }

    fn push(&mut self, (link, day): UnitKey, host: &str, total: i64) {
        self.links.push(link);
        self.days.push(day);
        self.hosts.push(host.to_owned());
        self.totals.push(total);
    }
}
