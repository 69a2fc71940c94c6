//! Clicks of several months, and retention that drops a month's partition: nothing is counted twice, nothing is lost, whenever it comes.

use knurl_core::{
    agent::{Agent, AgentClass},
    click::{OwnedClick, Purpose},
    stats::{StatsQuery, Unit},
};
use knurl_store::{Applied, ClickBatch, ClickLedger, Cursor, DeliveredClick};

use crate::*;

fn at(text: &str) -> UnixMillis {
    UnixMillis::parse(text).unwrap()
}

fn click(link: &Link, at: UnixMillis) -> DeliveredClick {
    DeliveredClick {
        click: OwnedClick {
            link_id: link.id,
            owner: None,
            at,
            visitor: 0x9e37_79b9_7f4a_7c15,
            purpose: Purpose::Visit,
            short_code: link.short_code.as_str().to_owned(),
            target: link.target.as_str().to_owned(),
            referrer: None,
            user_agent: None,
        },
        agent: Agent { class: AgentClass::Human, browser: "firefox", os: "linux" },
        referrer_host: None,
    }
}

/// Of one spool, batch by batch.
pub(crate) struct Spool {
    pub(crate) id: u128,
    pub(crate) seq: u64,
}

impl Spool {
    pub(crate) async fn deliver(&mut self, store: &PostgresStore, link: &Link, times: &[&str]) {
        assert_eq!(self.try_deliver(store, link, times).await, Applied::Applied);
        self.seq += times.len() as u64;
    }

    pub(crate) async fn try_deliver(&self, store: &PostgresStore, link: &Link, times: &[&str]) -> Applied {
        let cursor = |seq| Cursor { spool_id: self.id, segment: 1, offset: seq, seq };
        let (from, to) = (cursor(self.seq), cursor(self.seq + times.len() as u64));
        let clicks = times.iter().map(|time| click(link, at(time))).collect();
        store.apply_clicks(ClickBatch { from, to, clicks, undecodable: 0 }).await.unwrap()
    }
}

