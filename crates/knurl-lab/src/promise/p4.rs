//! P-4: Redis is down, hangs, is slow, flaps, is flushed, or has no memory left. No request fails, and limits go on, each node by itself.
//!
//! Beside the clients that click and create there is one that guesses codes, faster than it may: known links are never refused, and its
//! guesses are answered 404 or 429, some of them 429 in every act. What redirects cost meanwhile is a figure.
//!
//! A node has every link on its own disk, so that no redirect needs Redis. With `--cold` ([`super::cold`]) there is no replica and next to no
//! memory: redirects are Redis' until it fails, then within its deadline PostgreSQL's, and all else is as before.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Report, RunArgs,
    books::Ledger,
    cold,
    stand::{Fault, Stand, StandSpec, is_ready},
    traffic::{Manner, Scene, said},
};
use crate::{
    fleet::{FleetError, Node},
    http::{Connection, Request, Unanswered},
};

#[derive(Clone, Debug, clap::Args)]
pub struct P4Args {
    #[command(flatten)]
    pub run: RunArgs,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=16))]
    pub nodes: u64,
    /// Of each fault
    #[arg(long, default_value_t = 120)]
    pub seconds: u64,
    /// Before each fault, to compare with
    #[arg(long, default_value_t = 10)]
    pub calm_seconds: u64,
    /// Links acknowledged so long before are clicked on every node
    #[arg(long, default_value_t = 2_000)]
    pub known_ms: u64,
    /// Redirects come from Redis: no replica, and more links than memory holds
    #[arg(long)]
    pub cold: bool,
    /// With --cold; memory holds some 9 000
    #[arg(long, default_value_t = 100_000)]
    pub links: u64,
    /// Only these, one after the other
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(FAULTS))]
    pub only: Vec<String>,
}

impl Default for P4Args {
    fn default() -> Self {
        Self {
            run: RunArgs::default(),
            nodes: 3,
            seconds: 120,
            calm_seconds: 10,
            known_ms: 2_000,
            cold: false,
            links: 100_000,
            only: Vec::new(),
        }
    }
}

const LINKS: usize = 100;
/// Promised of redirects: 99 in 100 take so much longer than before at most.
const SLOWER_BY_MS: f64 = 2.0;
const FAULTS: [&str; 6] = ["down", "hung", "slow", "flapping", "flushed", "full"];
/// Flapping at 1 Hz: half of the time down.
const HALF_PERIOD: Duration = Duration::from_millis(500);
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// Guesses that are allowed in a minute, and how many are made in a second.
const GUESSES_A_MINUTE: &str = "60";
const GUESS_PAUSE: Duration = Duration::from_millis(20);

pub fn run(args: &P4Args) -> Result<Report, FleetError> {
    let name = if args.cold { "P-4, cold" } else { "P-4" };
    let mut report = Report::new(name, args.run.seed).strict(args.run.strict);
    let limits = [
        ("KNURL_LIMITS_MISSES_PER_MINUTE", GUESSES_A_MINUTE),
        ("KNURL_LIMITS_BURST_S", "1"),
        // This machine is the client here.
        ("KNURL_LIMITS_EXEMPT", ""),
    ];
    let spec = StandSpec {
        binary: args.run.binary()?,
        nodes: args.nodes as usize,
        redis: true,
        seed: args.run.seed,
        env: limits.iter().chain(cold::env(args.cold)).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..StandSpec::default()
    };
    let mut stand = if args.cold { cold::stand(spec, args.links)? } else { Stand::start(spec)? };
    let mut ledger = Ledger::default();
    let scene = Scene::set(&stand.nodes, LINKS, Duration::from_millis(args.known_ms), &mut ledger)?;
    if args.cold {
        cold::learn(&scene, args.links, &mut ledger);
        thread::sleep(Duration::from_millis(args.known_ms));
    }
    let faults: Vec<&str> =
        FAULTS.into_iter().filter(|fault| args.only.is_empty() || args.only.iter().any(|only| only == fault)).collect();
    let manner = if args.cold { Manner { recent: 0, ..Manner::default() } } else { Manner::default() };
    let guessed = Guessed::default();
    let (played, seen) = scene.run(manner, args.run.seed, || {
        thread::scope(|scope| {
            let addrs: Vec<SocketAddr> = stand.nodes.iter().map(Node::addr).collect();
            let guessed = &guessed;
            let guesser = scope.spawn(move || guessed.work(&addrs));
            let played = faults.iter().try_for_each(|fault| play(&stand, &scene, guessed, fault, args, &mut report));
            guessed.stop.store(true, Relaxed);
            if guesser.join().is_err() {
                report.find("the guesser panicked");
            }
            played
        })
    });
    if let Err(error) = played {
        report.find(format!("it could not go on: {error}"));
    }
    stand.heal()?;
    seen.failures.iter().for_each(|failure| report.find(failure.clone()));
    let told = guessed.told();
    told.wrong.iter().for_each(|wrong| report.find(format!("a guess: {wrong}")));
    if args.cold && faults.iter().all(|fault| report.figure(&cold::before(fault)) == 0.0) {
        report.find("no redirect was answered by Redis");
    }
    for name in ["calm"].iter().chain(&faults) {
        seen.note(&mut report, name);
        if *name != "calm" {
            let figure = format!("{name}_redirect_p99_ms");
            report.at_most(&figure, SLOWER_BY_MS + report.figure("calm_redirect_p99_ms"), report.figure(&figure));
        }
        if seen.of(name).created_us.is_empty() {
            report.find(format!("{name}: nothing was created"));
        }
    }
    ledger.add(seen.ledger);
    stand.settle(&ledger, &mut report);
    Ok(stand.finish(report))
}

