//! The database away: every link of the replica redirects, and of no code it is said that it does not exist.

use std::time::{Duration, Instant};

use knurl::telemetry::{
    redirects::Tier,
    tiers::{Below, Said},
};
use serde_json::json;

use super::fleet::{Fleet, Node, rows, target};

const LINKS: u32 = 60;
/// Longer than a copy is taken for current, and than a server that hangs is not found out.
const OUTAGE: Duration = Duration::from_secs(6);

async fn furnished(fleet: &Fleet) -> Node {
    let node = fleet.node().await;
    fleet.sql(&rows(1, LINKS));
    node.until("the links are copied", async || node.links() == u64::from(LINKS)).await;
    node
}

fn codes() -> impl Iterator<Item = String> {
    (1..=LINKS).map(|n| format!("c{n}"))
}

/// From the replica, as memory is made to forget again and again.
async fn goes_on(node: &Node) {
    let begun = Instant::now();
    let mut rounds = 0;
    while begun.elapsed() < OUTAGE || rounds == 0 {
        node.forgets(codes());
        for n in 1..=LINKS {
            assert_eq!(node.target(&format!("c{n}")).await, Ok(target(n)), "after {:?}", begun.elapsed());
        }
        assert_eq!(node.target(&format!("unknown{rounds}")).await, Err(503));
        rounds += 1;
    }
    let ready = node.get("/readyz").await.is(200);
    assert_eq!((&ready["status"], &ready["checks"]["replica"]), (&json!("degraded"), &json!("complete")), "{ready}");
    let create = node.ask("POST", "/shorten", &[], r#"{"original_url":"https://a.example/"}"#).await;
    assert_eq!(create.is(503)["code"], "unavailable");
    assert!(node.resolved(Tier::Doubtful) > 0 && node.resolved(Tier::Replica) > 0);
    assert!(node.said(Below::Database, Said::Refused) > 0, "it was given up");
}

async fn recovers(fleet: &Fleet, node: &Node) {
    fleet.sql("update links set target = 'https://meanwhile.example/' where short_code = 'c7'");
    node.proxy.heal().unwrap();
    node.until("what changed meanwhile", async || node.target("c7").await == Ok("https://meanwhile.example/".to_owned())).await;
    node.until("no such code", async || node.target("unknown0").await == Err(404)).await;
    let from_replica = node.resolved(Tier::Replica);
    node.until("the replica is sure again", async || {
        node.forgets(["c8".to_owned()]);
        assert_eq!(node.target("c8").await, Ok(target(8)));
        node.resolved(Tier::Replica) > from_replica
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_costs_no_redirect() {
    let fleet = Fleet::new();
    let node = furnished(&fleet).await;
    node.proxy.disable();
    goes_on(&node).await;
    recovers(&fleet, &node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_costs_no_redirect() {
    let fleet = Fleet::new();
    let node = furnished(&fleet).await;
    node.hang();
    goes_on(&node).await;
    recovers(&fleet, &node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_database_nor_redis_is_needed() {
    let mut fleet = Fleet::with_redis();
    let node = furnished(&fleet).await;
    node.proxy.disable();
    fleet.redis.as_mut().unwrap().kill().unwrap();
    goes_on(&node).await;
    recovers(&fleet, &node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_reset_cost_no_redirect_and_no_wrong_answer() {
    let fleet = Fleet::new();
    let node = furnished(&fleet).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        node.proxy.reset_connections();
        node.forgets(codes());
        for n in 1..=LINKS {
            assert_eq!(node.target(&format!("c{n}")).await, Ok(target(n)));
        }
        let unknown = node.target("unknown").await;
        assert!(matches!(unknown, Err(404 | 503)), "{unknown:?}");
    }
    recovers(&fleet, &node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_replica_memory_answers_what_it_holds_and_redis_what_it_has() {
    let fleet = Fleet::with_redis();
    let bare = |config: &mut knurl::config::Config| config.replica = false;
    let (node, other) = (fleet.node_with(bare).await, fleet.node_with(bare).await);
    fleet.sql(&rows(1, 3));
    // What the feed brings is forgotten: afterwards nothing is.
    node.until("they came", async || node.state().metrics.tiers.replica.rows.get() >= 3).await;
    assert_eq!(node.target("c1").await, Ok(target(1)));
    // The other node finds it in Redis, put there by the first.
    other
        .until("it is in Redis", async || {
            other.forgets(["c1".to_owned()]);
            assert_eq!(other.target("c1").await, Ok(target(1)));
            other.resolved(Tier::Redis) > 0
        })
        .await;
    for node in [&node, &other] {
        node.proxy.disable();
    }
    node.state().resolver.forget_all();
    assert_eq!(node.target("c1").await, Ok(target(1)), "stale, and better than nothing");
    assert_eq!(node.resolved(Tier::Stale), 1);
    // Asked again where a busy machine was slower than Redis is waited for.
    let from_redis = async || {
        other.forgets(["c1".to_owned()]);
        other.target("c1").await == Ok(target(1))
    };
    other.until("it comes from Redis", from_redis).await;
    for node in [&node, &other] {
        assert_eq!(node.target("c2").await, Err(503));
    }
    for node in [node, other] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_for_one_new_link_are_one_question_to_a_slow_database() {
    let fleet = Fleet::new();
    // No copy, so that every one is the database's.
    let node = fleet.node_with(|config| config.replica = false).await;
    fleet.sql(&rows(1, 1));
    node.slow_down(300);
    let asked = node.said(Below::Database, Said::Known);
    let answers = futures_util::future::join_all((0..100).map(|_| node.target("c1"))).await;
    assert!(answers.iter().all(|answer| *answer == Ok(target(1))), "{answers:?}");
    assert_eq!(node.said(Below::Database, Said::Known) - asked, 1);
    node.proxy.heal().unwrap();
    node.stop().await;
}
