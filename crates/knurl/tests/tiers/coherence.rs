//! What is changed on one node is seen on all: with and without notifications, with and without a replica, with and without Redis.

use std::{cell::Cell, time::Duration};

use knurl::config::Database;
use knurl_core::UnixMillis;
use knurl_lab::proxy::{Direction, Toxic, ToxicKind};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::fleet::{Fleet, IN_TIME, Node, rows, target};

/// As where a pooler or a proxy loses them: nobody is told of an edit.
const LOSE_NOTIFICATIONS: &str = "do $$ begin execute replace(pg_get_functiondef('knurl_links_changed'::regproc), \
                                  'perform pg_notify(''knurl_links'', code);', ''); end $$";

/// Every kind of change, made on the first node by its API, seen on the others, which remember what was before.
async fn every_change_is_seen(nodes: &[Node]) {
    let (here, others) = nodes.split_first().unwrap();
    // Codes that do not exist are remembered as that for an hour.
    for node in nodes {
        assert_eq!(node.target("abc").await, Err(404));
        assert_eq!(node.target("xyz").await, Err(404));
    }
    let link = here.create("abc", "https://one.example/").await;
    let other = here.create("xyz", "https://other.example/").await;
    let mut longest = std::time::Duration::ZERO;
    let mut seen = async |code: &str, expected: Result<&str, u16>| {
        assert_eq!(here.target(code).await, expected.map(str::to_owned), "a node sees its own change at once");
        for node in others {
            let took = node.until("it is seen", async || node.target(code).await == expected.map(str::to_owned)).await;
            longest = longest.max(took);
        }
    };
    seen("abc", Ok("https://one.example/")).await;
    seen("xyz", Ok("https://other.example/")).await;
    here.put(&link, json!({"original_url": "https://two.example/"})).await;
    seen("abc", Ok("https://two.example/")).await;
    here.put(&link, json!({"is_active": false})).await;
    seen("abc", Err(404)).await;
    here.put(&link, json!({"is_active": true})).await;
    seen("abc", Ok("https://two.example/")).await;
    here.delete(&other).await;
    seen("xyz", Err(404)).await;
    for n in 0..20 {
        here.put(&link, json!({"original_url": format!("https://edit.example/{n}")})).await;
        seen("abc", Ok(&format!("https://edit.example/{n}"))).await;
    }
    println!("longest: {longest:?}");
}

