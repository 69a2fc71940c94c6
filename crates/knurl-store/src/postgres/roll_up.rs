//! Writes a batch's roll-ups while other nodes write theirs.
//!
//! Promised: batches do not deadlock, no visitor is lost, and a day of a link names no more referrers than it may. Totals come first, in
//! the order of their links: whoever has added to a link's total holds all that is rolled up for this link until the end of the
//! transaction, so that sketches and referrers may be read before they are written. All links together, which every batch adds to, come
//! last and under a lock of their own: they are held for the time of a commit and not of a batch.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures_util::future::{join, join3};
use knurl_core::stats::Dimension;
use tokio_postgres::Row;

use super::{
    blocking,
    connection::{Connection, Tx, get},
    sql::{self, Query},
};
use crate::{
    roll_up::{ALL_LINKS, OTHER, REFERRERS_MAX, RollUp, SharesKey, Tally, Total, UnitKey, number, sorted},
    store::Result,
};

/// Prepared before anything is sent: what is pipelined reaches the server in the order of the code.
const QUERIES: [Query; 9] = [
    sql::TOTAL_ADD,
    sql::HOUR_SKETCH,
    sql::DAY_SKETCH,
    sql::SHARE_VALUES,
    sql::SHARE_KNOWN,
    sql::HOUR_ADD,
    sql::DAY_ADD,
    sql::SHARE_ADD,
    sql::ROLL_UPS_OF_ALL_LOCK,
];

/// A batch's sums in the order of their keys; may be written more than once, should a transaction have to be.
#[derive(Debug)]
pub(super) struct RolledUp {
    totals: Vec<(i64, Total)>,
    of_links: Arc<Sums>,
    of_all: Arc<Sums>,
}

#[derive(Debug, Default)]
struct Sums {
    hours: Vec<(UnitKey, Tally)>,
    days: Vec<(UnitKey, Tally)>,
    shares: Vec<(SharesKey, Vec<(String, i64)>)>,
}

impl RolledUp {
    pub(super) fn new(rolled: RollUp<'_>) -> Self {
        let mut of_links = Sums {
            hours: sorted(rolled.hours),
            days: sorted(rolled.days),
            shares: sorted(rolled.shares).into_iter().map(|(key, values)| (key, owned(sorted(values)))).collect(),
        };
        let of_all = Sums {
            hours: take_all(&mut of_links.hours, |key| key.0),
            days: take_all(&mut of_links.days, |key| key.0),
            shares: take_all(&mut of_links.shares, |key| key.0),
        };
        Self { totals: sorted(rolled.totals), of_links: Arc::new(of_links), of_all: Arc::new(of_all) }
    }
}

fn owned(values: Vec<(&str, i64)>) -> Vec<(String, i64)> {
    values.into_iter().map(|(value, total)| (value.to_owned(), total)).collect()
}

/// The rows of all links together, which stand first: no link has a lower id.
fn take_all<K, V>(rows: &mut Vec<(K, V)>, link: fn(&K) -> i64) -> Vec<(K, V)> {
    let own = rows.split_off(rows.partition_point(|(key, _)| link(key) == ALL_LINKS));
    std::mem::replace(rows, own)
}

pub(super) async fn write(tx: &Tx<'_>, rolled: &RolledUp) -> Result<()> {
    if rolled.totals.is_empty() {
        return Ok(());
    }
    tx.prepare(&QUERIES).await?;
    let (held, stored) = join(hold_links(tx, &rolled.totals), Stored::of(tx, &rolled.of_links)).await;
    held?;
    let new = merge(&rolled.of_links, stored?).await?;
    let (written, held, stored) =
        join3(new.write(tx), tx.execute(sql::ROLL_UPS_OF_ALL_LOCK, &[]), Stored::of(tx, &rolled.of_all)).await;
    written?;
    held?;
    merge(&rolled.of_all, stored?).await?.write(tx).await
}

async fn hold_links(tx: &Tx<'_>, totals: &[(i64, Total)]) -> Result<()> {
    let column = |of: fn(&(i64, Total)) -> i64| totals.iter().map(of).collect::<Vec<_>>();
    let (links, sums) = (column(|(link, _)| *link), column(|(_, total)| total.total));
    let (human, last) = (column(|(_, total)| total.human), column(|(_, total)| total.last_click_at));
    tx.execute(sql::TOTAL_ADD, &[&links, &sums, &human, &last]).await.map(drop)
}

/// What the database has of the rows a batch adds to.
#[derive(Debug)]
struct Stored {
    hours: HashMap<UnitKey, Vec<u8>>,
    days: HashMap<UnitKey, Vec<u8>>,
    referrers: HashMap<SharesKey, Referrers>,
}

/// Of one link and day.
#[derive(Debug, Default)]
struct Referrers {
    count: i64,
    /// Those of the batch that are there already; looked up only where not all of them may be named.
    known: HashSet<String>,
}

impl Stored {
    async fn of(tx: &Tx<'_>, sums: &Sums) -> Result<Self> {
        let (hours, days, referrers) = join3(
            sketches(tx, sql::HOUR_SKETCH, &sums.hours),
            sketches(tx, sql::DAY_SKETCH, &sums.days),
            count_referrers(tx, sums),
        )
        .await;
        let mut stored = Self { hours: hours?, days: days?, referrers: referrers? };
        stored.look_up_referrers(tx, sums).await?;
        Ok(stored)
    }

