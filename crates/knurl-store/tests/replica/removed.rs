//! Rows that are not there any more leave no change behind.

use std::time::Instant;

use knurl_store::replica::{
    Trust,
    follow::{Next, Reason},
};

use super::node::Town;

#[tokio::test(flavor = "multi_thread")]
async fn links_removed_by_hand_are_doubted_at_once_and_gone_when_compared() {
    let town = Town::new().await;
    town.create(1, 7_000);
    let mut node = town.node().await;
    node.catch_up().await.unwrap();
    node.forgotten();
    town.sql("delete from links where short_code in ('c1', 'c6999')");
    let stepped = node.follower.step(Instant::now()).await.unwrap();
    assert_eq!((stepped.next, stepped.compares), (Next::Now, Some(Reason::Removed)));
    assert_eq!(node.forgotten()[0], None, "whatever is remembered");
    assert_eq!(node.found("c1").await, None);
    assert_eq!(node.trust("c2").await, Some(Trust::Sure));
    assert_eq!(node.trust("c6999").await, Some(Trust::Doubtful));
    node.catch_up().await.unwrap();
    assert_eq!(node.found("c6999").await, None);
    assert_eq!(node.trust("c7000").await, Some(Trust::Sure));
    assert_eq!(node.replica.links(), 6_998);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_emptied_and_filled_again_is_what_the_database_has() {
    let town = Town::new().await;
    town.create(1, 25_000);
    let mut node = town.node().await;
    node.catch_up().await.unwrap();
    town.sql("truncate links restart identity");
    assert_eq!(node.catch_up().await.unwrap(), [Reason::Removed]);
    assert_eq!(node.replica.links(), 0);
    assert_eq!(node.found("c1").await, None);
    // The same ids and codes, a life later.
    town.sql("truncate links restart identity");
    town.create(2, 25_000);
    node.catch_up().await.unwrap();
    node.has(2, 300).await;
    assert_eq!(node.found("c1").await, None);
    assert_eq!(node.replica.links(), 24_999);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_went_without_a_trace_are_missed_when_links_are_counted() {
    let town = Town::new().await;
    town.create(1, 10);
    let mut node = town.node().await;
    node.catch_up().await.unwrap();
    let stranger = town.stranger().await;
    // Somebody who also throws the trace away: the count of removals is what it was.
    stranger
        .batch_execute(
            "begin; delete from links where short_code = 'c3'; delete from counters where name = 'links_removed'; commit",
        )
        .await
        .unwrap();
    let reasons = node.catch_up().await.unwrap();
    assert_eq!(reasons, [Reason::Count]);
    assert_eq!(node.found("c3").await, None);
    assert_eq!(node.replica.links(), 9);
    // A count that stays wrong is not a reason to compare for ever.
    stranger.batch_execute("update counters set value = value + 5 where name = 'links'").await.unwrap();
    assert_eq!(node.catch_up().await.unwrap(), []);
    node.has(4, 10).await;
}
