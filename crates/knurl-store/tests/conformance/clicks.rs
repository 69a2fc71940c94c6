//! Clicks, the cursor, the conservation law, retention and salts.

use knurl_core::{
    LinkId, Page, UnixMillis,
    click::Purpose,
    event::NewEvent,
    link::Expected,
    stats::{Dimension, StatsQuery, Unit},
    time::DAY_MS,
    visitor::Salt,
};
use knurl_store::{Acceptance, Applied, ClickBatch, ClickLedger, Cursor, EventFilter, StoreError};

use crate::bench::*;

pub(crate) async fn a_delivered_click_becomes_an_event_of_the_links_owner(b: Bench) {
    let owner = b.user("ada").await;
    let link = b.link_of(&owner, "abc").await;
    let mut delivered = click(&link, after(50), 1);
    delivered.click.referrer = Some("https://news.example/\"x\"".into());
    delivered.click.user_agent = Some("Mozilla/5.0".into());
    delivered.click.purpose = Purpose::Prefetch;
    assert_eq!(b.store.apply_clicks(batch(0, vec![delivered])).await.unwrap(), Applied::Applied);
    let events = b.events_of(link.id).await;
    assert_eq!((events[1].event_type.as_str(), events[1].user_id, events[1].at), ("click", Some(owner.id), after(50)));
    assert_eq!(
        events[1].details.as_deref(),
        Some(concat!(
            r#"{"short_code":"abc","original_url":"https://example.com/abc","referrer":"https://news.example/\"x\"","#,
            r#""user_agent":"Mozilla/5.0","agent":"human","browser":"firefox","os":"linux","purpose":"prefetch"}"#
        ))
    );
    b.assert_books_balance().await;
}

pub(crate) async fn a_batch_moves_the_cursor_and_counts_once_however_often_it_comes(b: Bench) {
    let link = b.link("abc").await;
    assert_eq!(b.store.cursor(SPOOL).await.unwrap(), None);
    let first = batch(0, vec![click(&link, T0, 1), click(&link, T0, 2)]);
    assert_eq!(b.store.apply_clicks(first.clone()).await.unwrap(), Applied::Applied);
    assert_eq!(b.store.cursor(SPOOL).await.unwrap(), Some(cursor(2)));
    assert_eq!(b.store.apply_clicks(first).await.unwrap(), Applied::CursorIs(cursor(2)));
    let ledger = b.store.click_ledger().await.unwrap();
    assert_eq!(ledger, ClickLedger { delivered: 2, raw: 2, rolled_up: 2, ..Default::default() });
}

pub(crate) async fn a_batch_from_the_future_is_not_applied(b: Bench) {
    let link = b.link("abc").await;
    let answer = b.store.apply_clicks(batch(5, vec![click(&link, T0, 1)])).await.unwrap();
    assert_eq!(answer, Applied::CursorIs(Cursor { spool_id: SPOOL, segment: 0, offset: 0, seq: 0 }));
    assert_eq!(b.store.click_ledger().await.unwrap(), ClickLedger::default());
}

pub(crate) async fn a_segments_end_and_the_next_ones_start_are_the_same_place(b: Bench) {
    let link = b.link("abc").await;
    b.store.apply_clicks(batch(0, vec![click(&link, T0, 1)])).await.unwrap();
    let mut next = batch(1, vec![click(&link, T0, 2)]);
    next.from = Cursor { segment: 2, offset: 0, ..next.from };
    assert_eq!(b.store.apply_clicks(next).await.unwrap(), Applied::Applied);
}

pub(crate) async fn spools_are_counted_each_by_itself(b: Bench) {
    let link = b.link("abc").await;
    let mut other = batch(0, vec![click(&link, T0, 1)]);
    other.from.spool_id = 7;
    other.to.spool_id = 7;
    b.store.apply_clicks(batch(0, vec![click(&link, T0, 2)])).await.unwrap();
    b.store.apply_clicks(other).await.unwrap();
    assert_eq!(b.store.cursor(7).await.unwrap().unwrap().seq, 1);
    assert_eq!(b.store.click_ledger().await.unwrap().delivered, 2);
    b.assert_books_balance().await;
}

async fn clicks_of(b: &Bench, link: LinkId) -> Vec<UnixMillis> {
    let clicks = b.events_of(link).await.into_iter().filter(|event| event.event_type.as_str() == "click");
    clicks.map(|event| event.at).collect()
}

fn now() -> UnixMillis {
    UnixMillis(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64)
}

