//! Edits, disables and deletes by others: seen, and told once they can be answered.

use std::time::{Duration, Instant};

use knurl_store::{
    StoreError,
    postgres::feed::{Feed, Woken},
    replica::{
        FRESH_MAX, Trust,
        follow::{Follower, Next},
    },
};

use super::node::{Town, create};

/// For what is only a matter of time.
const IN_TIME: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_a_disable_and_a_delete_are_seen_by_the_next_look_and_their_codes_forgotten() {
    let town = Town::new().await;
    town.create(1, 5);
    let mut node = town.node().await;
    node.catch_up().await.unwrap();
    node.forgotten();
    town.sql("update links set target = 'https://new.example/', version = 2 where short_code = 'c1'");
    town.sql("update links set is_active = false, version = 2 where short_code = 'c2'");
    town.sql("update links set deleted_at = 9, version = 2 where short_code = 'c3'");
    town.create(6, 6);
    node.catch_up().await.unwrap();
    assert_eq!(node.target("c1").await.as_deref(), Some("https://new.example/"));
    assert!(!node.found("c2").await.unwrap().facts.unwrap().is_active);
    let deleted = node.found("c3").await.unwrap();
    assert_eq!((deleted.version, deleted.facts, deleted.trust), (2, None, Trust::Sure), "known to be deleted");
    node.has(4, 6).await;
    let told: Vec<String> = node.forgotten().into_iter().flatten().collect();
    for code in ["c1", "c2", "c3", "c6"] {
        assert!(told.iter().any(|told| told == code), "{code} in {told:?}");
    }
    assert!(!told.iter().any(|told| told == "c4"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_wakes_and_a_lost_one_is_made_up_for_by_looking() {
    let town = Town::new().await;
    town.create(1, 5);
    let mut node = town.node().await;
    let mut deaf = town.node_of(&town.server.url(), &town.path().with_extension("deaf"), Woken::Never).await;
    for node in [&mut node, &mut deaf] {
        node.catch_up().await.unwrap();
    }
    let (heard, unheard) = (node.follower.source().heard(), deaf.follower.source().heard());
    town.sql("update links set target = 'https://new.example/' where short_code = 'c1'");
    tokio::time::timeout(IN_TIME, heard.notified()).await.expect("the feed listens");
    assert!(tokio::time::timeout(Duration::from_millis(100), unheard.notified()).await.is_err());
    for node in [&mut node, &mut deaf] {
        node.catch_up().await.unwrap();
        assert_eq!(node.target("c1").await.as_deref(), Some("https://new.example/"));
    }
}

/// Numbers are not ordered as texts are: more than a page of changes by transaction 1000 and later, and one by an earlier one.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_followed_in_their_order_where_their_numbers_grow_by_a_digit() {
    let town = Town::new().await;
    town.create(1, 10_000);
    let mut node = town.node().await;
    node.catch_up().await.unwrap();
    let last = || town.sql("select pg_current_xact_id()").parse::<u64>().unwrap();
    // The next power of ten, which ours are to come around.
    let (begun, mut digit) = (last() + 10, 1_000);
    while digit < begun {
        digit *= 10;
    }
    let burn = digit - 3 - last();
    town.sql(&format!("do $$ begin for n in 1..{burn} loop perform pg_current_xact_id(); commit; end loop; end $$"));
    town.sql("update links set target = 'https://new.example/' where short_code = 'c1'");
    assert!(last() < digit, "{} and not before {digit}", last());
    while last() < digit {}
    town.sql("update links set target = 'https://new.example/' where short_code <> 'c1'");
    node.catch_up().await.unwrap();
    for code in ["c1", "c2", "c5000", "c10000"] {
        assert_eq!(node.target(code).await.as_deref(), Some("https://new.example/"), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_stays_open_hides_nothing_but_itself() {
    let town = Town::new().await;
    town.create(1, 50);
    let mut node = town.node().await;
    node.catch_up().await.unwrap();
    let mut stranger = town.stranger().await;
    let open = stranger.transaction().await.unwrap();
    open.batch_execute(&create(1_000, 1_009)).await.unwrap();
    for round in 0..5 {
        let code = format!("c{}", 10 + round);
        town.sql(&format!("update links set target = 'https://new.example/{round}' where short_code = '{code}'"));
        node.catch_up().await.unwrap();
        assert_eq!(node.target(&code).await, Some(format!("https://new.example/{round}")));
        let told = node.forgotten().into_iter().flatten().filter(|told| *told == code).count();
        assert!(told > 0);
        // And what was read is not read again, however long the transaction stays.
        assert_eq!(node.follower.step(Instant::now()).await.unwrap().rows, 0);
        assert_eq!(node.found("c1000").await, None);
    }
    open.commit().await.unwrap();
    node.catch_up().await.unwrap();
    node.has(1_000, 1_009).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_many_pages_arrives_whole() {
    let town = Town::new().await;
    town.create(1, 60_000);
    let mut node = town.node().await;
    node.catch_up().await.unwrap();
    // One that is open during a look, and one that is not.
    let mut stranger = town.stranger().await;
    let open = stranger.transaction().await.unwrap();
    open.batch_execute("update links set version = 2, target = target || '?a' where id <= 12000").await.unwrap();
    node.catch_up().await.unwrap();
    open.commit().await.unwrap();
    town.sql("update links set version = 2, target = target || '?b' where id > 12000");
    node.catch_up().await.unwrap();
    for (n, end) in [(1, 'a'), (6_000, 'a'), (12_000, 'a'), (12_001, 'b'), (31_000, 'b'), (60_000, 'b')] {
        assert_eq!(node.target(&format!("c{n}")).await, Some(format!("https://t.example/c{n}?{end}")));
    }
    assert_eq!(node.replica.links(), 60_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_exchanged_by_hand_lead_where_the_database_says() {
    let town = Town::new().await;
    town.create(1, 4);
    let mut node = town.node().await;
    node.catch_up().await.unwrap();
    node.forgotten();
    town.sql("update links set short_code = 'x' where short_code = 'c1'");
    town.sql("update links set short_code = 'c1' where short_code = 'c2'");
    town.sql("update links set short_code = 'c2' where short_code = 'x'");
    node.catch_up().await.unwrap();
    assert_eq!(node.target("c1").await.as_deref(), Some("https://t.example/c2"));
    assert_eq!(node.target("c2").await.as_deref(), Some("https://t.example/c1"));
    assert_eq!(node.found("x").await, None);
    assert_eq!(node.replica.links(), 4);
    assert_eq!(node.catch_up().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_understood_is_left_to_the_database_and_stops_nothing() {
    let town = Town::new().await;
    town.create(1, 3);
    let mut node = town.node().await;
    node.catch_up().await.unwrap();
    town.sql("update links set status = 299 where short_code = 'c1'");
    town.sql("update links set target = 'https://new.example/' where short_code = 'c2'");
    node.catch_up().await.unwrap();
    assert_eq!(node.found("c1").await, None);
    assert_eq!(node.target("c2").await.as_deref(), Some("https://new.example/"));
    assert_eq!(node.replica.failures(), 0);
    assert_eq!(node.catch_up().await.unwrap(), [], "it is counted as the link it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_and_comes_back_costs_no_link() {
    let mut town = Town::new().await;
    town.create(1, 100);
    let mut node = town.node().await;
    node.catch_up().await.unwrap();
    town.server.kill().unwrap();
    assert!(node.follower.step(Instant::now()).await.unwrap_err().is_transient());
    node.has(1, 100).await;
    town.server.start_again().unwrap();
    town.sql("update links set target = 'https://new.example/' where short_code = 'c1'");
    town.create(101, 110);
    node.catch_up_at_last().await;
    assert_eq!(node.target("c1").await.as_deref(), Some("https://new.example/"));
    node.has(2, 110).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_been_looked_at_for_a_while_is_said_to_be_doubtful() {
    let town = Town::new().await;
    town.create(1, 1);
    let mut node = town.node().await;
    let now = Instant::now();
    node.follower.step(now).await.unwrap();
    let code = super::node::code("c1");
    let trust = async |at| node.replica.link("", &code, at).await.unwrap().trust;
    assert_eq!(trust(now + FRESH_MAX - Duration::from_millis(1)).await, Trust::Sure);
    assert_eq!(trust(now + FRESH_MAX + Duration::from_millis(1)).await, Trust::Doubtful);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_everything_away_and_the_node_restarted_every_link_that_was_there_still_leads() {
    let mut town = Town::new().await;
    town.create(1, 3_000);
    let mut node = town.node().await;
    node.catch_up().await.unwrap();
    drop(node);
    town.server.stop().unwrap();
    let mut node = town.node().await;
    assert!(node.replica.is_complete());
    assert!(node.follower.step(Instant::now()).await.is_err());
    node.has(1, 3_000).await;
    assert_eq!(node.trust("c1").await, Some(Trust::Doubtful));
    assert_eq!(node.found("c3001").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_keeps_no_copy_is_told_the_same() {
    let mut town = Town::new().await;
    town.create(1, 20);
    let (mut follower, forgotten) = town.telling().await;
    let told = async |follower: &mut Follower<Feed>| {
        let stepped = follower.step(Instant::now()).await?;
        assert_eq!((stepped.next, stepped.compares), (Next::Later, None));
        Ok::<_, StoreError>(std::mem::take(&mut *forgotten.lock().unwrap()))
    };
    assert_eq!(told(&mut follower).await.unwrap(), [None], "what came before is not known one by one");
    assert_eq!(told(&mut follower).await.unwrap(), []);
    town.sql("update links set target = 'https://new.example/' where short_code = 'c1'");
    town.sql("update links set deleted_at = 2 where short_code = 'c2'");
    town.create(21, 21);
    let mut codes = told(&mut follower).await.unwrap();
    codes.sort();
    assert_eq!(codes, ["c1", "c2", "c21"].map(|code| Some(code.to_owned())));
    // Over an outage nothing is lost.
    town.sql("update links set target = 'https://newer.example/' where short_code = 'c3'");
    town.server.kill().unwrap();
    assert!(told(&mut follower).await.is_err());
    town.server.start_again().unwrap();
    let begun = Instant::now();
    let codes = loop {
        match told(&mut follower).await {
            Ok(codes) => break codes,
            Err(error) => assert!(error.is_transient() && begun.elapsed() < IN_TIME, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(codes, [Some("c3".to_owned())]);
    town.sql("delete from links where short_code = 'c4'");
    assert_eq!(told(&mut follower).await.unwrap(), [None]);
}
