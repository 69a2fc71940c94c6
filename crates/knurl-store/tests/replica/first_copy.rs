//! The first copy, while everything else goes on.

use std::time::{Duration, Instant};

use knurl_store::replica::{
    Trust,
    follow::{Next, Reason},
};

use super::node::{Town, create};

/// More than two pages of the follower.
const MANY: u32 = 12_000;

#[tokio::test(flavor = "multi_thread")]
async fn no_link_is_missed_by_the_first_copy_while_creates_go_on() {
    let town = Town::new().await;
    town.create(1, MANY);
    let mut node = town.node().await;
    let creators: Vec<_> = (1..=4_u32)
        .map(|creator| {
            let url = town.server.url();
            tokio::spawn(async move {
                let mut client = super::node::stranger_at(&url).await;
                for round in 0..40 {
                    let first = MANY + creator * 1_000 + round * 10;
                    let tx = client.transaction().await.unwrap();
                    tx.batch_execute(&create(first, first + 9)).await.unwrap();
                    // Ids and transactions are handed out in one order and committed in another.
                    tokio::time::sleep(Duration::from_millis(u64::from((creator * 7 + round * 13) % 40))).await;
                    tx.commit().await.unwrap();
                }
            })
        })
        .collect();
    let mut steps = 0;
    while creators.iter().any(|creator| !creator.is_finished()) || steps < 4 {
        node.follower.step(Instant::now()).await.unwrap();
        steps += 1;
    }
    node.catch_up().await.unwrap();
    assert!(node.replica.is_complete());
    assert_eq!(node.replica.links(), u64::from(MANY) + 4 * 400);
    node.has(1, MANY).await;
    for creator in 1..=4 {
        node.has(MANY + creator * 1_000, MANY + creator * 1_000 + 399).await;
    }
    assert_eq!(node.catch_up().await.unwrap(), [], "and as many as the database counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn until_it_is_complete_it_answers_what_it_has_and_says_what_it_is_sure_of() {
    let town = Town::new().await;
    town.create(1, MANY);
    let mut node = town.node().await;
    assert_eq!(node.found("c1").await, None);
    let stepped = node.follower.step(Instant::now()).await.unwrap();
    assert_eq!((stepped.next, stepped.compares), (Next::Now, Some(Reason::New)));
    assert!(!node.replica.is_complete());
    assert_eq!(node.trust("c1").await, Some(Trust::Sure));
    assert_eq!(node.found(&format!("c{MANY}")).await, None);
    // What a look brings before its page has come is not taken for the whole truth.
    town.sql(&format!("update links set is_active = false where short_code = 'c{MANY}'"));
    node.follower.step(Instant::now()).await.unwrap();
    assert_eq!(node.trust(&format!("c{MANY}")).await, Some(Trust::Doubtful));
    node.catch_up().await.unwrap();
    assert_eq!(node.trust(&format!("c{MANY}")).await, Some(Trust::Sure));
    assert!(!node.found(&format!("c{MANY}")).await.unwrap().facts.unwrap().is_active);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_killed_between_the_pages_cost_time_and_no_link() {
    let town = Town::new().await;
    town.create(1, 4 * MANY);
    let mut node = town.node().await;
    let stranger = town.stranger().await;
    let killer = tokio::spawn(async move {
        for _ in 0..30 {
            let kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'knurl'";
            stranger.batch_execute(kill).await.unwrap();
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    });
    node.catch_up_at_last().await;
    killer.await.unwrap();
    node.catch_up_at_last().await;
    assert_eq!(node.replica.links(), u64::from(4 * MANY));
    node.has(1, 200).await;
    node.has(4 * MANY - 200, 4 * MANY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_begun_by_a_process_that_was_killed_is_gone_on_with() {
    let town = Town::new().await;
    town.create(1, 2 * MANY);
    let mut node = town.node().await;
    node.follower.step(Instant::now()).await.unwrap();
    drop(node);
    // Behind what was copied, changed by whoever was there meanwhile.
    town.sql("update links set target = 'https://moved.example/' where short_code = 'c7'");
    let mut node = town.node().await;
    assert_eq!(node.trust("c1").await, Some(Trust::Doubtful), "it cannot know yet");
    assert_eq!(node.catch_up().await.unwrap(), [], "it is not begun again");
    assert_eq!(node.target("c7").await.as_deref(), Some("https://moved.example/"));
    assert_eq!(node.replica.links(), u64::from(2 * MANY));
}
