//! The kill harness: promise P-1, tried out.
//!
//! Starts the real binary, lets clients create, change, delete and click, kills it with SIGKILL (at a random instant, during its start,
//! or by itself at a named fail point), starts it again and compares what the clients know with what the product shows. Links touched in
//! a cycle are looked at right after it; at the end of an epoch (a fresh data directory every so many kills) every link is, and the
//! audit. Refused: to go on after a finding. The data directory is kept then.

pub mod check;
mod epoch;
pub mod ledger;
mod observe;
mod worker;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub use check::Finding;
use epoch::Epoch;

use crate::process::ProcessError;

/// Each data directory sees this many kills: enough to grow old, few enough to be looked at as a whole.
pub const EPOCH_KILLS: u64 = 50;

/// What `--durability` takes: `process`, `power`, or each in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DurabilityChoice {
    Process,
    Power,
    Both,
}

#[derive(Clone, Debug)]
pub struct KillSpec {
    pub kills: u64,
    pub seed: u64,
    pub workers: u64,
    pub binary: PathBuf,
    pub durability: DurabilityChoice,
    /// Names of fail points; empty: none. The binary must have the feature then.
    pub failpoints: Vec<String>,
    /// Removed from the data directory after every death under load: to show that the harness sees a loss.
    pub lose: Option<&'static str>,
    /// Progress on standard error.
    pub talk: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum KillError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Observe(#[from] observe::ObserveError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("a worker panicked")]
    Worker,
    #[error("{path} was compiled without fail points: build it with --features failpoints, or leave them out")]
    NoFailpoints { path: PathBuf },
}

/// What a run did and found.
#[derive(Debug, Default, serde::Serialize)]
pub struct KillReport {
    pub seed: u64,
    /// Kills at a random instant under load.
    pub kills_random: u64,
    /// Kills before the server was ready.
    pub kills_starting: u64,
    /// Kills by fail point.
    pub kills_at: BTreeMap<String, u64>,
    pub requests: u64,
    pub links: u64,
    pub clicks: u64,
    pub clicks_unknown: u64,
    /// The longest a start after a kill took.
    pub ready_ms_max: u64,
    pub ready_ms_mean: u64,
    pub seconds: u64,
    pub findings: Vec<String>,
    /// Where the data of a run with findings is.
    pub kept: Option<PathBuf>,
}

impl KillReport {
    pub fn kills(&self) -> u64 {
        self.kills_random + self.kills_starting + self.kills_at.values().sum::<u64>()
    }
}

impl fmt::Display for KillReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} kills in {} s (seed {}): {} under load, {} while starting, {} at fail points",
            self.kills(),
            self.seconds,
            self.seed,
            self.kills_random,
            self.kills_starting,
            self.kills_at.values().sum::<u64>()
        )?;
        for (name, kills) in &self.kills_at {
            writeln!(f, "  {name}: {kills}")?;
        }
        writeln!(
            f,
            "{} requests, {} links, {} clicks answered, {} in flight at a kill; ready again after {} ms on average, {} ms at most",
            self.requests, self.links, self.clicks, self.clicks_unknown, self.ready_ms_mean, self.ready_ms_max
        )?;
        if self.findings.is_empty() {
            return write!(f, "nothing lost, nothing counted twice");
        }
        writeln!(f, "{} findings:", self.findings.len())?;
        for finding in &self.findings {
            writeln!(f, "  {finding}")?;
        }
        write!(f, "the data: {}", self.kept.as_deref().unwrap_or(Path::new("-")).display())
    }
}

/// Every fail point of the product that the clients' requests reach.
pub const FAILPOINTS: &[&str] = &[
    "clicks::before_append",
    "drain::after_apply",
    "drain::after_release",
    "drain::before_apply",
    "spool::after_append",
    "spool::after_sync",
    "spool::before_sync",
    "spool::prepare",
    "spool::release",
    "spool::roll",
    "store::after_commit",
    "store::before_commit",
    MIGRATE,
];

/// Reached once in the life of a data directory: at its first start.
const MIGRATE: &str = "store::migrate";

/// What `--failpoints` means: none, all, or those named; refused where the binary has none.
pub fn failpoints_named(asked: &[String], binary: &Path) -> Result<Vec<String>, KillError> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    if !epoch::has_failpoints(binary)? {
        return Err(KillError::NoFailpoints { path: binary.to_owned() });
    }
    Ok(if asked == ["all"] { FAILPOINTS.iter().map(ToString::to_string).collect() } else { asked.to_vec() })
}

/// Runs until the kills are done or something is found.
pub fn run(spec: &KillSpec) -> Result<KillReport, KillError> {
    let began = Instant::now();
    let mut report = KillReport { seed: spec.seed, ..KillReport::default() };
    let mut starts = Vec::new();
    let mut number = 0;
    while report.kills() < spec.kills && report.findings.is_empty() {
        Epoch::begin(spec, number, &mut report)?.run(&mut report, &mut starts);
        number += 1;
        if spec.talk {
            eprintln!(
                "{} kills, {} links, {} clicks, {} s",
                report.kills(),
                report.links,
                report.clicks,
                began.elapsed().as_secs()
            );
        }
    }
    report.seconds = began.elapsed().as_secs();
    report.ready_ms_max = starts.iter().max().map_or(0, millis);
    report.ready_ms_mean = if starts.is_empty() { 0 } else { millis(&starts.iter().sum::<Duration>()) / starts.len() as u64 };
    Ok(report)
}

fn millis(duration: &Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
