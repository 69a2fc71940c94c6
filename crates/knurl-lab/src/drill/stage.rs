//! The stage: what a drill's functions may touch, and how all of it is made whole again.
//!
//! Promised: [`Stage::heal`] may be called at any time and any number of times; afterwards no prop of the drill is left, every way is whole,
//! servers run and nodes serve, as far as they can. Dropped, everything of it is ended.

use std::{
    fmt,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use super::interrupt;
use crate::{
    fleet::{FleetError, Node},
    promise::{books::Ledger, stand::Stand},
    servers::{Alertmanager, Collector, Exporter, Nginx, Patroni, Postgres, Redis, Target},
};

/// What hurts for as long as it is there.
pub trait Prop: fmt::Debug + Send {}
impl<T: fmt::Debug + Send> Prop for T {}

#[derive(Debug)]
pub struct Stage {
    pub stand: Stand,
    pub front: Option<Nginx>,
    pub seed: u64,
    /// What clients beside the load were told.
    pub ledger: Ledger,
    pub ticks: u64,
    /// When a drill's harm was done, where it counts from then.
    pub hurt_at: Option<Instant>,
    /// A drill's own figures, and what it did not like.
    pub notes: Vec<(String, Value)>,
    pub findings: Vec<String>,
    /// Directories and files that a drill's later functions need.
    pub paths: Vec<PathBuf>,
    /// Nodes that are to stay as they are when all heals.
    pub gone: Vec<usize>,
    /// A PostgreSQL beside the stand's.
    pub second: Option<Postgres>,
    /// Of traces, where nodes send them.
    pub collector: Option<Collector>,
    /// What watches beside the nodes, and what the alarm scrapes of it; whom it tells, and who takes the letters.
    pub exporter: Option<Exporter>,
    pub targets: Vec<Target>,
    pub alertmanager: Option<Alertmanager>,
    pub mailbox: Option<Nginx>,
    props: Vec<Box<dyn Prop>>,
}

impl Stage {
    pub(super) fn new(stand: Stand, front: Option<Nginx>, seed: u64) -> Self {
        Self {
            stand,
            front,
            seed,
            ledger: Ledger::default(),
            ticks: 0,
            hurt_at: None,
            notes: Vec::new(),
            findings: Vec::new(),
            paths: Vec::new(),
            gone: Vec::new(),
            second: None,
            collector: None,
            exporter: None,
            targets: Vec::new(),
            alertmanager: None,
            mailbox: None,
            props: Vec::new(),
        }
    }

    /// Until it heals.
    pub fn hold(&mut self, prop: impl Prop + 'static) {
        self.props.push(Box::new(prop));
    }

    pub fn let_go(&mut self) {
        while self.props.pop().is_some() {}
    }

    pub fn note(&mut self, name: &str, figure: impl Into<Value>) {
        self.notes.push((name.to_owned(), figure.into()));
    }

    pub fn find(&mut self, finding: impl Into<String>) {
        self.findings.push(finding.into());
    }

    pub fn node(&mut self, at: usize) -> &mut Node {
        &mut self.stand.nodes[at]
    }

    pub fn postgres(&mut self) -> Result<&mut Postgres, FleetError> {
        self.stand.postgres.as_mut().ok_or_else(|| broken("this stand has no PostgreSQL"))
    }

    pub fn patroni(&mut self) -> Result<&mut Patroni, FleetError> {
        self.stand.patroni.as_mut().ok_or_else(|| broken("this stand has no Patroni"))
    }

    pub fn redis(&mut self) -> Result<&mut Redis, FleetError> {
        self.stand.redis.as_mut().ok_or_else(|| broken("this stand has no Redis"))
    }

    /// The process of a node that runs.
    pub fn pid(&mut self, at: usize) -> Result<u32, FleetError> {
        self.node(at).pid().ok_or_else(|| broken("the node does not run"))
    }

    pub fn signal(&mut self, at: usize, signal: Signal) -> Result<(), FleetError> {
        Ok(self.node(at).signal(signal)?)
    }

    /// What a supervisor does: a node that has ended is started again. Docker does so by itself; then this waits for it.
    pub fn supervise(&mut self) -> Result<(), FleetError> {
        for node in &mut self.stand.nodes {
            if !node.is_running() {
                node.start()?;
            }
        }
        Ok(())
    }

    /// Undoes whatever was done.
    pub fn heal(&mut self) -> Result<(), FleetError> {
        self.let_go();
        if let Some(postgres) = &mut self.stand.postgres {
            postgres.resume();
            if postgres.pid().is_none() {
                postgres.start_again()?;
            }
        }
        if let Some(patroni) = &mut self.stand.patroni {
            patroni.heal()?;
        }
        if let Some(redis) = &mut self.stand.redis {
            redis.resume();
            if redis.pid().is_none() {
                redis.start_again()?;
            }
        }
        for nginx in self.front.iter_mut().chain(&mut self.mailbox) {
            if nginx.pid().is_none() {
                nginx.start_again()?;
            }
        }
        if let Some(exporter) = self.exporter.as_mut().filter(|exporter| exporter.pid().is_none()) {
            exporter.start_again()?;
        }
        self.stand.heal()?;
        for at in 0..self.stand.nodes.len() {
            if self.gone.contains(&at) {
                continue;
            }
            self.signal(at, Signal::CONT)?;
            if !self.node(at).is_running() {
                self.node(at).start()?;
            }
        }
        Ok(())
    }
}

pub fn broken(words: &str) -> FleetError {
    FleetError::Io(std::io::Error::other(words.to_owned()))
}

/// Waits until it is so; an error when it does not come true, or somebody interrupts.
pub fn wait(what: &str, within: Duration, mut is_so: impl FnMut() -> Result<bool, FleetError>) -> Result<Duration, FleetError> {
    let began = Instant::now();
    while !is_so()? {
        interrupt::check()?;
        if began.elapsed() > within {
            return Err(broken(&format!("not within {within:?}: {what}")));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(began.elapsed())
}
