//! Limits from outside: who is counted, what is refused, and what never is.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod test_app;

use std::time::{Duration, Instant};

use knurl::config::{Auth, Config, RedisConfig};
use knurl_lab::servers::{Redis, RedisCluster, RedisSentinels};
use knurl_store::faulty::Fault;
use serde_json::json;
use test_app::{Answer, KEY, TestApp};

/// Five at once and one a minute: no test lasts until the next one.
const BURST: usize = 5;

fn strict(config: &mut Config) {
    let limits = &mut config.limits;
    (limits.api_per_minute, limits.anonymous_per_minute, limits.misses_per_minute) = (0, 0, 0);
    limits.burst_s = 60 * BURST as u32;
    limits.exempt.clear();
    config.trusted_proxies(&["127.0.0.1"]);
}

trait Believing {
    fn trusted_proxies(&mut self, proxies: &[&str]);
}

impl Believing for Config {
    fn trusted_proxies(&mut self, proxies: &[&str]) {
        self.http.trusted_proxies = proxies.iter().map(|net| net.parse().unwrap()).collect();
    }
}

/// GET by a client that a trusted proxy speaks for.
async fn get_as(app: &TestApp, client: &str, path: &str) -> Answer {
    app.send("GET", path, &[("x-forwarded-for", client)], b"").await
}

async fn misses(app: &TestApp, client: &str, count: usize) {
    for n in 0..count {
        get_as(app, client, &format!("/miss{n}")).await.fails(404, "link_not_found");
    }
}

