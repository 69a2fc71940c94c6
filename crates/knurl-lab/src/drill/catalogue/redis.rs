//! Redis: stopped, hanging, slow, coming and going, flushed, full. No request fails.

use std::time::Duration;

use crate::{
    drill::{Drill, Ground, props::Background},
    promise::stand::Fault,
};

/// Every create is counted there.
const COUNTED: Ground =
    Ground { env: &[("KNURL_LIMITS_ANONYMOUS_PER_MINUTE", "60000"), ("KNURL_LIMITS_EXEMPT", "")], ..Ground::FLEET };
const ASKED: &[&str] = &["knurl_redis_connected", "knurl_redis_calls_total", "knurl_redis_links_total"];
const DOWN: &[&str] = &["knurl_dependency_up", "knurl_breaker_state", "knurl_redis_connected"];
/// At 1 Hz: half of the time down.
const HALF_PERIOD: Duration = Duration::from_millis(500);

pub(super) const DRILLS: [Drill; 6] = [
    Drill {
        name: "redis-stopped",
        failure: "redis-away",
        hypothesis: "Redis holds nothing that is not elsewhere: without it nothing fails, limits are each node's own, and somebody is told.",
        harm: "Redis is killed",
        ground: COUNTED,
        alerts: &["KnurlRedisDown"],
        metrics: DOWN,
        is_short: true,
        hurt: |stage| Ok(stage.redis()?.kill()?),
        ..Drill::BARE
    },
    Drill {
        name: "redis-hung",
        failure: "redis-away",
        hypothesis: "A Redis that accepts and never answers costs its deadline a few times, then it is not asked any more.",
        harm: "SIGSTOP of Redis",
        ground: COUNTED,
        alerts: &["KnurlRedisDown"],
        metrics: DOWN,
        hurt: |stage| {
            stage.redis()?.pause();
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "redis-slow",
        failure: "redis-away",
        hypothesis: "A Redis that is slower than its deadline is done without.",
        harm: "500 ms more for every answer of Redis",
        ground: COUNTED,
        alerts: &["KnurlRedisDown"],
        allowed: &["KnurlDependencyFlapping"],
        metrics: DOWN,
        hurt: |stage| stage.stand.cut_redis(&Fault::slow(500, 0)),
        ..Drill::BARE
    },
    Drill {
        name: "redis-flapping",
        failure: "dependency-flapping",
        hypothesis: "A Redis that comes and goes every half second fails no request, and is told from one that is away.",
        harm: "the ways to Redis are cut and mended twice a second",
        ground: COUNTED,
        alerts: &["KnurlDependencyFlapping"],
        allowed: &["KnurlRedisDown"],
        metrics: &["knurl_breaker_transitions_total", "knurl_dependency_up"],
        tick: |stage| {
            stage.stand.cut_redis(&Fault::Refused)?;
            std::thread::sleep(HALF_PERIOD);
            stage.stand.heal()
        },
        ..Drill::BARE
    },
    Drill {
        name: "redis-flushed",
        failure: "redis-flushed",
        hypothesis: "FLUSHALL may be typed at any time: no answer changes, and nobody is woken.",
        harm: "FLUSHALL ten times a second for a minute",
        ground: COUNTED,
        metrics: ASKED,
        least_s: 60,
        hurt: |stage| {
            let port = stage.redis()?.port();
            let flushes = Background::start(move |stop| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    // A Redis that is away is another drill's.
                    let _ = crate::drill::props::run("redis-cli", &["-p", &port.to_string(), "flushall"]);
                    std::thread::sleep(Duration::from_millis(100));
                }
            })?;
            stage.hold(flushes);
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "redis-full",
        failure: "redis-refusing",
        hypothesis: "A Redis without memory and without eviction says no to every write: nothing fails, and somebody is told what it says.",
        harm: "maxmemory 1, maxmemory-policy noeviction",
        ground: COUNTED,
        alerts: &["KnurlRedisRefusing"],
        allowed: &["KnurlRedisDown", "KnurlDependencyFlapping"],
        metrics: ASKED,
        hurt: |stage| {
            let redis = stage.redis()?;
            redis.command(&["config", "set", "maxmemory-policy", "noeviction"])?;
            redis.command(&["config", "set", "maxmemory", "1"])?;
            Ok(())
        },
        heal: |stage| {
            stage.redis()?.command(&["config", "set", "maxmemory", "0"])?;
            Ok(())
        },
        ..Drill::BARE
    },
];
