//! P-3: PostgreSQL refuses, hangs, resets, is slow, or loses the reply to COMMIT. Known links redirect all the time, creates are told to come
//! again, every answered click is counted once, and what has piled up is delivered within a minute of the end.
//!
//! The faults come one after the other, on the ways of all nodes at once. "Known" is acknowledged two seconds before the fault began: later
//! ones may have reached no other node yet. The replies to COMMIT are lost every second time, or nothing would ever be seen to be done.
//! How fast a refusal is, what redirects cost meanwhile, and how soon it is all delivered, are figures beside those promised.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    Report, RunArgs,
    books::Ledger,
    stand::{Fault, Stand, StandSpec, is_ready},
    traffic::{Manner, Scene},
};
use crate::fleet::FleetError;

#[derive(Clone, Debug, clap::Args)]
pub struct P3Args {
    #[command(flatten)]
    pub run: RunArgs,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=16))]
    pub nodes: u64,
    /// Of each fault
    #[arg(long, default_value_t = 600)]
    pub seconds: u64,
    /// Before each fault, to compare with
    #[arg(long, default_value_t = 10)]
    pub calm_seconds: u64,
    /// Links acknowledged so long before a fault have to redirect during it
    #[arg(long, default_value_t = 2_000)]
    pub known_ms: u64,
    /// Only this one of refused, hung, reset, slow, commit-reply-lost
    #[arg(long)]
    pub only: Option<String>,
}

impl Default for P3Args {
    fn default() -> Self {
        Self { run: RunArgs::default(), nodes: 3, seconds: 600, calm_seconds: 10, known_ms: 2_000, only: None }
    }
}

const LINKS: usize = 100;
/// Promised to a create that cannot be done.
const TOLD_WITHIN_MS: f64 = 50.0;
/// Promised of redirects: so many times what 99 in 100 took while all was well.
const SLOWER_BY: f64 = 1.1;

fn faults() -> [(&'static str, Fault); 5] {
    [
        ("refused", Fault::Refused),
        ("hung", Fault::hung()),
        ("reset", Fault::reset()),
        ("slow", Fault::slow(1_000, 300)),
        ("commit-reply-lost", Fault::commit_reply_lost(0.5)),
    ]
}

pub fn run(args: &P3Args) -> Result<Report, FleetError> {
    let mut report = Report::new("P-3", args.run.seed).strict(args.run.strict);
    let spec = StandSpec {
        binary: args.run.binary()?,
        nodes: args.nodes as usize,
        redis: false,
        seed: args.run.seed,
        env: Vec::new(),
        ..StandSpec::default()
    };
    let mut stand = Stand::start(spec)?;
    let mut ledger = Ledger::default();
    let scene = Scene::set(&stand.nodes, LINKS, Duration::from_millis(args.known_ms), &mut ledger)?;
    let faults: Vec<_> = faults().into_iter().filter(|(name, _)| args.only.as_deref().is_none_or(|only| only == *name)).collect();
    let manner = Manner { may_refuse: true, ..Manner::default() };
    let (played, seen) = scene.run(manner, args.run.seed, || {
        faults.iter().try_for_each(|(name, fault)| play(&stand, &scene, name, fault, args, &mut report))
    });
    if let Err(error) = played {
        report.find(format!("it could not go on: {error}"));
        stand.heal()?;
    }
    seen.failures.iter().for_each(|failure| report.find(failure.clone()));
    seen.note(&mut report, "calm");
    for (name, _) in &faults {
        seen.note(&mut report, name);
        report.at_most(&format!("{name}_redirect_p99_ms"), SLOWER_BY * seen.redirect_p99_ms("calm"), seen.redirect_p99_ms(name));
        if !seen.of(name).refused_us.is_empty() {
            for figure in ["p99", "max"].map(|which| format!("{name}_refusal_{which}_ms")) {
                report.at_most(&figure, TOLD_WITHIN_MS, report.figure(&figure));
            }
        }
    }
    if seen.of("calm").created_us.is_empty() {
        report.find("no create succeeded while all was well");
    }
    ledger.add(seen.ledger);
    stand.settle(&ledger, &mut report);
    Ok(stand.finish(report))
}

fn play(stand: &Stand, scene: &Scene, name: &str, fault: &Fault, args: &P3Args, report: &mut Report) -> Result<(), FleetError> {
    scene.act("calm");
    thread::sleep(Duration::from_secs(args.calm_seconds));
    scene.act(name);
    scene.darken();
    let cut_before = stand.cut();
    stand.cut_postgres(fault)?;
    report.say(&format!("{name} for {} s", args.seconds));
    let until = Instant::now() + Duration::from_secs(args.seconds);
    while Instant::now() < until {
        if let Some(node) = stand.nodes.iter().find(|node| !is_ready(node)) {
            report.find(format!("{name}: /readyz of node {} is not 200, and it can redirect", node.number));
        }
        thread::sleep(Duration::from_secs(1));
    }
    scene.act("healing");
    let cut = stand.cut() - cut_before;
    report.note(&format!("{name}_connections_cut"), cut);
    if cut == 0 && matches!(name, "reset" | "commit-reply-lost") {
        report.find(format!("{name}: no connection met it"));
    }
    stand.heal()?;
    stand.drain(report, &format!("{name}_drained_after_s"));
    stand.wait_current()?;
    scene.lighten();
    Ok(())
}
