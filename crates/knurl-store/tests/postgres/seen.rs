//! A link that clicks were counted for is not asked for with every batch, until there is a reason to.

use knurl_store::{Applied, Cursor};

use crate::{months::Spool, *};

async fn unlinked(store: &PostgresStore) -> u64 {
    store.click_ledger().await.unwrap().unlinked
}

/// Renamed by hand, with nothing removed: who asks finds another code, who does not counts the click where it was made.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_asked_for_once_and_again_when_the_server_was_started_again() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    let link = create(&store, "abc").await.unwrap();
    let mut spool = Spool { id: 1, seq: 0 };
    // The first batch of a process learns the mark.
    spool.deliver(&store, &link, &["2023-11-14T22:00:00"]).await;
    server.sql("update links set short_code = 'renamed'").unwrap();
    spool.deliver(&store, &link, &["2023-11-14T22:00:01", "2023-11-14T22:00:02"]).await;
    assert_eq!(unlinked(&store).await, 0);
    let (server, ()) = with_server(server, |server| {
        server.stop().unwrap();
        server.start_again().unwrap();
    })
    .await;
    until_back(&store).await;
    spool.deliver(&store, &link, &["2023-11-14T22:00:03"]).await;
    assert_eq!(unlinked(&store).await, 1);
    drop((store, server));
}

/// Every table is emptied row by row, those that count removals too: the mark is as it was, the cursor is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_was_moved_by_somebody_else_is_a_reason_to_ask() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    let link = create(&store, "abc").await.unwrap();
    let mut spool = Spool { id: 1, seq: 0 };
    spool.deliver(&store, &link, &["2023-11-14T22:00:00"]).await;
    server.sql("update links set short_code = 'renamed'; update cursors set seq = 7").unwrap();
    let clicks = spool.try_deliver(&store, &link, &["2023-11-14T22:00:01"]).await;
    assert!(matches!(clicks, Applied::CursorIs(Cursor { seq: 7, .. })), "{clicks:?}");
    spool.seq = 7;
    spool.deliver(&store, &link, &["2023-11-14T22:00:01"]).await;
    assert_eq!(unlinked(&store).await, 1);
}

/// Hours and days of a link that has no total: Knurl writes none, a hand that deletes the total leaves them.
#[tokio::test(flavor = "multi_thread")]
async fn roll_ups_without_a_total_are_added_to() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    let link = create(&store, "abc").await.unwrap();
    let mut spool = Spool { id: 1, seq: 0 };
    spool.deliver(&store, &link, &["2023-11-14T22:00:00", "2023-11-14T23:00:00"]).await;
    server.sql("delete from link_totals").unwrap();
    spool.deliver(&store, &link, &["2023-11-14T23:00:01", "2023-11-15T00:00:00"]).await;
    let units = "select string_agg(total::text, ' ' order by hour) from link_hours where link_id > 0
        union all select string_agg(total::text || agents::text, ' ' order by day) from link_days where link_id > 0";
    let firefox = |clicks: i64| {
        format!(r#"{clicks}{{"os": {{"linux": {clicks}}}, "agent": {{"human": {clicks}}}, "browser": {{"firefox": {clicks}}}}}"#)
    };
    assert_eq!(server.sql(units).unwrap().trim(), format!("1 2 1\n{} {}", firefox(3), firefox(1)));
    // Of days alone: the hours are on their way when a day is refused.
    server.sql("delete from link_totals; delete from link_hours").unwrap();
    spool.deliver(&store, &link, &["2023-11-15T00:00:01"]).await;
    assert_eq!(server.sql(units).unwrap().trim(), format!("1\n{} {}", firefox(3), firefox(2)));
}

/// Looked up, and gone when it is to be changed: nothing is lost, the batch is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_roll_up_that_goes_while_it_is_added_to_is_made_again() {
    let server = Postgres::start().unwrap();
    let store = PostgresStore::open(&options(&server.url())).await.unwrap();
    let link = create(&store, "abc").await.unwrap();
    let mut spool = Spool { id: 1, seq: 0 };
    spool.deliver(&store, &link, &["2023-11-14T22:00:00"]).await;
    let client = session(&server).await;
    client.batch_execute("begin; delete from link_hours where link_id > 0").await.unwrap();
    let delivery = tokio::spawn(async move {
        spool.deliver(&store, &link, &["2023-11-14T22:00:01"]).await;
        store
    });
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
    until(|| server.sql(waiting).unwrap().trim() == "1").await;
    client.batch_execute("commit").await.unwrap();
    drop(delivery.await.unwrap());
    assert_eq!(server.sql("select total from link_hours where link_id > 0").unwrap().trim(), "1");
}
