//! What comes out is what went in.

use std::collections::BTreeMap;

use knurl_core::{Page, UnixMillis};
use knurl_store::{
    EventFilter, LinkFilter, Store, StoreError,
    moving::{self, End, Part},
};

use crate::{bench::*, houses::*, sample};

/// What a client could see, and more.
async fn seen(store: &dyn Store) -> String {
    let all = Page::first(100_000);
    let links = store.list_links(LinkFilter::default(), all).await.unwrap();
    let events = store.list_events(EventFilter::default(), all).await.unwrap();
    let users = store.list_users(all).await.unwrap();
    let ids: Vec<_> = links.rows.iter().map(|link| link.id).collect();
    let totals = store.link_totals(&ids).await.unwrap();
    let (counts, ledger) = (store.counts().await.unwrap(), store.click_ledger().await.unwrap());
    let keys = store.list_keys().await.unwrap();
    let cursors = (store.cursor(SPOOL).await.unwrap(), store.cursor(7).await.unwrap());
    format!("{links:#?}{events:#?}{users:#?}{totals:#?}{counts:#?}{ledger:#?}{keys:#?}{cursors:#?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_moved_there_and_back_again_is_the_same() {
    let (old, new, back) = (House::sqlite(), House::postgres(), House::sqlite());
    let store = old.open().await;
    sample::fill(&*store).await;
    old.by_hand("delete from events where id = (select max(id) from events where source = 0)");
    store.accept_differences("by hand", after(9)).await.unwrap().unwrap();
    let before = seen(&*store).await;
    store.close().await;
    let rows = old.tallies().await;
    let by_part: BTreeMap<Part, u64> = rows.iter().map(|(part, tally)| (*part, tally.rows)).collect();
    assert!(by_part.values().all(|rows| *rows > 0), "something of everything: {by_part:?}");

    let moved = move_house(&old, &new).await;
    assert_eq!(moved.parts.iter().map(|(part, _)| *part).collect::<Vec<_>>(), by_part.keys().copied().collect::<Vec<_>>());
    assert_eq!(new.tallies().await, rows);
    for (part, tally) in &moved.parts {
        assert!(rows.contains(&(*part, *tally)), "{part:?} was reported as it is");
    }
    let store = new.open().await;
    assert_eq!(seen(&*store).await, before);
    store.close().await;
    let refused = old.try_open().await.unwrap_err().to_string();
    assert!(refused.starts_with("this database was moved to postgres://test"), "{refused}");

    move_house(&new, &back).await;
    assert_eq!(back.tallies().await, rows);
    let store = back.open().await;
    assert_eq!(seen(&*store).await, before);
    // It goes on as if nothing had been: no id is given twice, names and codes stay taken.
    let link = store.create_link(new_link("later"), T0).await.unwrap();
    assert!(link.id.0 > 502);
    assert!(matches!(store.create_link(new_link("deleted"), T0).await, Err(StoreError::Conflict(_))));
    assert!(matches!(store.create_user(username("ADA"), email("x@y.example"), T0).await, Err(StoreError::Conflict(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_may_lead_to_where_it_came_from() {
    let (old, new) = (House::sqlite(), House::postgres());
    let store = old.open().await;
    sample::fill(&*store).await;
    store.close().await;
    move_house(&old, &new).await;
    let store = new.open().await;
    // Changes that a copy on top of the old rows has to undo: names that went from one to the other, rows that are gone.
    let users = store.list_users(Page::first(100)).await.unwrap().rows;
    let (ada, grace) = (users.iter().find(|u| u.username == "Ada").unwrap(), users.iter().find(|u| u.id.0 == 42).unwrap());
    store.update_user(ada.id, Some(username("Countess")), None).await.unwrap();
    store.update_user(grace.id, Some(username("someone")), Some(email("countess2@example.com"))).await.unwrap();
    store.delete_user(users[1].id, T0).await.unwrap();
    store.purge_clicks(after(40_000_000), 50).await.unwrap();
    store.create_link(new_link("new"), T0).await.unwrap();
    let now = seen(&*store).await;
    store.close().await;
    let rows = new.tallies().await;
    move_house(&new, &old).await;
    assert_eq!(old.tallies().await, rows);
    let store = old.open().await;
    assert_eq!(seen(&*store).await, now);
    store.close().await;
    // And there again.
    move_house(&old, &new).await;
    assert_eq!(new.tallies().await, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_moves_too() {
    for (from, to) in WAYS {
        let (from, to) = (from(), to());
        from.open().await.close().await;
        move_house(&from, &to).await;
        let store = to.open().await;
        assert_eq!(store.counts().await.unwrap().events, 0);
        assert_eq!(store.create_link(new_link("first"), T0).await.unwrap().id.0, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_used_is_not_moved_into() {
    for (from, to) in WAYS {
        let (from, to) = (from(), to());
        for house in [&from, &to] {
            let store = house.open().await;
            store.create_link(new_link("mine"), T0).await.unwrap();
            store.close().await;
        }
        let refused = try_move(&from, &to, &small()).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Refused(why) if why.contains("is not empty")), "{refused:?}");
        // And the other one is as it was.
        from.open().await.create_link(new_link("still"), T0).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survey_counts_everything_and_changes_nothing() {
    let (old, new) = (House::sqlite(), House::postgres());
    let store = old.open().await;
    sample::fill(&*store).await;
    // As an import of an earlier version may have left it.
    old.by_hand("update links set title = 'a' || char(0) || 'b' where id = 500");
    let before = seen(&*store).await;
    let rows = old.tallies().await;
    let survey = {
        let (mut from, mut to) = (
            old.side(End::Survey(moving::Surveyed::From)).await.unwrap(),
            new.side(End::Survey(moving::Surveyed::To)).await.unwrap(),
        );
        moving::survey(&mut *from, &mut *to).await.unwrap()
    };
    assert_eq!(survey.rows, rows.iter().map(|(part, tally)| (*part, tally.rows)).collect::<Vec<_>>());
    assert_eq!((survey.objections, survey.first_objections.len()), (1, 1));
    assert!(survey.first_objections[0].starts_with("links 500: a text with a NUL"), "{:?}", survey.first_objections);
    assert_eq!(seen(&*store).await, before);
    assert_eq!(new.open().await.counts().await.unwrap().links, 0);
    // The move refuses it with the same words, and leaves the old one live.
    let refused = try_move(&old, &new, &small()).await.unwrap_err().to_string();
    assert!(refused.contains("links 500: a text with a NUL"), "{refused}");
    store.create_link(new_link("live"), UnixMillis(5)).await.unwrap();
}
