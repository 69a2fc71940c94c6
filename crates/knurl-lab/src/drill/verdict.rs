//! The verdict: what came of a drill.
//!
//! Promised: it passes only where nothing was found; what was not run says so and does not pass. It names no path of the machine it was run
//! on, so that it can be recorded.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::alarm::Times;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    Pass,
    Fail,
    /// It cannot be run on this machine; a finding says why.
    NotRun,
}

/// Load and latency of one phase. Latencies are figures, never judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    pub seconds: f64,
    pub redirects: u64,
    pub redirects_a_second: f64,
    pub redirect_p50_ms: f64,
    pub redirect_p99_ms: f64,
    pub redirects_failed: u64,
    pub creates: u64,
    pub create_p99_ms: f64,
    /// 503 with Retry-After.
    pub creates_refused: u64,
    /// Of these, `outcome_unknown`: the database did not answer in time, and nobody says whether it was done.
    #[serde(default)]
    pub creates_unsure: u64,
    pub refusal_p99_ms: f64,
    pub creates_failed: u64,
}

/// What clients were told against what the product shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    pub links: u64,
    pub links_lost: u64,
    pub clicks: u64,
    pub clicks_lost: u64,
    pub clicks_double: u64,
    /// Clicks that were sent and not answered: each may count.
    pub clicks_unanswered: u64,
    /// Requests that nginx handed to a second node after a first one may have had them: each may count once more.
    #[serde(default)]
    pub sent_twice: u64,
    /// Clicks that the product itself says it dropped or could not read.
    pub clicks_counted_as_lost: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Alert {
    pub name: String,
    /// Seconds after the harm.
    pub pending_after_s: Option<f64>,
    pub firing_after_s: Option<f64>,
    /// Seconds after healing began.
    pub cleared_after_s: Option<f64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Look {
    pub metric: String,
    pub before: Option<f64>,
    pub during: Option<f64>,
    pub after: Option<f64>,
}

/// One second of the load, for plots.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tick {
    pub redirects: u32,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub creates: u32,
    pub refused: u32,
    pub failed: u32,
}

/// When what began, in seconds of the load.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Moments {
    pub began_s: f64,
    pub hurt_s: f64,
    pub heal_s: f64,
    pub healed_s: f64,
    pub end_s: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    pub drill: String,
    pub outcome: Outcome,
    pub failure: String,
    pub hypothesis: String,
    pub harm: String,
    /// `2026-11-26`.
    pub date: String,
    pub version: String,
    pub seed: u64,
    pub seconds: u64,
    pub phases: BTreeMap<String, Phase>,
    pub ledger: Difference,
    pub alerts: Vec<Alert>,
    /// Beside those that were expected, and may have.
    pub other_alerts: Vec<Alert>,
    pub looks: Vec<Look>,
    pub notes: BTreeMap<String, Value>,
    pub findings: Vec<String>,
    /// Of what failed while failures were allowed, some.
    pub samples: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Tick>,
    #[serde(default)]
    pub moments: Moments,
}

pub const PHASES: [&str; 4] = ["before", "during", "healing", "after"];

impl Verdict {
    pub fn passed(&self) -> bool {
        self.outcome == Outcome::Pass
    }

    /// As it is recorded: without the seconds, which are for plots.
    #[must_use]
    pub fn brief(&self) -> Self {
        Self { series: Vec::new(), samples: Vec::new(), ..self.clone() }
    }
}

impl Alert {
    pub(super) fn of(name: &str, times: Times, hurt_s: f64, heal_s: f64) -> Self {
        let after = |at: Option<f64>, since: f64| at.map(|at| tenths(at - since));
        Self {
            name: name.to_owned(),
            pending_after_s: after(times.pending_at, hurt_s),
            firing_after_s: after(times.firing_at, hurt_s),
            cleared_after_s: after(times.cleared_at, heal_s),
        }
    }
}

pub(super) fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let say = |at: Option<f64>, what: &str| at.map(|at| format!("{what} after {at} s"));
        let said = [
            say(self.firing_after_s, "fired").or_else(|| say(self.pending_after_s, "pending")),
            say(self.cleared_after_s, "cleared"),
        ];
        let said: Vec<String> = said.into_iter().flatten().collect();
        let said = if said.is_empty() { "never seen".to_owned() } else { said.join(", ") };
        write!(f, "{} {said}", self.name)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Pass => "PASS",
            Outcome::Fail => "FAIL",
            Outcome::NotRun => "NOT RUN",
        };
        writeln!(f, "{outcome} {} ({} s, seed {})", self.drill, self.seconds, self.seed)?;
        for (name, phase) in PHASES.iter().filter_map(|name| Some((name, self.phases.get(*name)?))) {
            let creates = format!("{} created, {} refused", phase.creates, phase.creates_refused);
            let failed = phase.redirects_failed + phase.creates_failed;
            writeln!(
                f,
                "  {name:<8} {:>6.0} redirects/s, p50 {} ms, p99 {} ms; {creates}; {failed} failed",
                phase.redirects_a_second, phase.redirect_p50_ms, phase.redirect_p99_ms
            )?;
        }
        let books = &self.ledger;
        writeln!(
            f,
            "  ledger   {} links, {} lost; {} clicks, {} lost, {} double",
            books.links, books.links_lost, books.clicks, books.clicks_lost, books.clicks_double
        )?;
        for alert in &self.alerts {
            writeln!(f, "  alert    {alert}")?;
        }
        for alert in &self.other_alerts {
            writeln!(f, "  besides  {alert}")?;
        }
        for (name, value) in &self.notes {
            writeln!(f, "  note     {}: {value}", name.replace('_', " "))?;
        }
        self.findings.iter().try_for_each(|finding| writeln!(f, "  finding: {finding}"))?;
        if self.outcome == Outcome::Fail {
            self.samples.iter().try_for_each(|sample| writeln!(f, "  seen: {sample}"))?;
        }
        Ok(())
    }
}
