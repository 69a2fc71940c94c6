//! Writes a batch's roll-ups: one upsert for each row it touches, in key order (neighbours share pages).

use std::collections::HashMap;

use knurl_core::{sketch::Sketch, stats::Dimension};

use super::{failure::store_error, prepared::Prepare, sql, tx::Tx};
use crate::{
    roll_up::{OTHER, REFERRERS_MAX, RollUp, SharesKey, Tally, UnitKey, number, sorted},
    store::Result,
};

pub(super) fn write(tx: &Tx<'_>, roll_up: RollUp<'_>) -> Result<()> {
    for (key, tally) in sorted(roll_up.hours) {
        write_unit(tx, sql::HOUR_SKETCH, sql::HOUR_ADD, key, &tally)?;
    }
    for (key, tally) in sorted(roll_up.days) {
        write_unit(tx, sql::DAY_SKETCH, sql::DAY_ADD, key, &tally)?;
    }
    for (link, total) in sorted(roll_up.totals) {
        tx.prepared(sql::TOTAL_ADD)
            .and_then(|mut upsert| upsert.execute((link, total.total, total.human, total.last_click_at)))
            .map_err(store_error)?;
    }
    for (key, values) in sorted(roll_up.shares) {
        write_shares(tx, key, values)?;
    }
    Ok(())
}

fn write_unit(tx: &Tx<'_>, select: &str, upsert: &str, (link, unit): UnitKey, tally: &Tally) -> Result<()> {
    let sketch = if tally.visitors.is_empty() { None } else { Some(sketch(tx, select, (link, unit), tally)?) };
    let visitors = sketch.as_ref().map_or(0, Sketch::estimate) as i64;
    let row = (link, unit, tally.total, tally.human, visitors, sketch.map(|sketch| sketch.to_bytes()));
    tx.prepared(upsert).and_then(|mut upsert| upsert.execute(row)).map_err(store_error)?;
    Ok(())
}

fn sketch(tx: &Tx<'_>, select: &str, key: UnitKey, tally: &Tally) -> Result<Sketch> {
    let mut query = tx.prepared(select).map_err(store_error)?;
    let mut rows = query.query(key).map_err(store_error)?;
    let row = rows.next().map_err(store_error)?;
    let stored = match row {
        Some(row) => row.get_ref(0).map_err(store_error)?.as_blob_or_null().ok().flatten(),
        None => None,
    };
    Ok(tally.sketch(key, stored))
}

fn write_shares(tx: &Tx<'_>, (link, dimension, day): SharesKey, values: HashMap<&str, i64>) -> Result<()> {
    if dimension != number(Dimension::Referrer) {
        for (value, total) in sorted(values) {
            add_share(tx, (link, dimension, day, value, total))?;
        }
        return Ok(());
    }
    let mut known: Option<i64> = None;
    let mut other = 0;
    for (value, total) in sorted(values) {
        let grown = tx.prepared(sql::SHARE_GROW).and_then(|mut grow| grow.execute((link, dimension, day, value, total)));
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
    tx.prepared(sql::SHARE_ADD).and_then(|mut upsert| upsert.execute(row)).map_err(store_error)?;
    Ok(())
}

fn count_values(tx: &Tx<'_>, link: i64, dimension: i64, day: i64) -> Result<i64> {
    let counted = tx.prepared(sql::SHARE_VALUES).and_then(|mut query| query.query_row((link, dimension, day), |row| row.get(0)));
    counted.map_err(store_error)
}
