//! Rows that somebody holds, and those who edit them: nobody else waits.

use knurl_core::{Page, visitor::Salt};
use knurl_store::{Applied, ClickBatch, Cursor};

use crate::*;

/// Of `max_connections` a few; no bound of time ends an edit in this test's life.
const WRITERS: usize = 4;

async fn done<T>(what: impl Future<Output = Result<T>>) -> T {
    tokio::time::timeout(NEVER, what).await.expect("somebody who waits for an edit").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_of_what_somebody_holds_keep_no_create_and_no_delivery_waiting() {
    let server = Postgres::start().unwrap();
    let bounds = PostgresOptions { writers: WRITERS, call_timeout: 10 * NEVER, lock_timeout: 10 * NEVER, ..options(&server.url()) };
    let store = PostgresStore::open(&bounds).await.unwrap();
    let (link, ada) = (create(&store, "held").await.unwrap(), user(&store, "ada").await);
    let holder = session(&server).await;
    // As who deletes a user holds the user's links, and the lock under which users are renamed and deleted one after the other.
    holder.batch_execute("begin; select * from links for update; select pg_advisory_xact_lock(1802400364, 4)").await.unwrap();
    let mut edits = JoinSet::new();
    for n in 0..4 * WRITERS {
        let store = store.clone();
        edits.spawn(async move {
            match n % 3 {
                0 => {
                    let patch = LinkPatch { title: Some(Some(format!("title {n}"))), ..Default::default() };
                    store.update_link(link.id, patch, NOW).await.map(drop)
                }
                1 => store.update_user(ada, Some(Username::parse(&format!("ada{n}")).unwrap()), None).await.map(drop),
                _ => store.delete_link(link.id, knurl_core::link::Expected::Any, "why", NOW).await.map(drop),
            }
        });
    }
    let waiting = || {
        server.sql("select count(*) from pg_stat_activity where application_name = 'knurl' and wait_event_type = 'Lock'").unwrap()
    };
    until(|| waiting() == (WRITERS / 2).to_string()).await;
    let place = |seq| Cursor { spool_id: 7, segment: 1, offset: seq, seq };
    for n in 0..20 {
        done(create_link(&store, &format!("alone{n}"))).await;
        done(create_once(&store, &format!("once{n}"))).await;
        let batch = ClickBatch { from: place(n), to: place(n + 1), clicks: Vec::new(), undecodable: 1 };
        assert_eq!(done(store.apply_clicks(batch)).await, Applied::Applied);
        done(store.visitor_salt(1, Salt([1; 16]))).await;
        done(store.ping()).await;
    }
    assert_eq!(waiting(), (WRITERS / 2).to_string(), "they still wait");
    holder.batch_execute("commit").await.unwrap();
    for told in tokio::time::timeout(NEVER, edits.join_all()).await.expect("an edit that never ends") {
        told.unwrap();
    }
}

async fn create_link(store: &PostgresStore, code: &str) -> Result<()> {
    store.create_link(new_link(code), NOW).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_of_every_link_keep_no_list_waiting() {
    const READERS: usize = 4;
    let server = Postgres::start().unwrap();
    let bounds =
        PostgresOptions { long_readers: READERS, call_timeout: 10 * NEVER, lock_timeout: 10 * NEVER, ..options(&server.url()) };
    let store = PostgresStore::open(&bounds).await.unwrap();
    create(&store, "there").await.unwrap();
    let holder = session(&server).await;
    holder.batch_execute("begin; lock table links in access exclusive mode").await.unwrap();
    let mut searches = JoinSet::new();
    for _ in 0..2 * READERS {
        let store = store.clone();
        searches.spawn(async move { store.link_to(None, &Target::verbatim("https://example.com/").unwrap(), NOW).await });
    }
    let waiting = "select count(*) from pg_stat_activity where application_name = 'knurl' and wait_event_type = 'Lock'";
    until(|| server.sql(waiting).unwrap() == (READERS / 2).to_string()).await;
    for _ in 0..20 {
        done(store.list_users(Page::first(10))).await;
    }
    holder.batch_execute("commit").await.unwrap();
    for found in tokio::time::timeout(NEVER, searches.join_all()).await.expect("a search that never ends") {
        assert!(found.unwrap().is_some());
    }
}