fn play(
    stand: &Stand,
    scene: &Scene,
    guessed: &Guessed,
    fault: &str,
    args: &P4Args,
    report: &mut Report,
) -> Result<(), FleetError> {
    if args.cold {
        scene.act("warming");
        let round = FAULTS.iter().position(|one| *one == fault).unwrap_or_default();
        cold::warm(stand, args.links, round as u64)?;
    }
    scene.act("calm");
    let calm = cold::Answered::so_far(stand)?;
    thread::sleep(Duration::from_secs(args.calm_seconds));
    let faulty = cold::Answered::so_far(stand)?;
    scene.act(fault);
    let before = guessed.told();
    report.say(&format!("{fault} for {} s", args.seconds));
    afflict(stand, fault, Instant::now() + Duration::from_secs(args.seconds))?;
    if args.cold {
        report.note(&cold::before(fault), faulty.redis_percent_since(&calm));
        report.note(&format!("{fault}_redis_percent"), cold::Answered::so_far(stand)?.redis_percent_since(&faulty));
    }
    let after = guessed.told();
    let (refused, missed) = (after.refused - before.refused, after.missed - before.missed);
    report.note(&format!("{fault}_guesses_refused"), refused);
    report.note(&format!("{fault}_guesses_answered_404"), missed);
    if refused == 0 {
        report.find(format!("{fault}: somebody guessed codes and was never refused"));
    }
    if let Some(node) = stand.nodes.iter().find(|node| !is_ready(node)) {
        report.find(format!("{fault}: /readyz of node {} is not 200, and it can redirect", node.number));
    }
    scene.act("healing");
    stand.heal()
}

fn afflict(stand: &Stand, fault: &str, until: Instant) -> Result<(), FleetError> {
    let Some(redis) = &stand.redis else { return Ok(()) };
    let rest = || thread::sleep(until.saturating_duration_since(Instant::now()));
    match fault {
        "down" => stand.cut_redis(&Fault::Refused)?,
        "hung" => stand.cut_redis(&Fault::hung())?,
        "slow" => stand.cut_redis(&Fault::slow(500, 0))?,
        "flapping" => {
            while Instant::now() < until {
                stand.cut_redis(&Fault::Refused)?;
                thread::sleep(HALF_PERIOD);
                stand.heal()?;
                thread::sleep(HALF_PERIOD);
            }
        }
        "flushed" => {
            while Instant::now() < until {
                redis.command(&["flushall"])?;
                thread::sleep(FLUSH_EVERY);
            }
        }
        _ => {
            redis.command(&["config", "set", "maxmemory-policy", "noeviction"])?;
            redis.command(&["config", "set", "maxmemory", "1"])?;
            rest();
            redis.command(&["config", "set", "maxmemory", "0"])?;
        }
    }
    rest();
    Ok(())
}

#[derive(Clone, Debug, Default)]
struct Told {
    refused: u64,
    missed: u64,
    wrong: Vec<String>,
}

/// What guesses of codes were answered.
#[derive(Debug, Default)]
struct Guessed {
    told: Mutex<Told>,
    stop: AtomicBool,
}

impl Guessed {
    fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn work(&self, nodes: &[SocketAddr]) {
        for number in 0_u64.. {
            if self.stop.load(Relaxed) || self.told().wrong.len() >= 10 {
                return;
            }
            let addr = nodes[number as usize % nodes.len()];
            let path = format!("/guess{number}");
            let answer = Connection::open(addr).map_err(Unanswered::from).and_then(|mut open| open.ask(&Request::get(&path)));
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(answer) if answer.status == 404 => told.missed += 1,
                Ok(answer) if answer.status == 429 && answer.header("retry-after").is_some() => told.refused += 1,
                Ok(answer) => told.wrong.push(said(&answer)),
                Err(error) => told.wrong.push(error.to_string()),
            }
            drop(told);
            thread::sleep(GUESS_PAUSE);
        }
    }
}
