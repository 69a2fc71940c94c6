//! Redis, by way of the product's own handle: real servers, real faults, and what must hold whatever they do.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod faults;
mod fleet;
mod hints;
mod interleaved;
mod limits;
mod links;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use knurl::{
    config::RedisConfig,
    redis::{CachedLink, Hint, Hints, Lease, Links, Looked, Redis},
    telemetry::Metrics,
};
use knurl_core::{LinkId, ShortCode, Target, link::RedirectStatus};
use knurl_store::replica::Facts;

/// The machine may be doing anything: the deadline is its default only where a test is about it.
fn config(url: &str) -> RedisConfig {
    RedisConfig {
        url: url.parse().unwrap(),
        timeout: Duration::from_secs(1),
        links_ttl: Duration::from_secs(600),
        prefix: "test".to_owned(),
    }
}

/// A node, connected and asked once.
async fn node(url: &str) -> (Redis, Arc<Metrics>) {
    node_with(config(url)).await
}

async fn node_with(config: RedisConfig) -> (Redis, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let redis = Redis::start(&config, Arc::clone(&metrics));
    until("it is connected", async || redis.is_connected()).await;
    (redis, metrics)
}

/// Waits for what must become true.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn code(text: &str) -> ShortCode {
    ShortCode::parse(text).unwrap()
}

/// A link whose target says which version it is.
fn link(version: i64) -> CachedLink {
    let target = Target::verbatim(&format!("https://example.org/{version}")).unwrap();
    let facts = Facts { target, is_active: true, status: RedirectStatus::Found302, owner: None, expires_at: None };
    CachedLink { id: LinkId(7), version, facts }
}

async fn lease(links: &Links, code: &ShortCode) -> Lease {
    match links.get("", code).await.unwrap() {
        Looked::Miss(Some(lease)) => lease,
        other => panic!("no lease but {other:?}"),
    }
}

async fn version(links: &Links, code: &ShortCode) -> Option<i64> {
    match links.get("", code).await.unwrap() {
        Looked::Hit(link) => Some(link.version),
        Looked::Miss(_) => None,
    }
}

async fn next(hints: &mut Hints) -> Hint {
    loop {
        if let Some(hint) = hints.take() {
            return hint;
        }
        tokio::time::timeout(Duration::from_secs(60), hints.arrived()).await.expect("no hint within a minute");
    }
}