async fn fleet_of(fleet: Fleet, replicas: [bool; 2], notified: bool) {
    let mut nodes = Vec::new();
    for replica in replicas {
        nodes.push(fleet.node_with(|config| config.replica = replica).await);
    }
    for (node, replica) in nodes.iter().zip(replicas) {
        assert_eq!(node.dir.path().join("replica.db").exists(), replica);
    }
    if !notified {
        fleet.sql(LOSE_NOTIFICATIONS);
    }
    every_change_is_seen(&nodes).await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_on_every_node() {
    fleet_of(Fleet::new(), [true, true], true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_on_every_node_although_notifications_are_lost() {
    fleet_of(Fleet::new(), [true, true], false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_on_nodes_without_a_replica() {
    fleet_of(Fleet::new(), [false, false], true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_on_nodes_without_a_replica_although_notifications_are_lost() {
    fleet_of(Fleet::new(), [true, false], false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_on_nodes_that_share_a_redis() {
    fleet_of(Fleet::with_redis(), [false, false], true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_on_nodes_that_share_a_redis_although_notifications_are_lost() {
    fleet_of(Fleet::with_redis(), [true, false], false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_whose_outcome_is_not_known_is_not_answered_from_memory_any_more() {
    let fleet = Fleet::new();
    for replica in [true, false] {
        let node = fleet.node_with(|config| config.replica = replica).await;
        // Nobody else tells it soon.
        fleet.sql(LOSE_NOTIFICATIONS);
        let code = if replica { "copied" } else { "bare" };
        let link = node.create(code, "https://one.example/").await;
        for (method, body, becomes) in [
            ("PATCH", r#"{"original_url":"https://two.example/"}"#, Ok("https://two.example/".to_owned())),
            ("DELETE", "", Err(404)),
        ] {
            node.until("it is remembered", async || node.target(code).await.is_ok()).await;
            let cut = ToxicKind::CutAtPattern { pattern: "COMMIT\0".to_owned(), probability: 1.0 };
            node.proxy.add(Toxic::new(Direction::Downstream, cut)).unwrap();
            let told = node.ask(method, &format!("/urls/{}", link["id"]), &[], body).await.is(503);
            assert_eq!(told["code"], "outcome_unknown", "{told}");
            // Nobody but the database knows.
            node.until("it is asked", async || node.target(code).await != Err(503)).await;
            assert_eq!(node.target(code).await, becomes, "{method}, with a replica: {replica}");
            node.proxy.heal().unwrap();
        }
        node.stop().await;
    }
}

/// Sessions that have just ended a look: with no writes under way, the feed's alone.
const LOOKING: &str = "select string_agg(pid::text, ' ') from pg_stat_activity where application_name = 'knurl' and query = 'commit' \
                       and state_change > now() - interval '1.2 s'";

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_seen_although_the_connection_that_would_tell_of_it_hangs() {
    let fleet = Fleet::new();
    for replica in [true, false] {
        let node = fleet
            .node_with(|config| {
                config.replica = replica;
                // What ends the waiting is not the time that a call may take.
                if let Database::Postgres(options) = &mut config.database {
                    options.call_timeout = 20 * IN_TIME;
                }
            })
            .await;
        let code = if replica { "copied" } else { "bare" };
        node.create(code, "https://one.example/").await;
        let feed = Cell::new(None);
        // Twice the same one, as what else commits does not do it every second.
        node.until("its feed is found", async || {
            let found = fleet.sql(LOOKING).parse::<i32>().ok();
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            let again = fleet.sql(LOOKING).parse::<i32>().ok();
            feed.set(found.filter(|_| found == again));
            feed.get().is_some()
        })
        .await;
        assert!(node.target(code).await.is_ok(), "it is remembered");
        let feed = Pid::from_raw(feed.get().unwrap()).unwrap();
        kill_process(feed, Signal::STOP).unwrap();
        fleet.sql(&format!("update links set target = 'https://two.example/' where short_code = '{code}'"));
        node.until("the edit", async || node.target(code).await == Ok("https://two.example/".to_owned())).await;
        kill_process(feed, Signal::CONT).unwrap();
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_to_the_tables_is_seen_too() {
    let fleet = Fleet::new();
    fleet_has(&fleet, 1, 50).await;
    let nodes = [fleet.node().await, fleet.node_with(|config| config.replica = false).await];
    for node in &nodes {
        assert_eq!(node.target("c1").await, Ok(target(1)));
        assert_eq!(node.target("c2").await, Ok(target(2)));
    }
    fleet.sql("update links set target = 'https://hand.example/' where short_code = 'c1'");
    fleet.sql("delete from links where short_code = 'c2'");
    for node in &nodes {
        node.until("an edit by hand", async || node.target("c1").await == Ok("https://hand.example/".to_owned())).await;
        node.until("a removal by hand", async || node.target("c2").await == Err(404)).await;
    }
    fleet.sql("truncate links restart identity");
    for node in &nodes {
        node.until("all are gone", async || node.target("c3").await == Err(404)).await;
    }
    for node in nodes {
        node.stop().await;
    }
}

/// The schema comes with the first node.
async fn fleet_has(fleet: &Fleet, first: u32, last: u32) {
    fleet.node().await.stop().await;
    fleet.sql(&rows(first, last));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_revoked_on_one_node_is_in_force_on_none() {
    use knurl::{config::Auth, http::api::auth};

    let fleet = Fleet::new();
    let keyed = |config: &mut knurl::config::Config| config.auth = Auth::Required;
    let nodes = [fleet.node_with(keyed).await, fleet.node_with(keyed).await];
    let store = &nodes[0].state().store;
    let key = store.create_key("second", auth::hash(b"a-second-key"), UnixMillis(1)).await.unwrap();
    let with_key = async |node: &Node| node.ask("GET", "/users", &[("authorization", "Bearer a-second-key")], "").await.status;
    nodes[1].until("the new key", async || with_key(&nodes[1]).await == 200).await;
    store.revoke_key(key.id, UnixMillis(2)).await.unwrap();
    nodes[1].until("the revocation", async || with_key(&nodes[1]).await == 401).await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_although_the_feed_cannot_be_read() {
    let fleet = Fleet::new();
    let nodes = [fleet.node().await, fleet.node_with(|config| config.replica = false).await];
    nodes[0].create("abc", "https://one.example/").await;
    for node in &nodes {
        node.until("it is there", async || node.target("abc").await == Ok("https://one.example/".to_owned())).await;
    }
    // What every look begins with, and nothing else needs.
    fleet.sql("alter function knurl_database_id() rename to knurl_no_database_id");
    fleet.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'knurl'");
    fleet.sql("update links set target = 'https://two.example/', version = version + 1 where short_code = 'abc'");
    for node in &nodes {
        node.until("the edit", async || node.target("abc").await == Ok("https://two.example/".to_owned())).await;
    }
    for node in nodes {
        node.stop().await;
    }
}
