//! A node that is started while nobody is there: it redirects from its replica.

use knurl_lab::proxy::Proxy;
use serde_json::json;

use super::fleet::{Fleet, hang, rows, target};

const LINKS: u32 = 200;

async fn restarted_alone(away: fn(&Proxy)) {
    let mut fleet = Fleet::with_redis();
    let node = fleet.node().await;
    fleet.sql(&rows(1, LINKS));
    node.until("the links are copied", async || node.links() == u64::from(LINKS)).await;
    let node = node
        .restart(|proxy| {
            fleet.redis.as_mut().unwrap().kill().unwrap();
            away(proxy);
        })
        .await;
    for n in 1..=LINKS {
        assert_eq!(node.target(&format!("c{n}")).await, Ok(target(n)));
    }
    assert_eq!(node.target("unknown").await, Err(503));
    let ready = node.get("/readyz").await.is(200);
    assert_eq!((&ready["status"], &ready["checks"]["replica"]), (&json!("degraded"), &json!("complete")), "{ready}");

    fleet.sql("update links set target = 'https://meanwhile.example/' where short_code = 'c7'");
    fleet.sql(&rows(LINKS + 1, LINKS + 1));
    node.proxy.heal().unwrap();
    node.until("an edit made meanwhile", async || node.target("c7").await == Ok("https://meanwhile.example/".to_owned())).await;
    node.until("a link made meanwhile", async || node.target(&format!("c{}", LINKS + 1)).await == Ok(target(LINKS + 1))).await;
    node.until("no such code", async || node.target("unknown").await == Err(404)).await;
    node.until("all is well", async || node.get("/readyz").await.is(200)["status"] == "ok").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_started_while_database_and_redis_refuse_redirects_from_its_replica() {
    restarted_alone(Proxy::disable).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_started_while_the_database_hangs_redirects_from_its_replica() {
    restarted_alone(hang).await;
}