/// A backup that was restored, a row removed by hand: the sequence of ids is where it was before.
pub(crate) async fn a_click_is_never_another_links_that_was_given_the_same_id(b: Bench) {
    let (kept, gone) = (b.link("kept").await, b.link("gone").await);
    b.by_hand("delete from links where short_code = 'gone'");
    b.by_hand(match b.is_postgres() {
        true => "alter sequence links_id_seq restart with 2",
        false => "update sqlite_sequence set seq = 1 where name = 'links'",
    });
    b.store.apply_clicks(batch(0, vec![click(&gone, after(1), 1), click(&kept, after(2), 1)])).await.unwrap();
    let other = b.link("other").await;
    assert_eq!(other.id, gone.id);
    let mixed = vec![click(&gone, after(3), 1), click(&other, after(4), 1), click(&gone, after(5), 1)];
    b.store.apply_clicks(batch(2, mixed)).await.unwrap();
    assert_eq!(
        b.store.click_ledger().await.unwrap(),
        ClickLedger { delivered: 5, unlinked: 3, raw: 2, rolled_up: 2, ..Default::default() }
    );
    assert_eq!((clicks_of(&b, kept.id).await, clicks_of(&b, other.id).await), (vec![after(2)], vec![after(4)]));
    assert_eq!(b.store.link_totals(&[other.id]).await.unwrap()[&other.id].total, 1);
    b.assert_books_balance().await;
}

/// Its clicks were delivered, so what it is need not be asked again: until it is removed.
pub(crate) async fn a_link_whose_clicks_were_counted_gets_none_of_them_under_its_id_once_it_is_removed(b: Bench) {
    let gone = b.link("gone").await;
    for seq in 0..2 {
        b.store.apply_clicks(batch(seq, vec![click(&gone, after(seq as i64), 1)])).await.unwrap();
    }
    b.by_hand("delete from links");
    b.by_hand(match b.is_postgres() {
        true => "alter sequence links_id_seq restart with 1",
        false => "delete from sqlite_sequence where name = 'links'",
    });
    let other = b.link("other").await;
    assert_eq!(other.id, gone.id);
    let later = UnixMillis(now().0 + 60_000);
    b.store.apply_clicks(batch(2, vec![click(&gone, later, 1), click(&other, later, 1)])).await.unwrap();
    assert_eq!(b.store.link_totals(&[other.id]).await.unwrap()[&other.id].total, 1);
    assert_eq!(b.store.click_ledger().await.unwrap().unlinked, 1);
}

/// Same id, same code: a test suite does the same in each of its cases.
pub(crate) async fn a_click_of_before_the_tables_were_emptied_is_nobodys(b: Bench) {
    let link = b.link("abc").await;
    b.by_hand(match b.is_postgres() {
        true => "truncate users, links, events restart identity",
        false => "delete from users; delete from links; delete from events; delete from sqlite_sequence",
    });
    let again = b.link("abc").await;
    assert_eq!(again.id, link.id);
    let later = UnixMillis(now().0 + 60_000);
    b.store.apply_clicks(batch(0, vec![click(&link, after(1), 1), click(&again, later, 1)])).await.unwrap();
    assert_eq!(clicks_of(&b, again.id).await, [later]);
    let ledger = b.store.click_ledger().await.unwrap();
    assert_eq!((ledger.delivered, ledger.unlinked, ledger.raw, ledger.rolled_up), (2, 1, 1, 1));
    b.assert_books_balance().await;
}

pub(crate) async fn undecodable_records_are_delivered_and_counted(b: Bench) {
    let link = b.link("abc").await;
    let clicks = vec![click(&link, T0, 1)];
    let honest = ClickBatch { from: cursor(0), to: cursor(4), clicks: clicks.clone(), undecodable: 3 };
    b.store.apply_clicks(honest).await.unwrap();
    // A batch that forgets to say so is counted all the same.
    let forgetful = ClickBatch { from: cursor(4), to: cursor(6), clicks: clicks.clone(), undecodable: 0 };
    b.store.apply_clicks(forgetful).await.unwrap();
    let impossible = ClickBatch { from: cursor(6), to: cursor(6), clicks, undecodable: 0 };
    assert!(matches!(b.store.apply_clicks(impossible).await, Err(StoreError::Internal(_))));
    let ledger = b.store.click_ledger().await.unwrap();
    assert_eq!((ledger.delivered, ledger.undecodable, ledger.raw), (6, 4, 2));
    b.assert_books_balance().await;
}

pub(crate) async fn undecodable_records_are_counted_for_each_spool(b: Bench) {
    for (spool_id, undecodable) in [(7, 3), (8, 0), (7, 2)] {
        let from = b.store.cursor(spool_id).await.unwrap().unwrap_or(Cursor { spool_id, segment: 0, offset: 0, seq: 0 });
        let to = Cursor { seq: from.seq + undecodable, ..from };
        b.store.apply_clicks(ClickBatch { from, to, clicks: Vec::new(), undecodable }).await.unwrap();
    }
    let mut of_each = Vec::new();
    for spool_id in [7, 8, 9] {
        of_each.push(b.store.undecodable_of(spool_id).await.unwrap());
    }
    assert_eq!((of_each, b.store.click_ledger().await.unwrap().undecodable), (vec![5, 0, 0], 5));
}