fn refused(answer: &Answer, limit: &str) {
    answer.fails(429, "rate_limited");
    let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{answer:?}");
    assert_eq!(answer.header("ratelimit-policy"), Some(format!("\"{limit}\";q={BURST};w=300").as_str()));
    assert!(answer.header("ratelimit").unwrap().starts_with(&format!("\"{limit}\";r=0;t=")), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_has_its_own_quota_and_every_answer_tells_what_is_left() {
    let app = TestApp::start_with(|config| {
        strict(config);
        config.auth = Auth::Required;
        config.limits.api_per_minute = 1;
    })
    .await;
    app.store_key("second").await;
    let ask = async |key: &str, path: &str| app.send("GET", path, &[("authorization", &format!("Bearer {key}"))], b"").await;
    for left in (0..BURST).rev() {
        // A failure costs as much as a success.
        let answer = ask(KEY, if left == 1 { "/users/999" } else { "/users" }).await;
        assert_eq!(answer.status, if left == 1 { 404 } else { 200 });
        assert_eq!(answer.header("ratelimit-policy"), Some("\"key\";q=5;w=300"));
        let state = answer.header("ratelimit").unwrap();
        assert!(state.starts_with(&format!("\"key\";r={left};t=")), "{state}");
    }
    for path in ["/users", "/api/v1/urls", "/metrics"] {
        refused(&ask(KEY, path).await, "key");
    }
    assert_eq!(ask("second", "/users").await.status, 200);
    let health = ask(KEY, "/health").await;
    assert_eq!((health.status, health.header("ratelimit")), (200, None), "health is free");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_key_is_counted_by_network_before_it_is_told_so() {
    let app = TestApp::start_with(|config| {
        strict(config);
        config.auth = Auth::Required;
        config.limits.anonymous_per_minute = 1;
    })
    .await;
    for _ in 0..BURST {
        get_as(&app, "203.0.113.7", "/users").await.fails(401, "unauthorized");
    }
    refused(&get_as(&app, "203.0.113.7", "/users").await, "network");
    get_as(&app, "203.0.113.8", "/users").await.fails(401, "unauthorized");
    let keyed = [("x-forwarded-for", "203.0.113.7"), ("authorization", &*format!("Bearer {KEY}"))];
    assert_eq!(app.send("GET", "/users", &keyed, b"").await.status, 200, "a key is not its network's neighbour");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_too_often_gets_429_and_every_link_that_exists() {
    let app = TestApp::start_with(|config| {
        strict(config);
        config.limits.misses_per_minute = 1;
    })
    .await;
    let user = app.user("ada").await;
    let (known, sleeping) = (app.link(user, "https://example.org/a").await, app.link(user, "https://example.org/b").await);
    app.put(&format!("/urls/{}", sleeping["id"]), json!({"is_active": false})).await.is(200);
    let path = |link: &serde_json::Value| format!("/{}", link["short_code"].as_str().unwrap());

    misses(&app, "203.0.113.7", BURST - 1).await;
    get_as(&app, "203.0.113.7", &path(&sleeping)).await.fails(404, "link_not_found");
    for guess in ["/miss0", "/miss9", &path(&sleeping), "/urls/miss9/redirect"] {
        refused(&get_as(&app, "203.0.113.7", guess).await, "misses");
    }
    for cold in [true, false] {
        if cold {
            app.state.resolver.changed(known["short_code"].as_str().unwrap(), None);
        }
        assert_eq!(get_as(&app, "203.0.113.7", &path(&known)).await.status, 302);
    }
    // Its neighbours, and its use of the API, are not concerned.
    get_as(&app, "203.0.113.8", "/miss0").await.fails(404, "link_not_found");
    assert_eq!(get_as(&app, "203.0.113.7", "/urls").await.status, 200);
    let text = app.state.metrics.render();
    assert!(text.contains("knurl_redirects_total{outcome=\"limited\"} 4\n"), "{text}");
    assert!(text.contains("knurl_limits_total{limit=\"misses\",verdict=\"refused\"} 4\n"), "{text}");
    let timed = BURST + 2 + 1;
    assert!(text.contains(&format!("knurl_redirect_duration_seconds_count {timed}\n")), "a refused guess is no redirect: {text}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_network_is_one_client_and_an_unvouched_header_is_nobody() {
    let app = TestApp::start_with(|config| {
        strict(config);
        config.limits.misses_per_minute = 1;
        config.trusted_proxies(&["127.0.0.1", "10.0.0.0/8"]);
    })
    .await;
    for n in 0..BURST {
        get_as(&app, &format!("2001:db8:1:2::{n:x}"), "/miss").await.fails(404, "link_not_found");
    }
    refused(&get_as(&app, "2001:db8:1:2:ffff::", "/miss").await, "misses");
    get_as(&app, "2001:db8:1:3::1", "/miss").await.fails(404, "link_not_found");
    // What a client writes itself stands further left than what the proxy adds.
    for n in 0..BURST {
        get_as(&app, &format!("192.0.2.{n}, 203.0.113.7, 10.1.2.3"), "/miss").await.fails(404, "link_not_found");
    }
    refused(&get_as(&app, "192.0.2.99, 203.0.113.7", "/miss").await, "misses");
    app.stop().await;

    let alone = TestApp::start_with(|config| {
        strict(config);
        config.limits.misses_per_minute = 1;
        config.http.trusted_proxies.clear();
    })
    .await;
    for n in 0..BURST {
        get_as(&alone, &format!("192.0.2.{n}"), "/miss").await.fails(404, "link_not_found");
    }
    refused(&get_as(&alone, "192.0.2.99", "/miss").await, "misses");
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_waits_for_the_database_keeps_nobody_else_waiting() {
    let app = TestApp::start_with(|config| {
        strict(config);
        config.limits.misses_per_minute = 1;
    })
    .await;
    let user = app.user("ada").await;
    let (hot, cold) = (app.link(user, "https://example.org/a").await, app.link(user, "https://example.org/b").await);
    let path = |link: &serde_json::Value| format!("/{}", link["short_code"].as_str().unwrap());
    assert_eq!(get_as(&app, "203.0.113.7", &path(&hot)).await.status, 302);
    misses(&app, "203.0.113.7", BURST).await;

    app.store.fail_method("link_by_code", Fault::Hang);
    let scan = async {
        let guesses = (0..20).map(|n| format!("/guess{n}")).collect::<Vec<_>>();
        futures_util::future::join_all(guesses.iter().map(|guess| get_as(&app, "203.0.113.7", guess))).await
    };
    let others = async {
        // What memory knows is answered, to the scanner too, whatever waits; so is what memory knows to be absent.
        assert_eq!(get_as(&app, "203.0.113.8", &path(&hot)).await.status, 302);
        assert_eq!(get_as(&app, "203.0.113.7", &path(&hot)).await.status, 302);
        refused(&get_as(&app, "203.0.113.7", "/miss0").await, "misses");
        app.store.heal();
    };
    let (answers, ()) = tokio::join!(scan, others);
    // On a machine so slow that the database's deadline passed meanwhile: 503.
    assert!(answers.iter().all(|answer| [429, 503].contains(&answer.status)), "{answers:?}");
    assert_eq!(get_as(&app, "203.0.113.7", &path(&cold)).await.status, 302);
    app.stop().await;
}

/// Redirects whose time was taken.
fn timed(app: &TestApp) -> u64 {
    let text = app.state.metrics.render();
    let count = text.lines().find_map(|line| line.strip_prefix("knurl_redirect_duration_seconds_count "));
    count.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guess_that_waited_in_a_slow_lane_is_not_timed_although_it_may_be_made_again() {
    const ONE_MORE: Duration = Duration::from_secs(1);
    // Too early for one more when it comes, late enough when it is answered, and answered before the database's deadline (a second).
    const A_PART: Duration = Duration::from_millis(600);
    let app = TestApp::start_with(|config| {
        strict(config);
        (config.limits.misses_per_minute, config.limits.burst_s) = (60, 1);
    })
    .await;
    // On a machine so slow that the next guess was due before it came, or that the database's deadline passed: once more, by another client.
    for attempt in 0..50 {
        let client = format!("203.0.113.{attempt}");
        let (held, began) = (app.store.held(), Instant::now());
        get_as(&app, &client, &format!("/first{attempt}")).await.fails(404, "link_not_found");
        let timed_before = timed(&app);
        tokio::time::sleep(A_PART).await;
        app.store.fail_method("link_by_code", Fault::Hang);
        let guess = format!("/second{attempt}");
        let wait = async {
            while app.store.held() == held && began.elapsed() < 3 * ONE_MORE {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let came_after = began.elapsed();
            tokio::time::sleep(A_PART).await;
            app.store.heal();
            came_after
        };
        let (answer, came_after) = tokio::join!(get_as(&app, &client, &guess), wait);
        if came_after < ONE_MORE && answer.status == 404 {
            assert_eq!(timed(&app), timed_before);
            app.stop().await;
            return;
        }
    }
    panic!("no guess waited in a lane");
}

#[tokio::test(flavor = "multi_thread")]
async fn this_machine_is_not_limited_unless_told_and_no_limit_says_nothing() {
    let app = TestApp::start_with(|config| {
        let exempt = config.limits.exempt.clone();
        strict(config);
        config.limits.exempt = exempt;
        (config.limits.api_per_minute, config.limits.anonymous_per_minute, config.limits.misses_per_minute) = (1, 1, 1);
    })
    .await;
    for n in 0..3 * BURST {
        app.get(&format!("/miss{n}")).await.fails(404, "link_not_found");
        let answer = app.get("/users").await;
        assert_eq!((answer.status, answer.header("ratelimit")), (200, None));
    }
    misses(&app, "203.0.113.7", BURST).await;
    refused(&get_as(&app, "203.0.113.7", "/miss").await, "misses");
    app.stop().await;
}

/// One of several nodes.
async fn node(url: &str, change: impl FnOnce(&mut Config)) -> TestApp {
    let url = url.parse().unwrap();
    // The machine may be doing anything: the deadline is not what this is about.
    let (timeout, links_ttl) = (Duration::from_secs(1), Duration::from_secs(600));
    let app = TestApp::start_with(|config| {
        strict(config);
        change(config);
        config.redis = Some(RedisConfig { url, timeout, links_ttl, prefix: "test".to_owned() });
    })
    .await;
    shows(&app, "knurl_redis_connected 1").await;
    app
}

async fn shows(app: &TestApp, line: &str) {
    let begun = std::time::Instant::now();
    while !app.state.metrics.render().contains(&format!("{line}\n")) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{line:?} is missing in\n{}", app.state.metrics.render());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_share_a_redis_count_together_and_each_goes_on_alone_while_it_is_away() {
    let mut redis = Redis::start().unwrap();
    let keyed = |config: &mut Config| {
        config.auth = Auth::Required;
        config.limits.api_per_minute = 1;
    };
    let (one, two) = (node(&redis.url(), keyed).await, node(&redis.url(), keyed).await);
    let ask = async |app: &TestApp| app.send("GET", "/users", &[("authorization", &format!("Bearer {KEY}"))], b"").await;
    for (left, app) in (0..BURST).rev().zip([&one, &two].into_iter().cycle()) {
        let answer = ask(app).await;
        assert_eq!((answer.status, answer.header("ratelimit-policy")), (200, Some("\"key\";q=5;w=300")));
        let state = answer.header("ratelimit").unwrap();
        assert!(state.starts_with(&format!("\"key\";r={left};t=")), "{state}");
    }
    refused(&ask(&one).await, "key");
    refused(&ask(&two).await, "key");
    // Nothing in Redis names anybody.
    let keys = redis.command(&["keys", "*"]).unwrap();
    assert!(keys.lines().all(|key| key.starts_with("test:limit:key:") && key.len() == 15 + 16), "{keys}");

    redis.kill().unwrap();
    shows(&one, "knurl_redis_connected 0").await;
    refused(&ask(&one).await, "key");
    one.store_key("second").await;
    let second = async || one.send("GET", "/users", &[("authorization", "Bearer second")], b"").await;
    for _ in 0..BURST {
        assert_eq!(second().await.status, 200, "each node gives its own quota");
    }
    refused(&second().await, "key");
    one.stop().await;
    two.stop().await;
}

/// Whether a new key's requests are counted together: as many as it may make at one node leave it none at the other.
async fn count_together(one: &TestApp, two: &TestApp, key: &str) -> bool {
    let ask = async |app: &TestApp| app.send("GET", "/users", &[("authorization", &format!("Bearer {key}"))], b"").await.status;
    one.store_key(key).await;
    two.store_key(key).await;
    for _ in 0..BURST {
        if ask(one).await != 200 {
            return false;
        }
    }
    ask(two).await == 429
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_count_together_on_a_cluster_and_behind_sentinels_who_replace_the_master() {
    let keyed = |config: &mut Config| {
        config.auth = Auth::Required;
        config.limits.api_per_minute = 1;
    };
    let cluster = RedisCluster::start().unwrap();
    let (one, two) = (node(&cluster.url(), keyed).await, node(&cluster.url(), keyed).await);
    for n in 0..20 {
        assert!(count_together(&one, &two, &format!("key{n}")).await);
    }
    let counted = |master: &Redis| master.command(&["keys", "test:limit:key:*"]).unwrap().lines().count();
    assert!(cluster.masters.iter().all(|master| counted(master) > 0), "every master has its part");
    one.stop().await;
    two.stop().await;

    let mut fleet = RedisSentinels::start(Duration::from_millis(500)).unwrap();
    let (one, two) = (node(&fleet.url(), keyed).await, node(&fleet.url(), keyed).await);
    assert!(count_together(&one, &two, "before").await);
    fleet.master.kill().unwrap();
    let begun = Instant::now();
    for n in 0.. {
        // Each by itself in between.
        if count_together(&one, &two, &format!("after{n}")).await {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the nodes count by themselves still");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(fleet.replica.command(&["info", "replication"]).unwrap().contains("role:master"));
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_is_counted_in_redis_and_an_emptied_one_changes_no_answer() {
    let redis = Redis::start().unwrap();
    let app = node(&redis.url(), |config| config.limits.misses_per_minute = 1).await;
    let user = app.user("ada").await;
    let known = app.link(user, "https://example.org/a").await;
    misses(&app, "203.0.113.7", BURST).await;
    refused(&get_as(&app, "203.0.113.7", "/miss9").await, "misses");
    assert_eq!(get_as(&app, "203.0.113.7", &format!("/{}", known["short_code"].as_str().unwrap())).await.status, 302);
    let keys = redis.command(&["keys", "*:limit:*"]).unwrap();
    assert!(keys.starts_with("test:limit:misses:") && keys.lines().count() == 1, "{keys}");
    redis.command(&["flushall"]).unwrap();
    refused(&get_as(&app, "203.0.113.7", "/miss9").await, "misses");
    get_as(&app, "203.0.113.8", "/miss9").await.fails(404, "link_not_found");
    let text = app.state.metrics.render();
    // Who is overdrawn is refused without a question.
    for line in [
        format!("knurl_limits_counted_total{{by=\"fleet\"}} {}\n", BURST + 1),
        "knurl_limits_counted_total{by=\"node\"} 2\n".into(),
    ] {
        assert!(text.contains(&line), "{line:?} is missing in\n{text}");
    }
    app.stop().await;
}

#[test]
fn without_keys_only_what_was_asked_for_is_limited() {
    let load = |environment: &[(&str, &str)]| {
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let limits = knurl::config::Layers { environment, ..Default::default() }.load().unwrap().config.limits;
        (limits.anonymous_per_minute, limits.misses_per_minute)
    };
    assert_eq!(load(&[]), (600, 600));
    assert_eq!(load(&[("KNURL_AUTH", "open")]), (0, 0));
    assert_eq!(load(&[("KNURL_AUTH", "open"), ("KNURL_LIMITS_MISSES_PER_MINUTE", "600")]), (0, 600));
}
