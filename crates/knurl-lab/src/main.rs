//! `knurl-lab`: its commands. Exit codes: 0 all well, 1 something was found or failed, 2 usage.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Parser, Subcommand};
use knurl_lab::{
    bench::{self, BenchArgs},
    drill::command::{self as drills, DrillCommand},
    fleet::command::{self, FleetArgs},
    kill::{self, DurabilityChoice, KillSpec},
    load::{self, LoadArgs},
    process,
    promise::Promise,
    proxy::{Api, Proxies},
    sample::{self, SampleSpec},
};

#[derive(Debug, Parser)]
#[command(name = "knurl-lab", version, about = "Load, kills, ledgers and sample data for Knurl")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write users.csv, urls.csv and events.csv from a seed
    Sample {
        #[arg(long, default_value_t = 400)]
        users: u64,
        #[arg(long, default_value_t = 2000)]
        links: u64,
        #[arg(long, default_value_t = 3400)]
        events: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// With what real exports hold: duplicate people, links older than their owners, deleted links that are active
        #[arg(long)]
        odd: bool,
        #[arg(long)]
        out: PathBuf,
    },
    /// Kill the server again and again and compare what its clients know with what it shows
    Kill {
        #[arg(long, default_value_t = 200)]
        kills: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=256))]
        workers: u64,
        /// The binary [default: KNURL_BIN, or knurl beside this program]
        #[arg(long)]
        knurl: Option<PathBuf>,
        #[arg(long, value_enum, default_value = "both")]
        durability: DurabilityChoice,
        /// Also let it kill itself at fail points (all known ones, or those named)
        #[arg(long, num_args = 0.., value_delimiter = ',', default_missing_value = "all")]
        failpoints: Vec<String>,
        #[arg(long)]
        json: bool,
    },
    /// Try to break a promise; the exit code says whether it held
    #[command(subcommand)]
    Promise(Promise),
    /// Chaos Mode: make a failure on purpose, and see what becomes of it
    #[command(subcommand)]
    Drill(DrillCommand),
    /// PostgreSQL, Redis, nginx and nodes on this machine, to play with, until Ctrl-C
    Fleet(FleetArgs),
    /// Closed-loop load on a running server
    Load(LoadArgs),
    /// Measure, and print the performance page
    Bench(BenchArgs),
    /// TCP proxies whose connections go bad on demand, with Toxiproxy's API
    Proxy {
        #[arg(long, default_value = "127.0.0.1:8474")]
        listen: SocketAddr,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("knurl-lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match command {
        Command::Sample { users, links, events, seed, odd, out } => {
            sample::write(&SampleSpec { users, links, events, seed, odd }, &out)?;
            println!("{}: {users} users, {links} links, {events} events (seed {seed})", out.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Kill { kills, seed, workers, knurl, durability, failpoints, json } => {
            let binary = knurl.map_or_else(process::find_binary, Ok)?;
            let failpoints = kill::failpoints_named(&failpoints, &binary)?;
            let report = kill::run(&KillSpec { kills, seed, workers, binary, durability, failpoints, lose: None, talk: !json })?;
            if json {
                println!("{}", serde_json::to_string(&report)?);
            } else {
                println!("{report}");
            }
            Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Promise(promise) => {
            let report = promise.run()?;
            if promise.wants_json() {
                println!("{}", serde_json::to_string(&report)?);
            } else {
                print!("{report}");
            }
            Ok(if report.held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Drill(command) => drills::run(&command),
        Command::Fleet(args) => {
            command::run(&args)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Load(args) => {
            println!("{}", load::run(&args)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Bench(args) => {
            bench::run(&args)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Proxy { listen, seed } => {
            let api = Api::start(listen, Arc::new(Proxies::new(seed)))?;
            println!("{}", serde_json::json!({ "event": "ready", "listen": api.addr(), "seed": seed }));
            api.wait();
            Ok(ExitCode::SUCCESS)
        }
    }
}
