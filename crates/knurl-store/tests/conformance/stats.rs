//! What the roll-ups answer.

use knurl_core::{
    LinkId, UnixMillis,
    link::Expected,
    stats::{Dimension, StatsQuery, Unit},
    time::{DAY_MS, HOUR_MS},
};
use knurl_store::Counts;

use crate::bench::*;

fn ever(link: Option<LinkId>, unit: Unit) -> StatsQuery {
    StatsQuery { link, from: UnixMillis(0), to: after(1000 * DAY_MS), unit }
}

pub(crate) async fn buckets_count_clicks_people_and_visitors_of_each_unit(b: Bench) {
    let (one, two) = (b.link("one").await, b.link("two").await);
    let mut bot = click(&one, after(HOUR_MS), 3);
    bot.agent = robot();
    let first = vec![click(&one, T0, 1), click(&one, after(5), 1), click(&one, after(6), 2), click(&two, after(7), 1)];
    b.store.apply_clicks(batch(0, first)).await.unwrap();
    b.store.apply_clicks(batch(4, vec![click(&one, after(9), 2), bot, click(&one, after(3 * DAY_MS), 1)])).await.unwrap();
    let figures = async |query| {
        let buckets = b.store.buckets(query).await.unwrap();
        buckets.into_iter().map(|k| (k.at.0 - T0.0, k.total, k.human, k.bot, k.visitors)).collect::<Vec<_>>()
    };
    let hours = figures(ever(Some(one.id), Unit::Hour)).await;
    assert_eq!(hours, [(0, 4, 4, 0, 2), (HOUR_MS, 1, 0, 1, 0), (3 * DAY_MS, 1, 1, 0, 1)]);
    let day = -22 * HOUR_MS;
    assert_eq!(figures(ever(Some(one.id), Unit::Day)).await, [(day, 5, 4, 1, 2), (day + 3 * DAY_MS, 1, 1, 0, 1)]);
    assert_eq!(figures(ever(None, Unit::Day)).await, [(day, 6, 5, 1, 2), (day + 3 * DAY_MS, 1, 1, 0, 1)]);
    assert!(figures(ever(Some(LinkId(99)), Unit::Day)).await.is_empty());
}

pub(crate) async fn a_range_takes_the_whole_units_it_touches(b: Bench) {
    let link = b.link("one").await;
    let clicks = (0..4).map(|hour| click(&link, after(hour * HOUR_MS + 60_000), 1)).collect();
    b.store.apply_clicks(batch(0, clicks)).await.unwrap();
    let hours = async |from: i64, to: i64| {
        let query = StatsQuery { link: Some(link.id), from: after(from), to: after(to), unit: Unit::Hour };
        b.store.buckets(query).await.unwrap().into_iter().map(|bucket| (bucket.at.0 - T0.0) / HOUR_MS).collect::<Vec<_>>()
    };
    assert_eq!(hours(0, HOUR_MS).await, [0]);
    assert_eq!(hours(HOUR_MS - 1, HOUR_MS + 1).await, [0, 1]);
    assert_eq!(hours(HOUR_MS, 3 * HOUR_MS).await, [1, 2]);
    assert!(hours(HOUR_MS, HOUR_MS).await.is_empty());
    assert!(hours(HOUR_MS, 0).await.is_empty());
}

pub(crate) async fn shares_descend_and_name_every_dimension(b: Bench) {
    let link = b.link("one").await;
    let from = |host: Option<&str>, n| {
        let mut click = click(&link, T0, n);
        click.referrer_host = host.map(str::to_owned);
        click
    };
    let mut bot = from(Some("b.example"), 9);
    bot.agent = robot();
    let clicks = vec![from(Some("b.example"), 1), from(Some("c.example"), 2), from(None, 3), from(Some("a.example"), 4), bot];
    b.store.apply_clicks(batch(0, clicks)).await.unwrap();
    for link in [Some(link.id), None] {
        let named = |by, limit| {
            let store = b.store.clone();
            async move {
                let shares = store.shares(ever(link, Unit::Day), by, limit).await.unwrap();
                shares.into_iter().map(|share| format!("{} {}", share.value, share.total)).collect::<Vec<_>>()
            }
        };
        assert_eq!(named(Dimension::Referrer, 3).await, ["b.example 2", "(direct) 1", "a.example 1"]);
        assert_eq!(named(Dimension::AgentClass, 9).await, ["human 4", "bot 1"]);
        assert_eq!(named(Dimension::Browser, 9).await, ["firefox 4", "other 1"]);
        assert_eq!(named(Dimension::Os, 9).await, ["linux 4", "other 1"]);
    }
}

