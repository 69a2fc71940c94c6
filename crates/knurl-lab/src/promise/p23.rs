//! P-23: creates under an `Idempotency-Key` are sent again, to another node, while answers are lost between node and client, replies to COMMIT
//! between PostgreSQL and node, and nodes are killed. For each key there is one link, or one set of links; all answers to it are one answer;
//! something else under it is refused.
//!
//! A run in which no create was done unheard has shown nothing, and says so. Without keys ([`P23Args::unkeyed`]) it must find what it looks for.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use super::{
    Report, RunArgs,
    books::Ledger,
    keyed::{KeyedClient, Stage, Tally},
    stand::{Fault, Stand, StandSpec, broken},
};
use crate::{
    dice::Dice,
    fleet::{self, FleetError},
    http::Request,
    proxy::{Direction, Proxy, Toxic, ToxicKind},
};

#[derive(Clone, Debug, clap::Args)]
pub struct P23Args {
    #[command(flatten)]
    pub run: RunArgs,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=16))]
    pub nodes: u64,
    /// Keys, at least
    #[arg(long, default_value_t = 20_000)]
    pub keys: u64,
    /// Kills of a node, at least
    #[arg(long, default_value_t = 100)]
    pub kills: u64,
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub clients: u64,
    /// Send no key: then creates are done twice, which shows that the harness can see it
    #[arg(long)]
    pub unkeyed: bool,
}

impl Default for P23Args {
    fn default() -> Self {
        Self { run: RunArgs::default(), nodes: 3, keys: 20_000, kills: 100, clients: 8, unkeyed: false }
    }
}

/// Per mille, of the faults.
const KILLED_TOO: u64 = 300;
const FAULT_MS: (u64, u64) = (100, 400);
/// Between two faults, at most.
const CALM_MS_MAX: u64 = 150;
const SAY_EVERY: Duration = Duration::from_secs(60);

