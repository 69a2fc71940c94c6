//! The script against the arithmetic it repeats.

use knurl::redis::Redis;
use knurl_core::rate::{Mark, Quota};
use knurl_lab::servers::Redis as Server;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::node;

const CASES: u32 = 60;

#[test]
fn the_script_gives_the_verdicts_of_the_arithmetic_at_the_time_it_says() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = Server::start().unwrap();
    let (redis, _) = runtime.block_on(node(&server.url()));
    // (requests a minute, burst) and then: a request, or somebody's hand on the mark.
    let step = prop_oneof![8 => Just(None), 1 => any::<u64>().prop_map(Some)];
    let quotas = (prop_oneof![1_u32..100, 100_u32..=Quota::PER_MINUTE_MAX], 1_u32..=3_600);
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let subject = std::cell::Cell::new(0_u64);
    let law = |((per_minute, burst_s), steps): ((u32, u32), Vec<Option<u64>>)| {
        subject.set(subject.get() + 1);
        runtime.block_on(one(&server, &redis, subject.get(), Quota::new(per_minute, burst_s).unwrap(), &steps))
    };
    runner.run(&(quotas, prop::collection::vec(step, 1..30)), law).unwrap();
}

async fn one(server: &Server, redis: &Redis, subject: u64, quota: Quota, steps: &[Option<u64>]) -> Result<(), TestCaseError> {
    let limits = redis.limits();
    let key = format!("test:limit:misses:{subject:016x}");
    let mut mark = Mark::default();
    for step in steps {
        if let Some(dice) = step {
            // Anywhere from long past to far ahead, a clock that was set back included.
            let now_us = limits.take(("clock", 0), &Quota::new(1_000_000, 3_600).unwrap()).await.unwrap().now_us;
            mark = Mark(now_us - 1_000_000 + dice % (3 * quota.depth_us() + 2_000_000));
            server.command(&["set", &key, &mark.0.to_string(), "px", "10000000"]).unwrap();
        }
        let counted = limits.take(("misses", subject), &quota).await.unwrap();
        let (next, verdict) = quota.take(mark, counted.now_us);
        prop_assert_eq!(counted.verdict, verdict);
        mark = next;
        // A bucket that is full again by now has no mark any more.
        let kept = server.command(&["get", &key]).unwrap();
        prop_assert!(kept.is_empty() || kept == mark.0.to_string(), "{} is kept, {} meant", kept, mark.0);
        // And its key lives no longer; one that was refused is left as the hand made it.
        let left_ms: i64 = server.command(&["pttl", &key]).unwrap().parse().unwrap();
        prop_assert!(!verdict.allowed || left_ms <= (mark.0 - counted.now_us).div_ceil(1_000).max(1) as i64);
    }
    Ok(())
}