/// Partitions that there are, and how many clicks each has.
fn months(server: &Postgres) -> String {
    let names = "select relname from pg_class where relkind = 'r' and relname like 'clicks\\_%' order by relname";
    let counted = |name: &str| format!("{name} {}", server.sql(&format!("select count(*) from {name}")).unwrap());
    server.sql(names).unwrap().lines().map(|name| counted(name).replacen("clicks_", "", 1)).collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_is_over_goes_as_a_whole_and_its_figures_stay() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    let other = PostgresStore::open(&options(&server.url())).await.unwrap();
    let link = create(&store, "abc").await.unwrap();
    let (mut spool, mut spool_of_other) = (Spool { id: 1, seq: 0 }, Spool { id: 2, seq: 0 });
    spool
        .deliver(&store, &link, &["2026-01-01 00:00:00", "2026-01-31 23:59:59", "2026-02-01 00:00:00", "2026-03-09 12:00:00"])
        .await;
    spool_of_other.deliver(&other, &link, &["2026-01-15 00:00:00"]).await;
    assert_eq!(months(&server), "2026_01 3, 2026_02 1, 2026_03 1, 2026_04 0, 2026_05 0, default 0");
    let query = StatsQuery { link: Some(link.id), from: at("2026-01-01 00:00:00"), to: at("2026-04-01 00:00:00"), unit: Unit::Day };
    let (buckets, totals) = (store.buckets(query).await.unwrap(), store.link_totals(&[link.id]).await.unwrap());
    // A millisecond before the month is over none of it goes as a whole: its old rows go by themselves.
    assert_eq!(store.purge_clicks(at("2026-01-31 00:00:00"), 1).await.unwrap(), 1);
    assert_eq!(months(&server), "2026_01 2, 2026_02 1, 2026_03 1, 2026_04 0, 2026_05 0, default 0");
    // Whole months are counted as a whole, however few rows were asked for.
    assert_eq!(store.purge_clicks(at("2026-02-01 00:00:00"), 1).await.unwrap(), 2);
    assert_eq!(months(&server), "2026_02 1, 2026_03 1, 2026_04 0, 2026_05 0, default 0");
    assert_eq!(store.purge_clicks(at("2026-02-01 00:00:00"), 1).await.unwrap(), 0);
    let ledger = store.click_ledger().await.unwrap();
    assert_eq!(ledger, ClickLedger { delivered: 5, raw: 2, purged: 3, rolled_up: 5, ..Default::default() });
    assert_eq!(store.buckets(query).await.unwrap(), buckets);
    assert_eq!(store.link_totals(&[link.id]).await.unwrap(), totals);
    assert_eq!(store.counts().await.unwrap().events, 1 + 2);

    // Late clicks of the month: who knows that it is gone makes it again; who does not finds no partition, and they fall in the default one.
    spool_of_other.deliver(&other, &link, &["2026-01-20 00:00:00", "2026-01-21 00:00:00"]).await;
    assert_eq!(months(&server), "2026_02 1, 2026_03 1, 2026_04 0, 2026_05 0, default 2");
    spool.deliver(&store, &link, &["2026-01-22 00:00:00"]).await;
    // Strays moved with it.
    assert_eq!(months(&server), "2026_01 3, 2026_02 1, 2026_03 1, 2026_04 0, 2026_05 0, default 0");
    assert_eq!(store.purge_clicks(at("2026-02-01 00:00:00"), 100).await.unwrap(), 3);
    spool_of_other.deliver(&other, &link, &["2026-01-20 00:00:00"]).await;
    assert_eq!(months(&server), "2026_02 1, 2026_03 1, 2026_04 0, 2026_05 0, default 1");
    assert_eq!(store.purge_clicks(at("2026-02-01 00:00:00"), 100).await.unwrap(), 1);
    assert_eq!(months(&server), "2026_02 1, 2026_03 1, 2026_04 0, 2026_05 0, default 0");
    let ledger = store.click_ledger().await.unwrap();
    assert_eq!(ledger, ClickLedger { delivered: 9, raw: 2, purged: 7, rolled_up: 9, ..Default::default() });
    assert_eq!(store.link_totals(&[link.id]).await.unwrap()[&link.id].total, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_could_not_be_made_keeps_no_click_from_being_delivered() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    let link = create(&store, "abc").await.unwrap();
    let mut spool = Spool { id: 1, seq: 0 };
    let holder = session(&server).await;
    // Somebody reads the default partition for hours: it cannot be locked.
    holder.batch_execute("begin; lock table clicks_default in access share mode").await.unwrap();
    spool.deliver(&store, &link, &["2026-01-20 00:00:00", "2026-02-03 00:00:00"]).await;
    assert_eq!(months(&server), "default 2");
    holder.batch_execute("commit").await.unwrap();
    // Another node, which has not just failed to make it.
    let other = PostgresStore::open(&options(&server.url())).await.unwrap();
    let mut spool_of_other = Spool { id: 2, seq: 0 };
    spool_of_other.deliver(&other, &link, &["2026-01-21 00:00:00"]).await;
    assert_eq!(months(&server), "2026_01 2, 2026_02 1, 2026_03 0, default 0");
    let ledger = store.click_ledger().await.unwrap();
    assert_eq!(ledger, ClickLedger { delivered: 3, raw: 3, rolled_up: 3, ..Default::default() });
    assert_eq!(other.counts().await.unwrap().events, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_in_use_is_retired_later_and_a_retired_one_is_dropped_by_whoever_comes_next() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    let link = create(&store, "abc").await.unwrap();
    let mut spool = Spool { id: 1, seq: 0 };
    spool.deliver(&store, &link, &["2026-01-20 00:00:00", "2026-02-03 00:00:00"]).await;
    let holder = session(&server).await;
    holder.batch_execute("begin; lock table clicks_2026_01 in access share mode").await.unwrap();
    assert!(is_unavailable(&store.purge_clicks(at("2026-02-01 00:00:00"), 100).await));
    assert_eq!(months(&server), "2026_01 1, 2026_02 1, 2026_03 0, 2026_04 0, default 0");
    holder.batch_execute("commit").await.unwrap();
    // As by a node that died between the two steps.
    let bounds = server.sql("select pg_get_expr(relpartbound, oid) from pg_class where relname = 'clicks_2026_01'").unwrap();
    server
        .sql(&format!(
            "begin; alter table clicks detach partition clicks_2026_01; \
             alter table clicks_gone attach partition clicks_2026_01 {bounds}; commit"
        ))
        .unwrap();
    let ledger = store.click_ledger().await.unwrap();
    assert_eq!(ledger, ClickLedger { delivered: 2, raw: 2, rolled_up: 2, ..Default::default() });
    // A late click while it is retired has the default partition.
    let other = PostgresStore::open(&options(&server.url())).await.unwrap();
    let mut spool_of_other = Spool { id: 2, seq: 0 };
    spool_of_other.deliver(&other, &link, &["2026-01-21 00:00:00"]).await;
    assert_eq!(months(&server), "2026_01 1, 2026_02 1, 2026_03 0, 2026_04 0, default 1");
    assert_eq!(other.purge_clicks(at("2026-02-01 00:00:00"), 100).await.unwrap(), 2);
    assert_eq!(months(&server), "2026_02 1, 2026_03 0, 2026_04 0, default 0");
    let ledger = store.click_ledger().await.unwrap();
    assert_eq!(ledger, ClickLedger { delivered: 3, raw: 1, purged: 2, rolled_up: 3, ..Default::default() });
}