/// On the way from a client to a node. What is cut after the request was passed on is an answer that is lost.
fn at_the_door() -> [(&'static str, Fault); 4] {
    let some = |kind, toxicity| Fault::Toxics(vec![Toxic { toxicity, ..Toxic::new(Direction::Downstream, kind) }]);
    [
        ("answers_swallowed", some(ToxicKind::CutAtPattern { pattern: "HTTP/1.1 20".to_owned(), probability: 0.5 }, 1.0)),
        ("reset_peer", some(ToxicKind::ResetPeer { timeout: 10 }, 0.5)),
        // Within the header for some answers, within the body for others.
        ("limit_data", some(ToxicKind::LimitData { bytes: 450 }, 0.5)),
        ("timeout", some(ToxicKind::Timeout { timeout: 80 }, 0.5)),
    ]
}

/// On the way from a node to PostgreSQL.
fn behind_the_node() -> [(&'static str, Fault); 4] {
    let some = |kind, toxicity| Fault::Toxics(vec![Toxic { toxicity, ..Toxic::new(Direction::Downstream, kind) }]);
    [
        ("postgres_commit_reply_lost", Fault::commit_reply_lost(0.5)),
        ("postgres_reset_peer", some(ToxicKind::ResetPeer { timeout: 10 }, 0.5)),
        ("postgres_limit_data", some(ToxicKind::LimitData { bytes: 4_000 }, 0.5)),
        ("postgres_timeout", some(ToxicKind::Timeout { timeout: 80 }, 0.5)),
    ]
}

pub fn run(args: &P23Args) -> Result<Report, FleetError> {
    let mut report = Report::new("P-23", args.run.seed);
    let spec = StandSpec {
        binary: args.run.binary()?,
        nodes: args.nodes as usize,
        redis: true,
        seed: args.run.seed,
        // All nodes are one service: answers name it, not them.
        env: vec![("KNURL_BASE_URL".to_owned(), "https://sho.example".to_owned())],
        ..StandSpec::default()
    };
    let mut stand = Stand::start(spec)?;
    let door = |node: &fleet::Node| Proxy::start(&format!("door-{}", node.number), node.addr(), args.run.seed);
    let doors: Vec<Proxy> = stand.nodes.iter().map(door).collect::<Result<_, _>>().map_err(|error| broken(&error))?;
    let user = Request::post("/users", r#"{"username":"lab","email":"lab@example.org"}"#);
    let user = fleet::ask(stand.nodes[0].addr(), &user, 201)?.json().unwrap_or_default();
    let user_id = user["id"].as_u64().unwrap_or_default();
    let stage = Stage {
        doors: doors.iter().map(Proxy::addr).collect(),
        with_key: !args.unkeyed,
        user_id,
        settled: AtomicU64::new(0),
        at_work: AtomicU64::new(args.clients),
        stop: AtomicBool::new(false),
    };
    let (played, clients) = thread::scope(|scope| {
        let clients: Vec<_> = (0..args.clients)
            .map(|number| {
                let (stage, seed) = (&stage, args.run.seed);
                scope.spawn(move || KeyedClient::new(stage, number, seed).run(stage))
            })
            .collect();
        let played = play(&mut stand, &doors, &stage, args, &mut report);
        stage.stop.store(true, Relaxed);
        (played, clients.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>())
    });
    if let Err(error) = played {
        report.find(format!("it could not go on: {error}"));
    }
    stand.wait_current()?;
    let (mut tally, mut ledger) = (Tally::default(), Ledger::default());
    for client in clients {
        let Ok(mut client) = client else {
            report.find("a client panicked");
            continue;
        };
        client.confirm(&stage);
        tally.add(&client.tally);
        client.failures.into_iter().for_each(|failure| report.find(failure));
        ledger.add(client.ledger);
    }
    tally.figures().into_iter().for_each(|(name, figure)| report.note(name, figure));
    for (what, happened) in [
        ("an answer lost", tally.unanswered),
        ("a create done whose answer was lost", tally.done_unheard),
        ("a key sent to two nodes at once", tally.twins),
        ("something else under a key refused", tally.other_bodies_refused),
        ("a connection to PostgreSQL cut", stand.cut()),
    ] {
        if happened == 0 {
            report.find(format!("nothing is shown: there was never {what}"));
        }
    }
    stand.settle(&ledger, &mut report);
    Ok(stand.finish(report))
}

/// Ends with every way whole and every node running.
fn play(stand: &mut Stand, doors: &[Proxy], stage: &Stage, args: &P23Args, report: &mut Report) -> Result<(), FleetError> {
    let mut dice = Dice::new(args.run.seed, &[]);
    let (in_front, behind) = (at_the_door(), behind_the_node());
    let mut cut = [0; 8];
    let (mut kills, mut said) = (0, Instant::now());
    while (stage.settled.load(Relaxed) < args.keys || kills < args.kills) && stage.at_work.load(Relaxed) > 0 {
        let (at, fault) = (dice.below(args.nodes) as usize, dice.below(8) as usize);
        let (way, how) =
            if fault < 4 { (&doors[at], &in_front[fault].1) } else { (&stand.ways[at].postgres, &behind[fault - 4].1) };
        let before = way.fates().cut;
        how.inflict(way)?;
        thread::sleep(Duration::from_millis(dice.between(FAULT_MS.0, FAULT_MS.1)));
        cut[fault] += way.fates().cut - before;
        if dice.chance(KILLED_TOO) {
            stand.nodes[at].kill()?;
            kills += 1;
        }
        doors[at].heal().map_err(|error| broken(&error))?;
        stand.heal()?;
        if !stand.nodes[at].is_running() {
            stand.nodes[at].start()?;
        }
        thread::sleep(Duration::from_millis(dice.below(CALM_MS_MAX)));
        if said.elapsed() > SAY_EVERY {
            report.say(&format!("{} keys, {kills} kills", stage.settled.load(Relaxed)));
            said = Instant::now();
        }
    }
    report.note("kills", kills);
    for ((name, _), cut) in in_front.iter().chain(&behind).zip(cut) {
        report.note(&format!("{name}_cut"), cut);
    }
    Ok(())
}
