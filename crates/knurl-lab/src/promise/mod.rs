//! Promises, each with a harness that tries to break it on the real binary: `knurl-lab promise pN`.
//!
//! Promised: a run says whether the promise held ([`Report::held`], and the exit code), with its figures, its seed and the sentence of
//! every finding; the directories of a run with findings are kept. Judged are shapes (who is answered what, what is counted, that it ends).
//! A time or a speed that was promised stands beside what was seen, kept or not kept ([`Report::at_most`]), and is a finding only under
//! `--strict`: a machine that is busy with something else keeps none.
//!
//! # Layout
//! One file a promise. What they share: [`report`], [`client`] (a client that keeps its connection or does not), [`books`] (what clients know
//! against what the product shows), [`traffic`] (clients that keep such books), [`keyed`] (clients that send again), [`stand`] (nodes with a fault proxy on each of their ways),
//! [`crate::fleet`] (nodes behind nginx).

pub mod books;
pub mod client;
mod cold;
pub mod keyed;
pub mod ledger;
pub mod p10;
pub mod p14;
pub mod p22;
pub mod p23;
pub mod p3;
pub mod p4;
pub mod p5;
pub mod p8;
pub mod p9;
pub mod report;
pub mod stand;
pub mod traffic;

use std::path::PathBuf;

pub use report::Report;

use crate::{fleet::FleetError, process};

/// What every harness takes.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The binary [default: KNURL_BIN, or knurl beside this program]
    #[arg(long)]
    pub knurl: Option<PathBuf>,
    #[arg(long)]
    pub json: bool,
    /// A promised time or speed that was not kept is a finding: for a machine that does nothing else
    #[arg(long)]
    pub strict: bool,
}

impl Default for RunArgs {
    fn default() -> Self {
        Self { seed: 1, knurl: None, json: false, strict: false }
    }
}

impl RunArgs {
    pub fn binary(&self) -> Result<PathBuf, FleetError> {
        // Nodes run in directories of their own.
        Ok(self.knurl.clone().map_or_else(process::find_binary, Ok)?.canonicalize()?)
    }
}

/// Which promise.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Promise {
    /// PostgreSQL refuses, hangs, resets, is slow, loses replies to COMMIT: known links redirect, clicks are counted once
    P3(p3::P3Args),
    /// Redis is down, hangs, is slow, flaps, is flushed, is full: no request fails, limits go on; with --cold redirects need it
    P4(p4::P4Args),
    /// A change made on one node is seen on all, told or not
    P22(p22::P22Args),
    /// Creates under a key are sent again to other nodes while answers are lost and nodes are killed: each is done once
    P23(p23::P23Args),
    /// PostgreSQL and Redis away and the node started again: every link redirects
    P5(p5::P5Args),
    /// Nodes that deliver at once, are killed, lose replies to COMMIT, give their disks away: every click is counted once
    Ledger(ledger::LedgerArgs),
    /// The clock steps, by libfaketime: no id twice, nothing expires that lives
    P8(p8::P8Args),
    /// Rolling restarts of nodes behind nginx, under load: no request fails
    P9(p9::P9Args),
    /// Ten times the load: who cannot be served is told at once, and it ends with the load
    P10(p10::P10Args),
    /// Connections that stall: each is closed in time, and others are answered meanwhile
    P14(p14::P14Args),
}

impl Promise {
    pub fn run(&self) -> Result<Report, FleetError> {
        match self {
            Self::P3(args) => p3::run(args),
            Self::P4(args) => p4::run(args),
            Self::P22(args) => p22::run(args),
            Self::P23(args) => p23::run(args),
            Self::P5(args) => p5::run(args),
            Self::Ledger(args) => ledger::run(args),
            Self::P8(args) => p8::run(args),
            Self::P9(args) => p9::run(args),
            Self::P10(args) => p10::run(args),
            Self::P14(args) => p14::run(args),
        }
    }

    pub fn wants_json(&self) -> bool {
        match self {
            Self::P3(args) => args.run.json,
            Self::P4(args) => args.run.json,
            Self::P22(args) => args.run.json,
            Self::P23(args) => args.run.json,
            Self::P5(args) => args.run.json,
            Self::Ledger(args) => args.run.json,
            Self::P8(args) => args.run.json,
            Self::P9(args) => args.run.json,
            Self::P10(args) => args.run.json,
            Self::P14(args) => args.run.json,
        }
    }
}
