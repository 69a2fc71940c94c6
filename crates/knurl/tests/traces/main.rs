//! Traces, at a real collector: what arrives there, and what a node does when nobody takes them.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod arriving;
mod missing;
#[path = "../wire/mod.rs"]
mod wire;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use knurl::config::{Config, OtlpEndpoint, OtlpProtocol};
use knurl_lab::servers::{Collector, Received};
use wire::{Answer, LONG, Server};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Everything is traced, and nothing else is a reason to.
fn to(addr: SocketAddr, protocol: OtlpProtocol, config: &mut Config) {
    config.telemetry.endpoint = OtlpEndpoint::parse(&format!("http://{addr}"), protocol);
    config.telemetry.sample_one_in = 1;
    config.telemetry.slow = Duration::ZERO;
    config.http.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
}

/// A request with these headers, each ended.
fn ask(server: &Server, request_line: &str, headers: &str) -> Answer {
    server.ask(&format!("{request_line} HTTP/1.1\r\nhost: t\r\n{headers}\r\n"))
}

fn traceparent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{PARENT}-{flags}\r\n")
}

/// The spans, once there is one that `is_wanted`.
fn when(collector: &Collector, is_wanted: impl Fn(&Received) -> bool) -> Vec<Received> {
    let begun = Instant::now();
    loop {
        let spans = collector.spans();
        if spans.iter().any(&is_wanted) {
            return spans;
        }
        assert!(begun.elapsed() < LONG, "it has not come: {spans:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn named<'a>(spans: &'a [Received], name: &str) -> &'a Received {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span is called {name}: {spans:#?}"))
}
