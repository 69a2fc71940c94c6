//! Cached links: who may put them, who ends that leave, who believes them.

use std::time::Duration;

use knurl::{
    redis::{Looked, links::Tell},
    telemetry::redis::Found,
};
use knurl_lab::servers::Redis as Server;

use crate::{code, config, lease, link, node, node_with, until, version};

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_looked_up_another_finds() {
    let server = Server::start().unwrap();
    let ((one, _), (two, metrics)) = (node(&server.url()).await, node(&server.url()).await);
    let (one, two, code) = (one.links(), two.links(), code("abc"));
    let leave = lease(&one, &code).await;
    assert!(one.put(&leave, &link(3)).await.unwrap());
    assert_eq!(two.get("", &code).await.unwrap(), Looked::Hit(link(3)));
    assert_eq!(version(&two, &crate::code("abd")).await, None);
    assert!(matches!(two.get("sho.rt", &code).await.unwrap(), Looked::Miss(_)), "another domain is another link");
    assert_eq!((metrics.redis.found(Found::Hit), metrics.redis.found(Found::Miss)), (1, 2));
    // Bounded in time, all of it.
    for key in server.command(&["keys", "*"]).unwrap().lines() {
        let ttl_s: i64 = server.command(&["ttl", key]).unwrap().parse().unwrap();
        assert!((0..=600).contains(&ttl_s), "{key}: {ttl_s} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_look_up_brings_nothing_back() {
    let server = Server::start().unwrap();
    let ((one, _), (two, _)) = (node(&server.url()).await, node(&server.url()).await);
    let (one, two, code) = (one.links(), two.links(), code("abc"));
    let slow = lease(&one, &code).await;
    two.forget("", &code, 2, Tell::Nobody).await.unwrap();
    assert!(!one.put(&slow, &link(1)).await.unwrap(), "it changed meanwhile");
    let fresh = lease(&one, &code).await;
    assert!(!one.put(&fresh, &link(1)).await.unwrap(), "older than what was forgotten");
    assert!(one.put(&fresh, &link(2)).await.unwrap());
    // A change that the value holds already, heard of late and twice, ends nothing.
    for forgotten in [1, 2, 2] {
        two.forget("", &code, forgotten, Tell::Nobody).await.unwrap();
    }
    assert_eq!(version(&one, &code).await, Some(2));
    assert!(!one.put(&fresh, &link(3)).await.unwrap(), "a leave is for one value");
    two.forget("", &code, 3, Tell::Nobody).await.unwrap();
    assert_eq!(version(&one, &code).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_at_the_same_time_shares_the_leave_and_the_newest_stays() {
    let server = Server::start().unwrap();
    let ((one, _), (two, _)) = (node(&server.url()).await, node(&server.url()).await);
    let (one, two, code) = (one.links(), two.links(), code("abc"));
    let (first, second) = (lease(&one, &code).await, lease(&two, &code).await);
    assert_eq!(first, second);
    assert!(two.put(&second, &link(5)).await.unwrap());
    assert!(!one.put(&first, &link(4)).await.unwrap());
    assert_eq!(version(&one, &code).await, Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_takes_nothing_that_was_looked_up_before() {
    let server = Server::start().unwrap();
    let (redis, _) = node(&server.url()).await;
    let (links, code) = (redis.links(), code("abc"));
    let slow = lease(&links, &code).await;
    links.forget("", &code, 2, Tell::Nobody).await.unwrap();
    server.command(&["flushall"]).unwrap();
    assert!(!links.put(&slow, &link(1)).await.unwrap());
    // Nor under the leave of somebody who looks after it.
    let fresh = lease(&links, &code).await;
    assert!(!links.put(&slow, &link(1)).await.unwrap());
    assert!(links.put(&fresh, &link(2)).await.unwrap());
    assert_eq!(version(&links, &code).await, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forget_that_did_not_arrive_makes_all_that_was_cached_before_unbelieved_here() {
    let server = Server::start().unwrap();
    let ((one, metrics), (two, _)) = (node(&server.url()).await, node(&server.url()).await);
    let (one, two, code, other) = (one.links(), two.links(), code("abc"), code("other"));
    for code in [&code, &other] {
        let leave = lease(&one, code).await;
        assert!(one.put(&leave, &link(1)).await.unwrap());
    }
    // Writes are refused: what a replica says, or one that is told so.
    server.command(&["acl", "setuser", "default", "-evalsha", "-eval"]).unwrap();
    assert!(one.forget("", &code, 2, Tell::Nobody).await.is_err());
    server.command(&["acl", "setuser", "default", "+evalsha", "+eval"]).unwrap();
    until("this node trusts what is new again", async || matches!(one.get("", &code).await, Ok(Looked::Miss(Some(_))))).await;
    assert!(metrics.render().contains("knurl_redis_distrusted_total 1\n"));
    let leave = lease(&one, &code).await;
    assert!(one.put(&leave, &link(2)).await.unwrap());
    assert_eq!(version(&one, &code).await, Some(2));
    assert_eq!(version(&one, &other).await, None, "this one may be old, too");
    assert_eq!(version(&two, &code).await, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_life_of_the_server_left_is_not_believed() {
    let mut server = Server::start_with(&["--save", "3600 1"]).unwrap();
    let (redis, _) = node(&server.url()).await;
    let (links, code) = (redis.links(), code("abc"));
    let leave = lease(&links, &code).await;
    assert!(links.put(&leave, &link(1)).await.unwrap());
    server.command(&["save"]).unwrap();
    // Acknowledged, and gone with the process: the dump is older.
    links.forget("", &code, 2, Tell::Nobody).await.unwrap();
    server.kill().unwrap();
    server.start_again().unwrap();
    assert!(server.command(&["keys", "*"]).unwrap().contains("test:link:abc:"), "the dump has brought it back");
    until("it is asked again", async || links.get("", &code).await.is_ok()).await;
    assert_eq!(version(&links, &code).await, None);
    until("there is a leave", async || matches!(links.get("", &code).await, Ok(Looked::Miss(Some(_))))).await;
    let leave = lease(&links, &code).await;
    assert!(links.put(&leave, &link(2)).await.unwrap());
    assert_eq!(version(&links, &code).await, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_a_miss_and_counted() {
    let server = Server::start().unwrap();
    let (redis, metrics) = node(&server.url()).await;
    let (links, code) = (redis.links(), code("abc"));
    let leave = lease(&links, &code).await;
    assert!(links.put(&leave, &link(1)).await.unwrap());
    server.command(&["setrange", "test:link:abc:", "40", "x"]).unwrap();
    assert_eq!(links.get("", &code).await.unwrap(), Looked::Miss(None));
    assert_eq!(metrics.redis.found(Found::Undecodable), 1);
    // Nothing of ours at all, and something that is no string.
    for other in [&["set", "test:link:abc:", "nonsense"][..], &["set", "test:link:abc:", ""]] {
        server.command(other).unwrap();
        assert!(matches!(links.get("", &code).await.unwrap(), Looked::Miss(Some(_))));
    }
    server.command(&["del", "test:link:abc:"]).unwrap();
    server.command(&["lpush", "test:link:abc:", "1"]).unwrap();
    assert!(links.get("", &code).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_memory_to_spare_nothing_is_cached_and_forgets_still_work() {
    let server = Server::start().unwrap();
    let (redis, metrics) = node(&server.url()).await;
    let (links, known, code) = (redis.links(), code("abc"), code("other"));
    let leave = lease(&links, &known).await;
    assert!(links.put(&leave, &link(1)).await.unwrap());
    server.command(&["config", "set", "maxmemory", "1"]).unwrap();
    assert_eq!(links.get("", &code).await.unwrap(), Looked::Miss(None));
    assert_eq!(version(&links, &known).await, Some(1));
    links.forget("", &known, 2, Tell::Nobody).await.unwrap();
    assert_eq!(version(&links, &known).await, None);
    assert!(metrics.render().contains("knurl_dependency_up{dependency=\"redis\"} 1\n"), "it answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_lives_no_longer_than_its_time() {
    let server = Server::start().unwrap();
    let (redis, _) = node_with(knurl::config::RedisConfig { links_ttl: Duration::from_secs(1), ..config(&server.url()) }).await;
    let (links, code) = (redis.links(), code("abc"));
    let leave = lease(&links, &code).await;
    assert!(links.put(&leave, &link(1)).await.unwrap());
    until("it has gone", async || version(&links, &code).await.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_the_rights_the_guide_names_may_do_everything() {
    let server = Server::start().unwrap();
    let guide = include_str!("../../../../docs/guide/operate.md");
    let rights =
        guide.lines().find_map(|line| line.strip_prefix("acl setuser NAME on >PASSWORD ")).unwrap().replace("knurl:", "test:");
    let rights = rights.split(' ').collect::<Vec<_>>();
    server.command(&[&["acl", "setuser", "shortener", "on", ">pass word"][..], &rights].concat()).unwrap();
    let (redis, _) = node(&format!("redis://shortener:pass%20word@127.0.0.1:{}", server.port())).await;
    let (other, _) = node(&server.url()).await;
    let (links, code, mut heard) = (redis.links(), code("abc"), other.hints());
    let leave = lease(&links, &code).await;
    assert!(links.put(&leave, &link(1)).await.unwrap());
    assert_eq!(version(&links, &code).await, Some(1));
    links.forget("", &code, 2, Tell::Everybody).await.unwrap();
    assert_eq!(crate::next(&mut heard).await.version, 2);
    let quota = knurl_core::rate::Quota::new(1, 60).unwrap();
    assert!(redis.limits().take(("key", 1), &quota).await.unwrap().verdict.allowed);
    links.distrust();
    until("it trusts again", async || matches!(links.get("", &code).await, Ok(Looked::Miss(Some(_))))).await;
}
