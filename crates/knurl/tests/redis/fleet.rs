//! More than one server: a Cluster, and a master that Sentinels replace.

use std::time::Duration;

use knurl::redis::{Hint, Looked, links::Tell};
use knurl_core::{ShortCode, rate::Quota};
use knurl_lab::servers::{RedisCluster, RedisSentinels};

use crate::{code, lease, link, next, node, until, version};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_serves_links_limits_and_hints_and_one_master_less_is_a_part_less() {
    let mut cluster = RedisCluster::start().unwrap();
    let ((one, metrics), (two, _)) = (node(&cluster.url()).await, node(&cluster.url()).await);
    let mut heard = two.hints();
    let (first, second) = (one.links(), two.links());
    let codes: Vec<ShortCode> = (0..60).map(|n| code(&format!("code{n}"))).collect();
    for code in &codes {
        let leave = lease(&first, code).await;
        assert!(first.put(&leave, &link(1)).await.unwrap());
        assert_eq!(version(&second, code).await, Some(1));
    }
    let held = |master: &knurl_lab::servers::Redis| master.command(&["dbsize"]).unwrap().parse::<u32>().unwrap();
    assert!(cluster.masters.iter().all(|master| held(master) > 0), "every master has its part");
    first.forget("", &codes[0], 2, Tell::Everybody).await.unwrap();
    assert_eq!(next(&mut heard).await, Hint { domain: String::new(), code: codes[0].clone(), version: 2 });
    assert_eq!(version(&second, &codes[0]).await, None);
    let quota = Quota::new(1, 60).unwrap();
    for n in 0..20 {
        let taken = [one.limits().take(("key", n), &quota).await.unwrap(), two.limits().take(("key", n), &quota).await.unwrap()];
        assert_eq!(taken.map(|counted| counted.verdict.allowed), [true, false]);
    }

    cluster.masters[1].kill().unwrap();
    let answered = async || {
        let mut answered = 0;
        for code in &codes {
            answered += usize::from(first.get("", code).await.is_ok());
        }
        answered
    };
    until("the others answer", async || answered().await >= 20).await;
    assert!(answered().await < codes.len());
    cluster.masters[1].start_again().unwrap();
    until("all answer again", async || answered().await == codes.len()).await;
    // Its memory is gone, and it is another life: nothing of before is believed there, all else still is.
    until("nobody gives up any more", async || metrics.render().contains("knurl_dependency_up{dependency=\"redis\"} 1\n")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_followed_and_the_new_masters_old_values_are_not_believed() {
    let mut fleet = RedisSentinels::start(Duration::from_millis(500)).unwrap();
    let (redis, metrics) = node(&fleet.url()).await;
    let (links, code) = (redis.links(), code("abc"));
    let leave = lease(&links, &code).await;
    assert!(links.put(&leave, &link(1)).await.unwrap());
    until("it is copied", async || fleet.replica.command(&["exists", "test:link:abc:"]).unwrap() == "1").await;
    fleet.master.kill().unwrap();
    until("the replica is the master", async || {
        matches!(links.get("", &code).await, Ok(Looked::Miss(Some(_)))) && redis.is_connected()
    })
    .await;
    assert!(fleet.replica.command(&["info", "replication"]).unwrap().contains("role:master"));
    let leave = lease(&links, &code).await;
    assert!(links.put(&leave, &link(2)).await.unwrap());
    assert_eq!(version(&links, &code).await, Some(2));
    until("it counts as up", async || metrics.render().contains("knurl_dependency_up{dependency=\"redis\"} 1\n")).await;
}
