//! The ledger: several nodes deliver into one PostgreSQL at once, are killed at any instant, give their disks to other nodes, and lose the
//! replies to their commits. Every answered click is counted once, every acknowledged link is there, by the clients' books and by `knurl audit`.

use std::{thread, time::Duration};

use super::{
    Report, RunArgs,
    books::Ledger,
    stand::{Fault, Stand, StandSpec},
    traffic::{Manner, Scene},
};
use crate::{dice::Dice, fleet::FleetError};

#[derive(Clone, Debug, clap::Args)]
pub struct LedgerArgs {
    #[command(flatten)]
    pub run: RunArgs,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=16))]
    pub nodes: u64,
    /// Kills; after every third one the disk goes to another node
    #[arg(long, default_value_t = 1_000)]
    pub kills: u64,
}

impl Default for LedgerArgs {
    fn default() -> Self {
        Self { run: RunArgs::default(), nodes: 3, kills: 1_000 }
    }
}

const LINKS: usize = 50;
/// Of the replies to COMMIT.
const LOST: f64 = 0.3;
/// Between two kills, at most.
const LIFE_MS_MAX: u64 = 1_200;
const MOVE_EVERY: u64 = 3;

pub fn run(args: &LedgerArgs) -> Result<Report, FleetError> {
    let mut report = Report::new("ledger", args.run.seed);
    let spec = StandSpec {
        binary: args.run.binary()?,
        nodes: args.nodes as usize,
        redis: true,
        seed: args.run.seed,
        // So that a kill falls between two commits as often as it can.
        env: vec![("KNURL_CLICKS_DRAIN_INTERVAL_MS".to_owned(), "20".to_owned())],
        ..StandSpec::default()
    };
    let mut stand = Stand::start(spec)?;
    let mut ledger = Ledger::default();
    let scene = Scene::set(&stand.nodes, LINKS, Duration::from_secs(2), &mut ledger)?;
    stand.cut_postgres(&Fault::commit_reply_lost(LOST))?;
    let manner = Manner { may_break: true, may_refuse: true, ..Manner::default() };
    let (played, seen) = scene.run(manner, args.run.seed, || play(&mut stand, &scene, args, &report));
    match played {
        Ok(moves) => {
            report.note("kills", args.kills);
            report.note("disks_moved", moves);
        }
        Err(error) => report.find(format!("it could not go on: {error}")),
    }
    let cut = stand.cut();
    report.note("commit_replies_lost", cut);
    if cut == 0 {
        report.find("no reply to a commit was lost");
    }
    stand.heal()?;
    seen.failures.iter().for_each(|failure| report.find(failure.clone()));
    seen.note(&mut report, "calm");
    ledger.add(seen.ledger);
    stand.settle(&ledger, &mut report);
    Ok(stand.finish(report))
}

fn play(stand: &mut Stand, scene: &Scene, args: &LedgerArgs, report: &Report) -> Result<u64, FleetError> {
    let mut dice = Dice::new(args.run.seed, &[]);
    let mut moves = 0;
    for kill in 1..=args.kills {
        thread::sleep(Duration::from_millis(dice.below(LIFE_MS_MAX)));
        let at = dice.below(args.nodes) as usize;
        stand.nodes[at].kill()?;
        if kill % MOVE_EVERY == 0 {
            stand.move_disk(at)?;
            moves += 1;
        } else {
            stand.nodes[at].start()?;
        }
        scene.place(at, stand.nodes[at].addr());
        if kill % 100 == 0 {
            report.say(&format!("{kill} kills"));
        }
    }
    Ok(moves)
}