pub(crate) async fn a_day_names_500_referrers_and_counts_the_rest_as_other(b: Bench) {
    let mut seq = 0;
    // The limit met within a batch, reached by one to the last referrer, and passed by one.
    for (code, rounds, size) in [("one", 2, 600), ("two", 6, 100), ("three", 3, 167)] {
        let link = b.link(code).await;
        for round in 0..rounds {
            let clicks = (0..size).map(|n| {
                let mut click = click(&link, T0, n);
                click.referrer_host = Some(format!("{round}-{n}.example"));
                click
            });
            b.store.apply_clicks(batch(seq, clicks.collect())).await.unwrap();
            seq += size;
        }
        let shares = b.store.shares(ever(Some(link.id), Unit::Day), Dimension::Referrer, 10_000).await.unwrap();
        let total = rounds * size;
        assert_eq!(shares.iter().map(|share| share.total).sum::<u64>(), total, "{code}");
        let (other, named): (Vec<_>, Vec<_>) = shares.iter().partition(|share| share.value == "(other)");
        assert_eq!((named.len(), other.len()), (500, 1), "{code}");
        assert_eq!(other[0].total, total - 500, "{code}");
    }
}

pub(crate) async fn top_links_descend_then_ascend_by_id(b: Bench) {
    let links = [b.link("one").await, b.link("two").await, b.link("three").await];
    let mut clicks = vec![click(&links[0], T0, 1), click(&links[1], T0, 1)];
    clicks.extend([click(&links[2], T0, 1), click(&links[2], after(2 * DAY_MS), 1)]);
    b.store.apply_clicks(batch(0, clicks)).await.unwrap();
    let ids = |query, limit| {
        let store = b.store.clone();
        async move {
            let top = store.top_links(query, limit).await.unwrap();
            top.into_iter().map(|top| (top.link_id.0, top.total)).collect::<Vec<_>>()
        }
    };
    assert_eq!(ids(ever(None, Unit::Day), 10).await, [(3, 2), (1, 1), (2, 1)]);
    assert_eq!(ids(ever(None, Unit::Day), 2).await, [(3, 2), (1, 1)]);
    let later = StatsQuery { link: None, from: after(DAY_MS), to: after(9 * DAY_MS), unit: Unit::Day };
    assert_eq!(ids(later, 10).await, [(3, 1)]);
}

pub(crate) async fn totals_leave_links_without_clicks_out(b: Bench) {
    let (one, two) = (b.link("one").await, b.link("two").await);
    b.store.apply_clicks(batch(0, vec![click(&one, after(9), 1), click(&one, after(3), 2)])).await.unwrap();
    let totals = b.store.link_totals(&[one.id, two.id]).await.unwrap();
    assert_eq!(totals.len(), 1);
    assert_eq!((totals[&one.id].total, totals[&one.id].last_click_at), (2, Some(after(9))));
    let many: Vec<_> = (1..500).map(LinkId).collect();
    assert_eq!(b.store.link_totals(&many).await.unwrap(), totals);
}

pub(crate) async fn counts_are_of_what_is_there(b: Bench) {
    assert_eq!(b.store.counts().await.unwrap(), Counts::default());
    let user = b.user("ada").await;
    let link = b.link_of(&user, "one").await;
    b.link("two").await;
    b.store.delete_link(link.id, Expected::Any, "gone", T0).await.unwrap();
    assert_eq!(b.store.counts().await.unwrap(), Counts { users: 1, links: 1, events: 3 });
    b.assert_books_balance().await;
}