pub(crate) async fn a_posted_click_is_rolled_up_and_counted_as_external(b: Bench) {
    let link = b.link("abc").await;
    let details = r#"{"user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0","referrer":"https://www.news.example/a"}"#;
    b.store.post_event(NewEvent { details: Some(details.into()), ..new_event(link.id, "click") }).await.unwrap();
    b.store.post_event(NewEvent { details: Some(r#"{"referrer":7}"#.into()), ..new_event(link.id, "click") }).await.unwrap();
    let ledger = b.store.click_ledger().await.unwrap();
    assert_eq!(ledger, ClickLedger { external: 2, rolled_up: 2, ..Default::default() });
    let total = b.store.link_totals(&[link.id]).await.unwrap()[&link.id];
    assert_eq!((total.total, total.human, total.bot, total.last_click_at), (2, 1, 1, Some(T0)));
    let query = StatsQuery { link: Some(link.id), from: T0, to: after(1), unit: Unit::Day };
    let shares = b.store.shares(query, Dimension::Referrer, 10).await.unwrap();
    let shares: Vec<_> = shares.iter().map(|share| (share.value.as_str(), share.total)).collect();
    assert_eq!(shares, [("(direct)", 1), ("news.example", 1)]);
    b.assert_books_balance().await;
}

pub(crate) async fn retention_removes_the_oldest_clicks_and_keeps_every_figure(b: Bench) {
    let link = b.link("abc").await;
    let clicks = (0..6).map(|n| click(&link, after((5 - n) * DAY_MS), n as u64)).collect();
    b.store.apply_clicks(batch(0, clicks)).await.unwrap();
    b.store.post_event(NewEvent { at: after(DAY_MS), ..new_event(link.id, "click") }).await.unwrap();
    let before = b.store.click_ledger().await.unwrap();
    assert_eq!(b.store.purge_clicks(after(3 * DAY_MS), 2).await.unwrap(), 2);
    let filter = EventFilter { event_type: Some("click".into()), ..Default::default() };
    let left = b.store.list_events(filter.clone(), Page::first(100)).await.unwrap().rows;
    assert_eq!(left.iter().map(|event| event.at).min(), Some(after(DAY_MS)));
    assert_eq!(b.store.purge_clicks(after(3 * DAY_MS), 100).await.unwrap(), 2);
    assert_eq!(b.store.purge_clicks(after(3 * DAY_MS), 100).await.unwrap(), 0);
    assert_eq!(b.store.list_events(filter, Page::first(100)).await.unwrap().total, 3);
    let ledger = b.store.click_ledger().await.unwrap();
    assert_eq!(ledger, ClickLedger { raw: 3, purged: 3, ..before });
    assert_eq!(b.events_of(link.id).await[0].event_type.as_str(), "created");
    b.assert_books_balance().await;
}

pub(crate) async fn a_days_salt_is_the_first_candidate_and_old_salts_are_destroyed(b: Bench) {
    let salt = |byte| Salt([byte; 16]);
    assert_eq!(b.store.visitor_salt(100, salt(1)).await.unwrap(), salt(1));
    assert_eq!(b.store.visitor_salt(100, salt(2)).await.unwrap(), salt(1));
    assert_eq!(b.store.visitor_salt(101, salt(3)).await.unwrap(), salt(3));
    assert_eq!(b.store.visitor_salt(100, salt(4)).await.unwrap(), salt(1));
    assert_eq!(b.store.visitor_salt(102, salt(5)).await.unwrap(), salt(5));
    // Day 100 is forgotten: asking again cannot bring the old salt back.
    assert_eq!(b.store.visitor_salt(100, salt(6)).await.unwrap(), salt(6));
}

pub(crate) async fn a_click_of_a_deleted_link_still_counts(b: Bench) {
    let link = b.link("abc").await;
    b.store.delete_link(link.id, Expected::Any, "gone", T0).await.unwrap();
    b.store.apply_clicks(batch(0, vec![click(&link, T0, 1)])).await.unwrap();
    assert_eq!(b.store.link_totals(&[link.id]).await.unwrap()[&link.id].total, 1);
    b.assert_books_balance().await;
}

pub(crate) async fn what_was_removed_by_hand_is_accepted_once_and_kept_with_its_reason(b: Bench) {
    let link = b.link("abc").await;
    b.store.apply_clicks(batch(0, (0..5).map(|n| click(&link, after(n), 1)).collect())).await.unwrap();
    assert_eq!(b.store.accept_differences("nothing is missing", T0).await.unwrap(), None);
    b.by_hand(if b.is_postgres() {
        "delete from clicks where at < 1699999200002"
    } else {
        "delete from events where source = 0 and at < 1699999200002"
    });
    assert_eq!(b.store.click_ledger().await.unwrap().differences(), (2, 2));
    let accepted = Acceptance { at: after(9), reason: "a visitor asked for it".into(), events: 2, roll_ups: 2 };
    assert_eq!(b.store.accept_differences(&accepted.reason, accepted.at).await.unwrap().as_ref(), Some(&accepted));
    assert_eq!(b.store.accept_differences("again", T0).await.unwrap(), None);
    b.by_hand("update link_totals set total = total - 1");
    let more = b.store.accept_differences("a count too", after(10)).await.unwrap().unwrap();
    assert_eq!((more.events, more.roll_ups), (0, -1));
    let ledger = b.store.click_ledger().await.unwrap();
    assert_eq!(ledger.differences(), (ledger.accepted_events, ledger.accepted_roll_ups));
    assert_eq!(b.store.acceptances().await.unwrap(), [accepted, more]);
}