    async fn look_up_referrers(&mut self, tx: &Tx<'_>, sums: &Sums) -> Result<()> {
        let mut asked = ShareColumns::default();
        for ((link, dimension, day), values) in sums.shares.iter().filter(|(key, values)| self.is_crowded(key, values)) {
            values.iter().for_each(|(value, total)| asked.push((*link, *dimension, *day), value, *total));
        }
        if asked.links.is_empty() {
            return Ok(());
        }
        let found = tx.rows(sql::SHARE_KNOWN, &[&asked.links, &asked.dimensions, &asked.days, &asked.values]).await?;
        for row in &found {
            let key = (get(row, 0)?, number(Dimension::Referrer), get(row, 1)?);
            self.referrers.entry(key).or_default().known.insert(get(row, 2)?);
        }
        Ok(())
    }

    fn is_crowded(&self, key: &SharesKey, values: &[(String, i64)]) -> bool {
        self.referrers.get(key).is_some_and(|referrers| referrers.count + values.len() as i64 > REFERRERS_MAX)
    }
}

async fn sketches(tx: &Tx<'_>, query: Query, sums: &[(UnitKey, Tally)]) -> Result<HashMap<UnitKey, Vec<u8>>> {
    let with_visitors = sums.iter().filter(|(_, tally)| !tally.visitors.is_empty());
    let (links, units): (Vec<i64>, Vec<i64>) = with_visitors.map(|(key, _)| *key).unzip();
    if links.is_empty() {
        return Ok(HashMap::new());
    }
    let found = tx.rows(query, &[&links, &units]).await?;
    found.iter().map(|row| Ok(((get(row, 0)?, get(row, 1)?), get(row, 2)?))).collect()
}

async fn count_referrers(tx: &Connection, sums: &Sums) -> Result<HashMap<SharesKey, Referrers>> {
    let dimension = number(Dimension::Referrer);
    let of_referrers = sums.shares.iter().filter(|((_, of, _), _)| *of == dimension);
    let (links, days): (Vec<i64>, Vec<i64>) = of_referrers.map(|((link, _, day), _)| (*link, *day)).unzip();
    let found = tx.rows(sql::SHARE_VALUES, &[&links, &(dimension as i16), &days]).await?;
    let counted = |row: &Row| {
        let referrers = Referrers { count: get(row, 2)?, known: HashSet::new() };
        Ok(((get(row, 0)?, dimension, get(row, 1)?), referrers))
    };
    found.iter().map(counted).collect()
}

/// Thousands of sketches take milliseconds: on a thread that may block.
async fn merge(sums: &Arc<Sums>, stored: Stored) -> Result<NewRows> {
    let sums = sums.clone();
    blocking(move || NewRows {
        hours: UnitColumns::of(&sums.hours, &stored.hours),
        days: UnitColumns::of(&sums.days, &stored.days),
        shares: ShareColumns::of(&sums.shares, &stored.referrers),
    })
    .await
}

#[derive(Debug)]
struct NewRows {
    hours: UnitColumns,
    days: UnitColumns,
    shares: ShareColumns,
}

impl NewRows {
    async fn write(&self, tx: &Tx<'_>) -> Result<()> {
        let (hours, days, shares) =
            join3(self.hours.write(tx, sql::HOUR_ADD), self.days.write(tx, sql::DAY_ADD), self.shares.write(tx)).await;
        hours.and(days).and(shares)
    }
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
    fn of(sums: &[(UnitKey, Tally)], stored: &HashMap<UnitKey, Vec<u8>>) -> Self {
        let mut columns = Self::default();
        for (key, tally) in sums {
            let stored = stored.get(key).map(Vec::as_slice);
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

    async fn write(&self, tx: &Tx<'_>, query: Query) -> Result<()> {
        tx.execute(query, &[&self.links, &self.units, &self.totals, &self.humans, &self.visitors, &self.sketches]).await.map(drop)
    }
}

#[derive(Debug, Default)]
struct ShareColumns {
    links: Vec<i64>,
    dimensions: Vec<i16>,
    days: Vec<i64>,
    values: Vec<String>,
    totals: Vec<i64>,
}

impl ShareColumns {
    fn of(sums: &[(SharesKey, Vec<(String, i64)>)], referrers: &HashMap<SharesKey, Referrers>) -> Self {
        let mut columns = Self::default();
        for (key, values) in sums {
            match referrers.get(key) {
                Some(referrers) => columns.push_named(*key, values, referrers),
                None => values.iter().for_each(|(value, total)| columns.push(*key, value, *total)),
            }
        }
        columns
    }

    /// As many new referrers as the day may still name; the rest together.
    fn push_named(&mut self, key: SharesKey, values: &[(String, i64)], referrers: &Referrers) {
        let mut room = REFERRERS_MAX - referrers.count;
        let mut other = 0;
        for (value, total) in values {
            if referrers.known.contains(value) {
                self.push(key, value, *total);
            } else if room > 0 {
                room -= 1;
                self.push(key, value, *total);
            } else {
                other += total;
            }
        }
        if other > 0 {
            self.push(key, OTHER, other);
        }
    }

    fn push(&mut self, (link, dimension, day): SharesKey, value: &str, total: i64) {
        self.links.push(link);
        self.dimensions.push(dimension as i16);
        self.days.push(day);
        self.values.push(value.to_owned());
        self.totals.push(total);
    }

    async fn write(&self, tx: &Tx<'_>) -> Result<()> {
        tx.execute(sql::SHARE_ADD, &[&self.links, &self.dimensions, &self.days, &self.values, &self.totals]).await.map(drop)
    }
}
