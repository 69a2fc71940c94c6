//! The bench: what the performance page says, measured.
//!
//! Promised: what is compared runs abreast ([`abreast`]): both on one core at the same time, everything else on another where there are two;
//! figures are medians over rounds. PostgreSQL, Redis and nginx are real ones. Everything stays on loopback and ends by itself. Refused: a
//! verdict; a benchmark prints, a person judges.

mod abreast;
mod codes;
mod create;
mod drain;
mod import;
mod machine;
mod moving;
mod nginx;
mod nodes;
mod queries;
mod redirect;
mod scale;
mod stand;
mod sync;
mod tiers;
mod wrk;

use std::{cell::OnceCell, io, path::PathBuf};

use clap::{Args, ValueEnum};

use self::stand::Stand;
use crate::{
    fleet::FleetError,
    process::{self, Launch, ProcessError},
    servers::ServerError,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// A redirect against nginx `return 302`, and what recording the click costs
    Redirect,
    /// A redirect from memory, replica, Redis and database, each against nginx `return 302`
    Tiers,
    /// What a million redirects ask of PostgreSQL and Redis
    Queries,
    /// A replica's first copy
    Sync,
    /// Single durable creates, and bulk ones, on SQLite and PostgreSQL
    Create,
    /// Clicks from the spool into SQLite and PostgreSQL
    Drain,
    /// One, two and three nodes behind nginx
    Nodes,
    /// `knurl move`, SQLite to PostgreSQL
    Move,
    /// `knurl import`
    Import,
    /// A redirect with 10 thousand, 1 million and 10 million links
    Scale,
}

impl Part {
    fn measure(self, rig: &Rig) -> Result<String, BenchError> {
        match self {
            Self::Redirect => redirect::measure(rig),
            Self::Tiers => tiers::measure(rig),
            Self::Queries => queries::measure(rig),
            Self::Sync => sync::measure(rig),
            Self::Create => create::measure(rig),
            Self::Drain => drain::measure(rig),
            Self::Nodes => nodes::measure(rig),
            Self::Move => moving::measure(rig),
            Self::Import => import::measure(rig),
            Self::Scale => scale::measure(rig),
        }
    }
}

