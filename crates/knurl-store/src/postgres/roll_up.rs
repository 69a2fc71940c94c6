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
    failure::{taken_meanwhile, together},
    sql::{self, Query},
};
use crate::{
    StoreError,
    roll_up::{ALL_LINKS, OTHER, REFERRERS_MAX, RollUp, SharesKey, Tally, Total, UnitKey, number, sorted},
    store::Result,
};

/// Prepared before anything is sent: what is pipelined reaches the server in the order of the code.
const QUERIES: [Query; 11] = [
    sql::TOTAL_ADD,
    sql::HOUR_SKETCH,
    sql::DAY_SKETCH,
    sql::REFERRERS_COUNT,
    sql::REFERRERS_KNOWN,
    sql::HOUR_CHANGE,
    sql::HOUR_INSERT,
    sql::DAY_CHANGE,
    sql::DAY_INSERT,
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

/// Which links' hours and days are looked up. What is there is changed, what is not is inserted, each by a statement of its own: `on conflict`
/// would cost a third more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// Those that had clicks before: every roll-up is written by whoever has added to its link's total in the same transaction, so of the
    /// others nothing is stored; where somebody was at the tables and something is, the insert fails as a duplicate.
    UpClicked,
    UpAll,
}

pub(super) async fn write(tx: &Tx<'_>, rolled: &RolledUp, looked: Looked) -> Result<()> {
    if rolled.totals.is_empty() {
        return Ok(());
    }
    tx.prepare(&QUERIES).await?;
    let clicked = hold_links(tx, &rolled.totals).await?;
    let before = |link| clicked.get(&link).copied().unwrap_or(0);
    add(tx, &rolled.of_links, before, |link| looked == Looked::UpAll || before(link) > 0).await?;
    // The lock is on its way before what it guards is looked at.
    let (held, added) = join(tx.execute(sql::ROLL_UPS_OF_ALL_LOCK, &[]), add(tx, &rolled.of_all, |_| i64::MAX, |_| true)).await;
    held.and(added)
}

/// Each kind by itself: while the server looks up or writes one, another is merged here, which takes milliseconds for thousands of sketches.
/// `clicks` says how many a link had before.
async fn add(tx: &Tx<'_>, sums: &Arc<Sums>, clicks: impl Fn(i64) -> i64, look: impl Fn(i64) -> bool) -> Result<()> {
    let (hours, days, referrers) =
        join3(add_hours(tx, sums, &look), add_days(tx, sums, &look), add_referrers(tx, sums, &clicks)).await;
    together([hours, days, referrers])
}

async fn add_hours(tx: &Tx<'_>, sums: &Arc<Sums>, look: impl Fn(i64) -> bool) -> Result<()> {
    let stored = units(tx, sql::HOUR_SKETCH, &sums.hours, look).await?;
    let sums = sums.clone();
    let (change, insert) = blocking(move || parted(&sums.hours, &stored, |_, _| Ok(None))).await??;
    let (changed, inserted) = join(change.send(tx, sql::HOUR_CHANGE, &[]), insert.send(tx, sql::HOUR_INSERT, &[])).await;
    changed.and(inserted)
}

async fn add_days(tx: &Tx<'_>, sums: &Arc<Sums>, look: impl Fn(i64) -> bool) -> Result<()> {
    let stored = units(tx, sql::DAY_SKETCH, &sums.days, look).await?;
    let sums = sums.clone();
    let (change, insert) =
        blocking(move || parted(&sums.days, &stored, |key, stored| agents(&sums, key, stored).map(Some))).await??;
    let (changed, inserted) =
        join(change.send(tx, sql::DAY_CHANGE, &[&change.agents]), insert.send(tx, sql::DAY_INSERT, &[&insert.agents])).await;
    changed.and(inserted)
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
    look: impl Fn(i64) -> bool,
) -> Result<HashMap<UnitKey, StoredUnit>> {
    let (links, units): (Vec<i64>, Vec<i64>) = sums.iter().map(|(key, _)| *key).filter(|key| look(key.0)).unzip();
    if links.is_empty() {
        return Ok(HashMap::new());
    }
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

/// Of a day: its agents, those that are stored among them.
fn agents(sums: &Sums, key: &UnitKey, stored: Option<&StoredUnit>) -> Result<String> {
    let empty = Agents::new();
    let new = sums.agents.get(key).unwrap_or(&empty);
    let document = match stored.and_then(|stored| stored.agents.as_deref()) {
        None => serde_json::to_string(new),
        Some(there) => {
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
        }
    };
    document.map_err(|e| StoreError::Internal(Box::new(e)))
}

#[derive(Debug, Default)]
struct UnitColumns {
    links: Vec<i64>,
    units: Vec<i64>,
    totals: Vec<i64>,
    humans: Vec<i64>,
    visitors: Vec<i64>,
    sketches: Vec<Option<Vec<u8>>>,
    /// Days only.
    agents: Vec<String>,
}

/// Rows there are, and rows there are not.
fn parted(
    sums: &[(UnitKey, Tally)],
    stored: &HashMap<UnitKey, StoredUnit>,
    agents: impl Fn(&UnitKey, Option<&StoredUnit>) -> Result<Option<String>>,
) -> Result<(UnitColumns, UnitColumns)> {
    let (mut change, mut insert) = (UnitColumns::default(), UnitColumns::default());
    for (key, tally) in sums {
        let stored = stored.get(key);
        let columns = if stored.is_some() { &mut change } else { &mut insert };
        columns.push(*key, tally, stored.and_then(|stored| stored.sketch.as_deref()));
        columns.agents.extend(agents(key, stored)?);
    }
    Ok((change, insert))
}

impl UnitColumns {
    fn push(&mut self, key: UnitKey, tally: &Tally, stored: Option<&[u8]>) {
        let sketch = (!tally.visitors.is_empty()).then(|| tally.sketch(key, stored));
        // Where nobody new came, the row keeps the sketch it has.
        let changed = sketch.map(|sketch| (sketch.estimate(), sketch.to_bytes())).filter(|(_, bytes)| stored != Some(bytes));
        self.links.push(key.0);
        self.units.push(key.1);
        self.totals.push(tally.total);
        self.humans.push(tally.human);
        self.visitors.push(changed.as_ref().map_or(0, |(visitors, _)| *visitors as i64));
        self.sketches.push(changed.map(|(_, bytes)| bytes));
    }

    async fn send(&self, tx: &Tx<'_>, query: Query, more: &[&(dyn ToSql + Sync)]) -> Result<()> {
        if self.links.is_empty() {
            return Ok(());
        }
        let mut columns: Vec<&(dyn ToSql + Sync)> =
            vec![&self.links, &self.units, &self.totals, &self.humans, &self.visitors, &self.sketches];
        columns.extend(more);
        let written = tx.execute(query, &columns).await?;
        if written != self.links.len() as u64 {
            // Looked up, and gone since by somebody who holds none of our locks.
            return Err(taken_meanwhile());
        }
        Ok(())
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
