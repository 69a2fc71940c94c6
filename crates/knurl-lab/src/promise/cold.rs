//! P-4's cold nodes: without a replica, and with more links than memory holds, so that redirects come from Redis and, without it, from PostgreSQL.
//!
//! Before each fault every link is asked for once, so that Redis has them again: after an outage nodes set aside what it holds, and after
//! more changes than they tell one by one. Which tier answered is what the nodes themselves say.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use super::{
    books::Ledger,
    p5,
    stand::{Stand, StandSpec},
    traffic::Scene,
};
use crate::{
    fleet::FleetError,
    http::{Connection, Request},
};

/// The smallest memory there is.
const COLD: [(&str, &str); 2] = [("KNURL_REPLICA", "off"), ("KNURL_CACHE_BYTES_MAX", "1048576")];
/// For so long after its start, or many changes by others, a node believes nothing that Redis has.
const YOUNG: Duration = Duration::from_secs(11);
/// While nodes set aside nothing for so long, what is asked for now stays there.
const STILL: Duration = Duration::from_secs(1);
/// A machine on which Redis keeps missing its deadline never comes to rest; the figures say so.
const STILL_WITHIN: Duration = Duration::from_secs(20);
/// Connections to each node that ask for every link.
const WARMERS_A_NODE: u64 = 2;

pub(super) fn env(cold: bool) -> &'static [(&'static str, &'static str)] {
    if cold { &COLD } else { &[] }
}

/// The figure that says how much of a calm Redis answered.
pub(super) fn before(fault: &str) -> String {
    format!("{fault}_redis_percent_before")
}

/// With so many links, which were there before the nodes, and nodes that are no longer too [`YOUNG`].
pub(super) fn stand(spec: StandSpec, links: u64) -> Result<Stand, FleetError> {
    let mut stand = Stand::unfurnished(spec)?;
    // The schema comes with the first start.
    let mut node = stand.node(0, &Stand::place(0))?;
    node.stop()?;
    p5::furnish(&stand, links)?;
    node.start()?;
    stand.nodes.push(node);
    stand.furnish()?;
    thread::sleep(YOUNG);
    Ok(stand)
}

/// Clients know them.
pub(super) fn learn(scene: &Scene, links: u64, ledger: &mut Ledger) {
    for link in 1..=links {
        let (code, target) = (format!("c{link}"), p5::target(link));
        ledger.made(&code, &target);
        scene.learn(&code, &target);
    }
}

/// Each link is asked for by HEAD, which is no click, once the nodes trust Redis. Every time
/// (`round`) another node is asked for it, whose memory does not have it.
pub(super) fn warm(stand: &Stand, links: u64, round: u64) -> Result<(), FleetError> {
    let until = Instant::now() + STILL_WITHIN;
    while !trust(stand)? && Instant::now() < until {}
    let askers = WARMERS_A_NODE * stand.nodes.len() as u64;
    thread::scope(|scope| {
        let asking: Vec<_> = (0..askers)
            .map(|asker| {
                let addr = stand.nodes[((asker + round) % stand.nodes.len() as u64) as usize].addr();
                scope.spawn(move || ask_every(addr, (1 + asker..=links).step_by(askers as usize)))
            })
            .collect();
        let panicked = || Err(FleetError::Io(std::io::Error::other("a thread that asks for links panicked")));
        asking.into_iter().try_for_each(|asker| asker.join().unwrap_or_else(|_| panicked()))
    })
}

/// Whether every node asks Redis, and has set aside nothing for a moment.
fn trust(stand: &Stand) -> Result<bool, FleetError> {
    let set_aside = sum(stand, "knurl_redis_distrusted_total")?;
    thread::sleep(STILL);
    let connected = sum(stand, "knurl_redis_connected")? as usize;
    let doubted = sum(stand, "knurl_breaker_state{dependency=\"redis\"}")?;
    Ok(connected == stand.nodes.len() && doubted < 1.0 && sum(stand, "knurl_redis_distrusted_total")? <= set_aside)
}

fn sum(stand: &Stand, sample: &str) -> Result<f64, FleetError> {
    stand.nodes.iter().map(|node| node.metric(sample)).sum()
}

fn ask_every(addr: SocketAddr, links: impl Iterator<Item = u64>) -> Result<(), FleetError> {
    let mut connection = Connection::open(addr)?;
    for link in links {
        let path = format!("/c{link}");
        let answer = connection.ask(&Request::of("HEAD", &path, None))?;
        if answer.status != 302 || answer.header("location") != Some(&p5::target(link)) {
            let body = super::traffic::said(&answer);
            return Err(FleetError::Unexpected { asked: format!("HEAD {path}"), status: answer.status, body });
        }
    }
    Ok(())
}

/// Resolved by all nodes since they were started, by tier.
pub(super) struct Answered([f64; TIERS.len()]);

const TIERS: [&str; 3] = ["memory", "redis", "database"];
const REDIS: usize = 1;

impl Answered {
    pub(super) fn so_far(stand: &Stand) -> Result<Self, FleetError> {
        let mut answered = Self([0.0; TIERS.len()]);
        for (tier, resolved) in TIERS.iter().zip(&mut answered.0) {
            *resolved = sum(stand, &format!("knurl_resolves_total{{tier=\"{tier}\"}}"))?;
        }
        Ok(answered)
    }

    /// Of a hundred that were resolved since then, those that Redis knew.
    pub(super) fn redis_percent_since(&self, then: &Self) -> f64 {
        let since: Vec<f64> = self.0.iter().zip(&then.0).map(|(now, then)| now - then).collect();
        (1000.0 * since[REDIS] / since.iter().sum::<f64>().max(1.0)).round() / 10.0
    }
}