/// Takes some half an hour on two cores, most of it the ten million links of the scale part; with --quick some six minutes.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// The binary, a release build [default: KNURL_BIN, or knurl beside this program]
    #[arg(long)]
    pub knurl: Option<PathBuf>,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Part>,
    /// The medians are over these
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=20))]
    pub rounds: u64,
    /// Of each round
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=10))]
    pub seconds: u64,
    /// Where two servers are compared each has half of them
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(2..=256))]
    pub connections: u64,
    /// Link counts of the scale part, ascending; the parts on PostgreSQL have the largest of them, at most a million
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 1_000_000, 10_000_000])]
    pub links: Vec<u64>,
    /// Populated data directories are kept here between runs [default: made anew each time]
    #[arg(long)]
    pub populated: Option<PathBuf>,
    /// One-second rounds, three of them, at most a hundred thousand links
    #[arg(long)]
    pub quick: bool,
    /// An option of every server that is measured, to see what it does: KNURL_CLICKS_DRAIN_BATCH_ROWS=500
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
    /// Also write the page here
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// The page's command line, where this was started by a script
    #[arg(long, default_value = "make bench")]
    pub command: String,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Sample(#[from] crate::sample::SampleError),
    #[error(transparent)]
    Load(#[from] crate::load::LoadError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error("{0}: {1}")]
    Run(&'static str, io::Error),
    #[error("{what} failed: {said}")]
    Failed { what: &'static str, said: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The server's core and everything else's, where there are two.
const SERVER_CORE: usize = 0;
const CLIENT_CORE: usize = 1;

/// Links of the parts on PostgreSQL.
const STAND_LINKS_MAX: u64 = 1_000_000;
const QUICK_LINKS_MAX: u64 = 100_000;
const QUICK_ROUNDS: u64 = 3;

/// What the parts need to know.
#[derive(Debug)]
struct Rig {
    binary: PathBuf,
    // Before the directory: dropped first.
    stand: OnceCell<Stand>,
    dir: tempfile::TempDir,
    populated: Option<PathBuf>,
    rounds: u64,
    seconds: u64,
    connections: u64,
    /// Ascending.
    links: Vec<u64>,
    set: Vec<(String, String)>,
    quick: bool,
    two_cores: bool,
}

impl Rig {
    fn new(args: &BenchArgs) -> Result<Self, BenchError> {
        let two_cores = machine::cores() >= 2;
        if two_cores {
            // Children inherit it; servers are pinned to theirs by taskset.
            machine::pin_to(CLIENT_CORE)?;
        }
        let at_most = if args.quick { QUICK_LINKS_MAX } else { u64::MAX };
        let mut links: Vec<u64> = args.links.iter().map(|&links| links.clamp(1, at_most)).collect();
        links.sort_unstable();
        links.dedup();
        Ok(Self {
            binary: args.knurl.clone().map_or_else(process::find_binary, Ok)?,
            stand: OnceCell::new(),
            dir: tempfile::Builder::new().prefix("knurl-bench-").tempdir()?,
            populated: args.populated.clone(),
            rounds: if args.quick { args.rounds.min(QUICK_ROUNDS) } else { args.rounds },
            seconds: if args.quick { 1 } else { args.seconds },
            connections: args.connections,
            links,
            set: args.set.clone(),
            quick: args.quick,
            two_cores,
        })
    }

    /// A server of its own, in a directory of its own, on the server's core.
    fn launch(&self, name: &str, env: &[(&str, &str)]) -> Result<Launch, BenchError> {
        let dir = self.dir.path().join(name);
        std::fs::create_dir_all(&dir)?;
        let own = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let env = own.chain(self.set.iter().cloned()).collect();
        Ok(Launch {
            binary: self.binary.clone(),
            dir,
            env,
            cores: self.two_cores.then(|| SERVER_CORE.to_string()),
            within: Vec::new(),
        })
    }

    /// As taskset writes them.
    fn both_cores(&self) -> Option<String> {
        self.two_cores.then(|| format!("{SERVER_CORE},{CLIENT_CORE}"))
    }

    /// A database that may use both cores.
    fn spread(&self, pid: Option<u32>) -> Result<(), BenchError> {
        self.move_to(&[SERVER_CORE, CLIENT_CORE], pid)
    }

    /// A database that leaves the servers' core to whatever is measured.
    fn to_clients(&self, pid: Option<u32>) -> Result<(), BenchError> {
        self.move_to(&[CLIENT_CORE], pid)
    }

    fn move_to(&self, cores: &[usize], pid: Option<u32>) -> Result<(), BenchError> {
        match pid {
            Some(pid) if self.two_cores => Ok(machine::move_to(cores, pid)?),
            _ => Ok(()),
        }
    }

    fn stand_links(&self) -> u64 {
        self.links.last().copied().unwrap_or(STAND_LINKS_MAX).min(STAND_LINKS_MAX)
    }

    /// Started by the first part that needs it.
    fn stand(&self) -> Result<&Stand, BenchError> {
        if let Some(stand) = self.stand.get() {
            return Ok(stand);
        }
        let stand = Stand::start(self, self.stand_links())?;
        Ok(self.stand.get_or_init(|| stand))
    }

    /// For the page's head.
    fn runs(&self) -> String {
        let pinned = if self.two_cores {
            "what is measured on core 0, clients on core 1, where a table says nothing else"
        } else {
            "not pinned: one core"
        };
        let Self { rounds, seconds, connections, .. } = self;
        format!(
            "{rounds} rounds of {seconds} s, {connections} keep-alive connections, half of them to each of two that are compared, loopback, {pinned}"
        )
    }
}

/// The middle one; the lower of the two middle ones where there are two.
fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

fn spread(of: &[f64]) -> String {
    let low = of.iter().copied().fold(f64::INFINITY, f64::min);
    let high = of.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{low:.2} to {high:.2}")
}

/// `12 345`.
fn grouped(n: f64) -> String {
    let digits = format!("{n:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

pub fn run(args: &BenchArgs) -> Result<(), BenchError> {
    let rig = Rig::new(args)?;
    let wanted = |part: Part| args.only.is_empty() || args.only.contains(&part);
    let mut page = machine::page_head(&args.command, &rig.runs());
    for part in Part::value_variants().iter().copied().filter(|part| wanted(*part)) {
        let section = part.measure(&rig)?;
        eprintln!("{section}");
        page.push_str(&section);
    }
    println!("{page}");
    if let Some(out) = &args.out {
        std::fs::write(out, &page)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 1.0);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_setting_has_a_name_and_a_value() {
        assert_eq!(setting("KNURL_A=b=c"), Ok(("KNURL_A".to_owned(), "b=c".to_owned())));
        assert!(setting("KNURL_A").is_err());
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([grouped(1.0), grouped(1_000.0), grouped(12_345_678.4)], ["1", "1 000", "12 345 678"]);
    }
}
