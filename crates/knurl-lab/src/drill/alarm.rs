//! The alarm: a real Prometheus with the rules of `deploy/prometheus/rules/`, scraping the nodes of a stand, and when which alert fired.
//!
//! Promised: an alert's times are those at which somebody who looks every second sees them. Refused: alerts that are not Knurl's own, and
//! any change to the rules: a drill waits as long as a person would.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    Stage,
    sign::{self, Sign},
    stage::wait,
};
use crate::{
    fleet::FleetError,
    servers::{Alertmanager, Prometheus, PrometheusSetup, Target},
};

/// The rules that production has.
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/prometheus/rules");
/// As in production: faster ones would see what nobody sees there.
pub const SCRAPE_EVERY: Duration = Duration::from_secs(5);
const WATCHING_WITHIN: Duration = Duration::from_secs(60);
const JOB: &str = "knurl";
/// Fires always, on purpose: of no drill, and nobody waits for it to end.
pub const ALWAYS: [&str; 1] = ["KnurlWatchdog"];

/// What became of one alert, in seconds since the load began. An alert of several nodes is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    pub pending_at: Option<f64>,
    pub firing_at: Option<f64>,
    /// The last time at which it fired no more.
    pub cleared_at: Option<f64>,
}

#[derive(Debug)]
pub struct Alarm {
    prometheus: Prometheus,
    seen: BTreeMap<String, Times>,
}

pub fn rules_dir() -> PathBuf {
    PathBuf::from(RULES)
}

impl Alarm {
    /// It listens on this port, or on any free one.
    pub fn start(stage: &Stage, rules: &Path, sign: &Sign, port: Option<u16>) -> Result<Self, FleetError> {
        let nodes = &stage.stand.nodes;
        let nodes_of_it = nodes.iter().map(|node| Target::of(JOB, node.metrics_addr()));
        let beside = stage.targets.iter().cloned().chain([Target::of(sign::JOB, sign.addr())]);
        let setup = PrometheusSetup {
            rules: vec![rules.canonicalize()?.join("*.yml")],
            targets: nodes_of_it.chain(beside).collect(),
            alertmanager: stage.alertmanager.as_ref().map(Alertmanager::addr),
            scrape_every: SCRAPE_EVERY,
            evaluate_every: SCRAPE_EVERY,
            port,
        };
        let alarm = Self { prometheus: Prometheus::start(&setup)?, seen: BTreeMap::new() };
        wait("Prometheus has scraped every node twice", WATCHING_WITHIN, || {
            let twice = alarm.prometheus.query(&format!("count_over_time(up{{job=\"{JOB}\"}}[5m]) >= 2 and up == 1"))?;
            Ok(twice.len() >= nodes.len())
        })?;
        Ok(alarm)
    }

    /// Where a person finds its Prometheus while the drill lasts.
    pub fn addr(&self) -> SocketAddr {
        self.prometheus.addr()
    }

    /// What fires at this time of the scene.
    pub fn look(&mut self, now_s: f64) -> Result<Vec<String>, FleetError> {
        let mut firing = Vec::new();
        for alert in self.prometheus.alerts()?.into_iter().filter(|alert| !ALWAYS.contains(&alert.name.as_str())) {
            let times = self.seen.entry(alert.name.clone()).or_default();
            times.pending_at.get_or_insert(now_s);
            if alert.firing {
                times.firing_at.get_or_insert(now_s);
                times.cleared_at = None;
                firing.push(alert.name);
            }
        }
        for (name, times) in &mut self.seen {
            if times.firing_at.is_some() && !firing.contains(name) {
                times.cleared_at.get_or_insert(now_s);
            }
        }
        firing.sort();
        firing.dedup();
        Ok(firing)
    }

    pub fn of(&self, name: &str) -> Times {
        self.seen.get(name).copied().unwrap_or_default()
    }

    /// Every alert that has fired.
    pub fn fired(&self) -> impl Iterator<Item = (&String, Times)> {
        self.seen.iter().filter(|(_, times)| times.firing_at.is_some()).map(|(name, times)| (name, *times))
    }
}
