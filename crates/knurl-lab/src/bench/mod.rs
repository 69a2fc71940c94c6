//! The bench: what the performance page says, measured.
//!
//! Promised: figures come in pairs taken in turn (so that a machine that slows down slows both), medians over the pairs, the server on
//! one core and everything else on another where there are two. Everything stays on loopback and ends by itself. Refused: a verdict; a
//! benchmark prints, a person judges.

mod create;
mod import;
mod machine;
mod nginx;
mod redirect;
mod scale;
mod wrk;

use std::{io, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use crate::process::{self, Launch, ProcessError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// A redirect against nginx `return 302`, and what recording the click costs
    Redirect,
    /// Single durable creates, and bulk ones
    Create,
    /// `knurl import`
    Import,
    /// A redirect with 10 thousand, 1 million and 10 million links
    Scale,
}

#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// The binary, a release build [default: KNURL_BIN, or knurl beside this program]
    #[arg(long)]
    pub knurl: Option<PathBuf>,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Part>,
    /// Interleaved pairs; the medians are over these
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=99))]
    pub pairs: u64,
    /// Of each run
    #[arg(long, default_value_t = 3)]
    pub seconds: u64,
    #[arg(long, default_value_t = 64)]
    pub connections: u64,
    /// Link counts of the scale part
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 1_000_000, 10_000_000])]
    pub links: Vec<u64>,
    /// Populated data directories are kept here between runs [default: made anew each time]
    #[arg(long)]
    pub populated: Option<PathBuf>,
    /// A minute instead of a quarter of an hour: one-second runs, three pairs, at most a million links
    #[arg(long)]
    pub quick: bool,
    /// Also write the page here
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// The page's command line, where this was started by a script
    #[arg(long, default_value = "make bench")]
    pub command: String,
}

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Sample(#[from] crate::sample::SampleError),
    #[error(transparent)]
    Load(#[from] crate::load::LoadError),
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

/// What the parts need to know.
#[derive(Debug)]
struct Rig {
    binary: PathBuf,
    dir: tempfile::TempDir,
    populated: Option<PathBuf>,
    pairs: u64,
    seconds: u64,
    connections: u64,
    links: Vec<u64>,
    two_cores: bool,
}

impl Rig {
    fn new(args: &BenchArgs) -> Result<Self, BenchError> {
        let two_cores = machine::cores() >= 2;
        if two_cores {
            // Children inherit it; servers are pinned to theirs by taskset.
            machine::pin_to(CLIENT_CORE)?;
        }
        let at_most = if args.quick { 1_000_000 } else { u64::MAX };
        Ok(Self {
            binary: args.knurl.clone().map_or_else(process::find_binary, Ok)?,
            dir: tempfile::Builder::new().prefix("knurl-bench-").tempdir()?,
            populated: args.populated.clone(),
            pairs: if args.quick { args.pairs.min(3) } else { args.pairs },
            seconds: if args.quick { 1 } else { args.seconds },
            connections: args.connections,
            links: args.links.iter().copied().filter(|&links| links <= at_most).collect(),
            two_cores,
        })
    }

    /// A server of its own, in a directory of its own, on the server's core.
    fn launch(&self, name: &str, env: &[(&str, &str)]) -> Result<Launch, BenchError> {
        let dir = self.dir.path().join(name);
        std::fs::create_dir_all(&dir)?;
        let env = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Ok(Launch { binary: self.binary.clone(), dir, env, cores: self.two_cores.then(|| SERVER_CORE.to_string()) })
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
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
    let mut page = machine::page_head(&args.command, rig.pairs, rig.seconds, rig.connections, rig.two_cores);
    let mut add = |section: String| {
        eprintln!("{section}");
        page.push_str(&section);
    };
    if wanted(Part::Redirect) {
        add(redirect::measure(&rig)?);
    }
    if wanted(Part::Create) {
        add(create::measure(&rig)?);
    }
    if wanted(Part::Import) {
        add(import::measure(&rig)?);
    }
    if wanted(Part::Scale) {
        add(scale::measure(&rig)?);
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
    fn thousands_are_set_apart() {
        assert_eq!([grouped(1.0), grouped(1_000.0), grouped(12_345_678.4)], ["1", "1 000", "12 345 678"]);
    }
}
