//! Random histories against a model of a few lines: whatever happened, figures and rows agree.

use std::collections::BTreeMap;

use knurl_core::{
    Event, Link, LinkId, Page, UnixMillis,
    link::{Expected, LinkPatch},
    stats::{Dimension, StatsQuery, Unit},
    time::HOUR_MS,
};
use knurl_store::{Applied, EventFilter, ImportMode};
use proptest::{prelude::*, test_runner::TestRunner};

use crate::bench::*;

#[derive(Clone, Debug)]
enum Step {
    Create,
    Delete(usize),
    Toggle(usize),
    Deliver(Vec<(usize, i64, u64, bool)>),
    DeliverAgain,
    Post(usize, i64),
    Import(usize, i64),
    Purge(i64, u32),
}

fn step() -> impl Strategy<Value = Step> {
    let hours = 0..60_i64;
    prop_oneof![
        2 => Just(Step::Create),
        1 => (0..8_usize).prop_map(Step::Delete),
        1 => (0..8_usize).prop_map(Step::Toggle),
        4 => prop::collection::vec((0..8_usize, hours.clone(), 0..5_u64, any::<bool>()), 0..12).prop_map(Step::Deliver),
        1 => Just(Step::DeliverAgain),
        1 => (0..8_usize, hours.clone()).prop_map(|(link, hour)| Step::Post(link, hour)),
        1 => (0..8_usize, hours.clone()).prop_map(|(link, hour)| Step::Import(link, hour)),
        1 => (hours, 1..5_u32).prop_map(|(hour, rows)| Step::Purge(hour, rows)),
    ]
}

/// What must have been counted: (link, hour, person) of every click that ever was.
#[derive(Default)]
struct Model {
    clicks: Vec<(LinkId, UnixMillis, bool)>,
    delivered: u64,
    external: u64,
    purged_rows: u64,
    imported: i64,
    alive: BTreeMap<LinkId, Link>,
    ever: Vec<LinkId>,
}

impl Model {
    fn pick(&self, n: usize) -> Option<Link> {
        self.alive.values().nth(n % self.alive.len().max(1)).cloned()
    }
}

/// No backend of its own: proptest drives the runtime.
pub(crate) fn roll_ups_are_the_raw_law_after_any_history(fresh: fn() -> Bench, cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut runner = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..Default::default() });
    let histories = prop::collection::vec(step(), 1..40);
    let outcome = runner.run(&histories, |steps| {
        runtime.block_on(async { play(fresh(), steps).await });
        Ok(())
    });
    outcome.unwrap();
}

async fn play(b: Bench, steps: Vec<Step>) {
    let mut model = Model::default();
    let mut last = batch(0, vec![]);
    for step in steps {
        take(&b, &mut model, &mut last, step).await;
    }
    compare(&b, &model).await;
}

async fn take(b: &Bench, model: &mut Model, last: &mut knurl_store::ClickBatch, step: Step) {
    match step {
        Step::Create => {
            let link = b.link(&format!("code{}", model.ever.len())).await;
            model.ever.push(link.id);
            model.alive.insert(link.id, link);
        }
        Step::Delete(n) => {
            let Some(link) = model.pick(n) else { return };
            b.store.delete_link(link.id, Expected::Any, "gone", T0).await.unwrap().unwrap();
            model.alive.remove(&link.id);
        }
        Step::Toggle(n) => {
            let Some(link) = model.pick(n) else { return };
            let patch = LinkPatch { is_active: Some(!link.is_active), ..Default::default() };
            let link = b.store.update_link(link.id, patch, T0).await.unwrap().unwrap();
            model.alive.insert(link.id, link);
        }
        Step::Deliver(clicks) => {
            let mut delivered = Vec::new();
            for (n, hour, visitor, human) in clicks {
                let Some(link) = model.pick(n) else { continue };
                let mut one = click(&link, after(hour * HOUR_MS), visitor);
                one.agent = if human { person() } else { robot() };
                model.clicks.push((link.id, one.click.at, human));
                delivered.push(one);
            }
            *last = batch(model.delivered, delivered);
            model.delivered = last.to.seq;
            assert_eq!(b.store.apply_clicks(last.clone()).await.unwrap(), Applied::Applied);
        }
        Step::DeliverAgain => {
            if last.from.seq < last.to.seq {
                assert_eq!(b.store.apply_clicks(last.clone()).await.unwrap(), Applied::CursorIs(last.to));
            }
        }
        Step::Post(n, hour) => {
            let Some(link) = model.pick(n) else { return };
            let at = after(hour * HOUR_MS);
            b.store.post_event(knurl_core::event::NewEvent { at, ..new_event(link.id, "click") }).await.unwrap();
            model.clicks.push((link.id, at, false));
            model.external += 1;
        }
        Step::Import(n, hour) => {
            let Some(link) = model.ever.get(n % model.ever.len().max(1)) else { return };
            let at = after(hour * HOUR_MS);
            // Far past every id that was given meanwhile.
            model.imported += 1;
            let row = Event { at, ..event_row(1_000_000 * model.imported, link.0, "click") };
            for mode in [ImportMode::DryRun, ImportMode::Commit, ImportMode::Commit] {
                b.store.import_events(numbered([row.clone()]), mode).await.unwrap();
            }
            model.clicks.push((*link, at, false));
            model.external += 1;
        }
        Step::Purge(hour, rows) => {
            model.purged_rows += b.store.purge_clicks(after(hour * HOUR_MS), rows).await.unwrap();
        }
    }
}

async fn compare(b: &Bench, model: &Model) {
    b.assert_books_balance().await;
    let ledger = b.store.click_ledger().await.unwrap();
    assert_eq!((ledger.delivered, ledger.external), (model.delivered, model.external));
    assert_eq!(ledger.rolled_up, model.clicks.len() as u64);
    let raw = EventFilter { event_type: Some("click".into()), ..Default::default() };
    let raw = b.store.list_events(raw, Page::first(u32::MAX)).await.unwrap().total;
    assert_eq!(raw + model.purged_rows, model.clicks.len() as u64);
    for unit in [Unit::Hour, Unit::Day] {
        for link in model.ever.iter().copied().map(Some).chain([None]) {
            let query = StatsQuery { link, from: UnixMillis(0), to: after(1 << 40), unit };
            let mut expected: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
            for (_, at, human) in model.clicks.iter().filter(|(of, ..)| link.is_none_or(|link| link == *of)) {
                let slot = expected.entry(if unit == Unit::Hour { at.hour() } else { at.day() }).or_default();
                slot.0 += 1;
                slot.1 += u64::from(*human);
            }
            let buckets = b.store.buckets(query).await.unwrap();
            let found: BTreeMap<_, _> = buckets
                .iter()
                .map(|bucket| (if unit == Unit::Hour { bucket.at.hour() } else { bucket.at.day() }, (bucket.total, bucket.human)))
                .collect();
            assert_eq!(found, expected, "{link:?} {unit:?}");
            assert!(buckets.iter().all(|bucket| bucket.visitors <= bucket.human && bucket.bot == bucket.total - bucket.human));
            for by in Dimension::ALL {
                let shares = b.store.shares(query, by, u32::MAX).await.unwrap();
                let sum: u64 = shares.iter().map(|share| share.total).sum();
                assert_eq!(sum, expected.values().map(|(total, _)| total).sum::<u64>(), "{link:?} {by:?}");
            }
        }
    }
}
