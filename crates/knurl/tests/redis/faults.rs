//! A Redis that hangs, resets, is slow, flaps, or was never there: calls are answered, by refusals too, and nothing grows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use knurl::{
    config::RedisConfig,
    redis::{Links, Looked, Redis, Unavailable, links::Tell},
    telemetry::Metrics,
};
use knurl_lab::{
    proxy::{Direction, Proxy, Toxic, ToxicKind},
    servers::Redis as Server,
};

use crate::{code, config, lease, link, until, version};

/// Long enough that a healthy answer always makes it on a machine that does other things too.
const TIMEOUT: Duration = Duration::from_millis(100);
/// No call may take this long, whatever Redis does: a bound for hangs, not a measurement.
const HUNG: Duration = Duration::from_secs(20);

struct World {
    server: Server,
    proxy: Proxy,
    redis: Redis,
    metrics: Arc<Metrics>,
}

impl World {
    async fn start() -> Self {
        let server = Server::start().unwrap();
        let proxy = Proxy::start("redis", ([127, 0, 0, 1], server.port()).into(), 7).unwrap();
        let metrics = Arc::new(Metrics::new());
        let redis = Redis::start(&fast(&format!("redis://{}", proxy.addr())), Arc::clone(&metrics));
        let world = Self { server, proxy, redis, metrics };
        world.is_well().await;
        world
    }

    async fn is_well(&self) {
        let (links, probe) = (self.redis.links(), code("probe"));
        until("it is well", async || {
            links.get("", &probe).await.is_ok() && self.shows("knurl_dependency_up{dependency=\"redis\"} 1")
        })
        .await;
    }

    fn shows(&self, line: &str) -> bool {
        self.metrics.render().contains(&format!("{line}\n"))
    }

    fn poison(&self, kind: ToxicKind) {
        self.proxy.add(Toxic::new(Direction::Downstream, kind)).unwrap();
    }
}

fn fast(url: &str) -> RedisConfig {
    RedisConfig { timeout: TIMEOUT, ..config(url) }
}

/// Many callers at once, for a while; how many calls there were, and that none of them hung.
async fn asked(links: &Links, length: Duration) -> u64 {
    let calls = AtomicU64::new(0);
    let begun = Instant::now();
    let caller = async |n: usize| {
        let code = code(&format!("caller{n}"));
        while begun.elapsed() < length {
            let answered = tokio::time::timeout(HUNG, async {
                let _ = links.get("", &code).await;
                let _ = links.forget("", &code, 1, Tell::Nobody).await;
            });
            assert!(answered.await.is_ok(), "a call hung");
            calls.fetch_add(1, Relaxed);
            // Refusals take no time.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    join_all((0..64).map(caller)).await;
    calls.into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_never_there_is_no_error_and_is_found_when_it_comes() {
    let mut server = Server::start().unwrap();
    server.stop().unwrap();
    let metrics = Arc::new(Metrics::new());
    let redis = Redis::start(&config(&server.url()), Arc::clone(&metrics));
    let (links, code) = (redis.links(), code("abc"));
    assert!(matches!(links.forget("", &code, 1, Tell::Nobody).await, Err(Unavailable::Away)));
    until("it counts as down", async || metrics.render().contains("knurl_dependency_up{dependency=\"redis\"} 0\n")).await;
    server.start_again().unwrap();
    until("it is found", async || matches!(links.forget("", &code, 1, Tell::Nobody).await, Ok(()))).await;
    until("it counts as up", async || metrics.render().contains("knurl_dependency_up{dependency=\"redis\"} 1\n")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hung_slow_reset_or_away_every_call_is_answered_and_it_comes_back() {
    let world = World::start().await;
    let links = world.redis.links();
    let kinds = [
        ToxicKind::Timeout { timeout: 0 },
        ToxicKind::Latency { latency: 500, jitter: 50 },
        ToxicKind::ResetPeer { timeout: 0 },
        ToxicKind::LimitData { bytes: 100 },
        ToxicKind::Slicer { average_size: 3, size_variation: 2, delay: 1_000 },
    ];
    for kind in kinds {
        let what = format!("{kind:?}");
        world.poison(kind);
        let calls = asked(&links, Duration::from_millis(1_500)).await;
        assert!(calls > 100, "{what}: {calls} calls in a second and a half by 64 callers");
        world.proxy.heal().unwrap();
        world.is_well().await;
    }
    world.proxy.disable();
    asked(&links, Duration::from_millis(500)).await;
    world.proxy.enable().unwrap();
    world.is_well().await;
    // Frozen: the kernel still accepts connections, nobody answers.
    world.server.pause();
    asked(&links, Duration::from_millis(2_500)).await;
    world.server.resume();
    world.is_well().await;
    assert!(world.proxy.fates().accepted < 200, "{:?}: it is not stormed with connections", world.proxy.fates());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_flaps_nothing_grows_and_what_changed_meanwhile_is_not_found_old() {
    let world = World::start().await;
    let (links, code) = (world.redis.links(), code("abc"));
    let leave = lease(&links, &code).await;
    assert!(links.put(&leave, &link(1)).await.unwrap());
    let is_over = AtomicBool::new(false);
    let flap = async {
        for _ in 0..4 {
            world.proxy.disable();
            tokio::time::sleep(Duration::from_millis(500)).await;
            // Somebody edits just now, and Redis keeps what it had.
            assert!(links.forget("", &code, 2, Tell::Everybody).await.is_err());
            world.proxy.enable().unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        is_over.store(true, Relaxed);
    };
    let look = async {
        while !is_over.load(Relaxed) {
            asked(&links, Duration::from_millis(100)).await;
        }
    };
    tokio::join!(flap, look);
    world.is_well().await;
    assert_eq!(version(&links, &code).await, None, "its forget never arrived");
    assert!(world.shows("knurl_redis_connected 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_places_are_refused_at_once() {
    let world = World::start().await;
    let links = world.redis.links();
    world.poison(ToxicKind::Latency { latency: 50, jitter: 0 });
    let codes: Vec<_> = (0..2_000).map(|n| code(&format!("code{n}"))).collect();
    let answers = join_all(codes.iter().map(|code| links.get("", code))).await;
    let busy = answers.iter().filter(|answer| matches!(answer, Err(Unavailable::Busy))).count();
    assert!(busy >= 1_000, "{busy} of 2000 refused");
    world.proxy.heal().unwrap();
    world.is_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_memory_emptied_under_traffic_no_look_gives_what_was_changed() {
    let world = World::start().await;
    let links = world.redis.links();
    let begun = Instant::now();
    let traffic = async |n: usize| {
        let code = code(&format!("link{n}"));
        let (mut current, mut hits) = (1, 0);
        while begun.elapsed() < Duration::from_secs(2) {
            match links.get("", &code).await {
                Ok(Looked::Hit(found)) => {
                    hits += 1;
                    assert!(found.version >= current, "{} after {current} was acknowledged", found.version);
                    if hits % 3 == 0 && links.forget("", &code, current + 1, Tell::Nobody).await.is_ok() {
                        current += 1;
                    }
                }
                Ok(Looked::Miss(Some(leave))) => drop(links.put(&leave, &link(current)).await),
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        hits
    };
    let hits = std::thread::scope(|scope| {
        scope.spawn(|| {
            while begun.elapsed() < Duration::from_secs(2) {
                world.server.command(&["flushall"]).unwrap();
            }
        });
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(join_all((0..32).map(traffic))))
    });
    assert!(hits.iter().sum::<u32>() > 100, "{hits:?}\n{}", world.metrics.render());
}
