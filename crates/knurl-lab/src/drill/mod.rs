//! Chaos Mode: `knurl-lab drill list | run`. Each drill is one failure, made on purpose, on the real binary and real servers.
//!
//! Promised: a drill says before it begins what it believes ([`Drill::hypothesis`]); it sees the steady state under load, hurts, watches, heals
//! and sees the steady state again; it ends with a [`Verdict`] that a machine can judge. Whatever it did is undone however it ends: what was
//! started, mounted or slowed down is a prop that is undone when it is dropped, children are on a leash, mounts are in a namespace of the
//! drill's own process. Refused: a system that is not ours. A drill builds its own stand, hurts that, and takes it away. Its nodes are
//! processes of ours, or containers ([`crate::fleet::Housing`]); a drill does not ask which, and says so where it is only for processes
//! ([`Drill::process_only`]).
//!
//! # Layout
//! - [`catalogue`]: the drills, by family; each is a value with a few functions
//! - [`runner`]: the one way in which they are run; [`stage`]: what a drill's functions may touch; [`props`]: what they hurt with
//! - [`network`]: a network of a drill's own, for what hurts packets
//! - [`alarm`]: a real Prometheus with the real rules, and when which alert fired; [`sign`]: what tells it of the drill itself
//! - [`verdict`], [`plot`], [`page`], [`record`], [`containers`]: what came of it, for machines and for people
//! - [`command`], [`interrupt`]: the command line

pub mod alarm;
pub mod catalogue;
pub mod command;
pub mod containers;
mod interrupt;
mod network;
pub mod page;
mod plot;
mod props;
pub mod record;
pub mod runner;
mod settle;
pub mod sign;
pub mod stage;
pub mod verdict;

use crate::{fleet::FleetError, servers::PostgresSetup};

pub use stage::Stage;
pub use verdict::Verdict;

/// What a drill does at one of its moments.
pub type Deed = fn(&mut Stage) -> Result<(), FleetError>;

/// One failure, made on purpose.
#[derive(Clone, Copy, Debug)]
pub struct Drill {
    /// `postgres-hung`.
    pub name: &'static str,
    /// The section of docs/failures.md that it rehearses.
    pub failure: &'static str,
    /// What we believe before we begin.
    pub hypothesis: &'static str,
    /// What is done, in words.
    pub harm: &'static str,
    pub ground: Ground,
    /// Each has to fire within [`runner::SEEN_WITHIN`] of the harm. None: nothing may fire at all.
    pub alerts: &'static [&'static str],
    /// Others that may fire beside them.
    pub allowed: &'static [&'static str],
    /// Where one looks: noted before, during and after. Whole families are summed up over all nodes.
    pub metrics: &'static [&'static str],
    /// Meanwhile.
    pub redirects: Served,
    pub creates: Served,
    pub books: Books,
    /// Whether its alerts clear soon after it has healed. Some stay for a while by design: then nobody waits.
    pub clears: bool,
    /// The harm lasts so long at least.
    pub least_s: u64,
    /// Of the short set.
    pub is_short: bool,
    /// Why it cannot be done to a node in a container; `None`: it can.
    pub process_only: Option<&'static str>,
    /// Before the load: what cannot be done under it.
    pub prepare: Deed,
    pub hurt: Deed,
    /// Every second while it hurts.
    pub tick: Deed,
    /// Beyond what [`Stage::heal`] undoes by itself.
    pub heal: Deed,
    /// When it is over and the load has ended: what else must be so.
    pub check: Deed,
}

/// What a drill stands on.
#[derive(Clone, Copy, Debug)]
pub struct Ground {
    pub nodes: usize,
    pub redis: bool,
    /// One node on its own SQLite.
    pub embedded: bool,
    /// Patroni's three PostgreSQLs in place of one.
    pub patroni: bool,
    /// nginx in front, which the load goes through.
    pub front: bool,
    /// The first node's directory is a file system of its own of so many megabytes.
    pub disk_mb: Option<u32>,
    /// It all stands in a network namespace of its own.
    pub own_network: bool,
    pub env: &'static [(&'static str, &'static str)],
    /// Of PostgreSQL.
    pub settings: &'static [&'static str],
    /// Nodes admit by key, and this is the admin's.
    pub admin_key: Option<&'static str>,
}

/// How requests of one kind are answered meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// Every one as if nothing were wrong.
    All,
    /// As it must be, or 503 with Retry-After; some of them the latter.
    Refused,
    /// As it must be, or 503 with Retry-After.
    AllOrRefused,
    /// 503 with Retry-After, but for some that fail with a node.
    RefusedOrFailed,
    /// Some fail, and how many is a figure. Not all.
    Some,
    /// Whatever comes.
    Any,
}

/// What the ledger may differ by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Books {
    /// Nothing.
    Exact,
    /// Clicks that the product itself counts as dropped, unreadable or lost: no more than those.
    Counted,
    /// Links and clicks after the last backup, which a person restored.
    SinceBackup,
}

fn nothing(_: &mut Stage) -> Result<(), FleetError> {
    Ok(())
}

impl Ground {
    pub const FLEET: Self = Self {
        nodes: 2,
        redis: true,
        embedded: false,
        patroni: false,
        front: false,
        disk_mb: None,
        own_network: false,
        env: &[],
        settings: &[],
        admin_key: None,
    };
    pub const FRONT: Self = Self { nodes: 3, redis: false, front: true, ..Self::FLEET };
    pub const EMBEDDED: Self = Self { nodes: 1, redis: false, embedded: true, ..Self::FLEET };
    pub const PATRONI: Self = Self { nodes: 3, redis: false, patroni: true, ..Self::FLEET };

    fn postgres(&self) -> PostgresSetup {
        PostgresSetup { fsync: false, settings: self.settings.iter().map(|setting| (*setting).to_owned()).collect() }
    }
}

impl Drill {
    /// Does nothing on a fleet, and nothing may be seen of it.
    pub const BARE: Self = Self {
        name: "",
        failure: "",
        hypothesis: "",
        harm: "",
        ground: Ground::FLEET,
        alerts: &[],
        allowed: &[],
        metrics: &[],
        redirects: Served::All,
        creates: Served::All,
        books: Books::Exact,
        clears: true,
        least_s: 10,
        is_short: false,
        process_only: None,
        prepare: nothing,
        hurt: nothing,
        tick: nothing,
        heal: nothing,
        check: nothing,
    };
}
