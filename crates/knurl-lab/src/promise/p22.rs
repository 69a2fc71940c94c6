//! P-22: an edit, a switching off, a deletion on one node is seen on every node: within a second where nodes are told of it, within a few
//! where nobody tells them and they look.
//!
//! Every link was asked for on every node before, so that all of them remember what was. Measured is from the acknowledgement to the moment
//! when the last node answers anew. Three ways of being told: all there are; PostgreSQL's notifications lost, as by a pooler, and Redis'
//! hints left; both lost.
//!
//! Whoever asks is a visitor: each redirect he was given, to the old target or the new one, is a click, and counted once in the end, of links
//! that are deleted too.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    Report, RunArgs,
    books::Ledger,
    stand::{Fault, Stand, StandSpec},
};
use crate::{
    dice::Dice,
    fleet::{self, FleetError, Node},
    http::{Connection, Request},
};

#[derive(Clone, Debug, clap::Args)]
pub struct P22Args {
    #[command(flatten)]
    pub run: RunArgs,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=16))]
    pub nodes: u64,
    /// Of each way of being told
    #[arg(long, default_value_t = 1_000)]
    pub changes: u64,
    /// Promised of 99 in 100 changes that nodes are told of
    #[arg(long, default_value_t = 1_000)]
    pub told_ms: u64,
    /// Promised of every change that nobody is told of
    #[arg(long, default_value_t = 5_000)]
    pub untold_ms: u64,
}

impl Default for P22Args {
    fn default() -> Self {
        Self { run: RunArgs::default(), nodes: 3, changes: 1_000, told_ms: 1_000, untold_ms: 5_000 }
    }
}

/// Nobody is told of a change by PostgreSQL.
const LOSE_NOTIFICATIONS: &str = "do $$ begin execute replace(pg_get_functiondef('knurl_links_changed'::regproc), \
                                  'perform pg_notify(''knurl_links'', code);', ''); end $$";
/// A change that is not seen by then never is.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(1);
/// Of changes that nobody is told of, each takes about a second.
const UNTOLD_OF: u64 = 10;

pub fn run(args: &P22Args) -> Result<Report, FleetError> {
    let mut report = Report::new("P-22", args.run.seed);
    let spec = StandSpec {
        binary: args.run.binary()?,
        nodes: args.nodes as usize,
        redis: true,
        seed: args.run.seed,
        env: Vec::new(),
        ..StandSpec::default()
    };
    let mut stand = Stand::start(spec)?;
    let mut editor = Editor { dice: Dice::new(args.run.seed, &[]), serial: 0, ledger: Ledger::default() };
    let played = play(&stand, &mut editor, args, &mut report);
    if let Err(error) = played {
        report.find(format!("it could not go on: {error}"));
    }
    stand.heal()?;
    stand.deliver(&mut report, "delivered_after_s");
    stand.settle_in_database(&editor.ledger, &mut report);
    Ok(stand.finish(report))
}

fn play(stand: &Stand, editor: &mut Editor, args: &P22Args, report: &mut Report) -> Result<(), FleetError> {
    let few = (args.changes / UNTOLD_OF).max(1);
    editor.phase("told", &stand.nodes, args.changes, args.told_ms, 990, report)?;
    let functions = stand.sql("select pg_get_functiondef('knurl_links_changed'::regproc)")?;
    stand.sql(LOSE_NOTIFICATIONS)?;
    if !functions.contains("perform pg_notify('knurl_links', code);") || notifies(stand)? {
        report.find("the harness cannot take the notifications away any more");
    }
    editor.phase("hinted", &stand.nodes, few, args.untold_ms, 1000, report)?;
    stand.cut_redis(&Fault::Refused)?;
    editor.phase("untold", &stand.nodes, few, args.untold_ms, 1000, report)
}

fn notifies(stand: &Stand) -> Result<bool, FleetError> {
    Ok(stand.sql("select pg_get_functiondef('knurl_links_changed'::regproc)")?.contains("pg_notify('knurl_links', code)"))
}

/// What a node answers to one who follows the link.
type Face = Result<String, u16>;

struct Editor {
    dice: Dice,
    serial: u64,
    ledger: Ledger,
}

impl Editor {
    /// So many changes; `share` of a thousand of them have to be seen within `bound_ms`.
    fn phase(
        &mut self,
        name: &str,
        nodes: &[Node],
        changes: u64,
        bound_ms: u64,
        share: usize,
        report: &mut Report,
    ) -> Result<(), FleetError> {
        report.say(&format!("{changes} changes, {name}"));
        let mut took = Vec::new();
        while took.len() < changes as usize {
            took.extend(self.life(nodes)?);
        }
        took.sort_unstable();
        let at = |share: usize| took[(took.len() * share / 1000).min(took.len() - 1)].as_secs_f64() * 1e3;
        report.note(&format!("{name}_changes"), took.len());
        report.note(&format!("{name}_p50_ms"), at(500));
        report.note(&format!("{name}_p99_ms"), at(990));
        report.note(&format!("{name}_max_ms"), at(1000));
        if at(share) > bound_ms as f64 {
            report.find(format!("{name}: {share} of 1000 changes are seen after {:.0} ms, not {bound_ms}", at(share)));
        }
        Ok(())
    }

    /// One link from its creation to its deletion, each step by any node.
    fn life(&mut self, nodes: &[Node]) -> Result<Vec<Duration>, FleetError> {
        self.serial += 1;
        let (code, serial) = (format!("edited-{}", self.serial), self.serial);
        let target = |version: &str| format!("https://p22.example/{serial}/{version}");
        let mut took = Vec::new();
        // That there is no such code is remembered too.
        self.seen(nodes, &code, &Err(404))?;
        let body = json!({ "url": target("one"), "custom_code": code }).to_string();
        let made = fleet::ask(self.one_of(nodes).addr(), &Request::post("/shorten", &body), 201)?.json().unwrap_or_default();
        took.push(self.seen(nodes, &code, &Ok(target("one")))?);
        let path = format!("/urls/{}", made["id"]);
        let changes = [
            (json!({ "original_url": target("two") }), Ok(target("two"))),
            (json!({ "is_active": false }), Err(404)),
            (json!({ "is_active": true, "original_url": target("three") }), Ok(target("three"))),
        ];
        for (change, face) in changes {
            fleet::ask(self.one_of(nodes).addr(), &Request::of("PUT", &path, Some(&change.to_string())), 200)?;
            took.push(self.seen(nodes, &code, &face)?);
        }
        fleet::ask(self.one_of(nodes).addr(), &Request::of("DELETE", &path, None), 204)?;
        took.push(self.seen(nodes, &code, &Err(404))?);
        Ok(took)
    }

    fn one_of<'a>(&mut self, nodes: &'a [Node]) -> &'a Node {
        &nodes[self.dice.below(nodes.len() as u64) as usize]
    }

    /// How long until every node shows this face.
    fn seen(&mut self, nodes: &[Node], code: &str, face: &Face) -> Result<Duration, FleetError> {
        let (began, path) = (Instant::now(), format!("/{code}"));
        for node in nodes {
            let mut connection = Connection::open(node.addr())?;
            loop {
                let answer = connection.ask(&Request::get(&path)).inspect_err(|_| self.ledger.clicks(code).unknown += 1)?;
                self.ledger.clicks(code).sure += u64::from(answer.status == 302);
                let shown = answer.header("location").map(str::to_owned).ok_or(answer.status);
                if shown == *face {
                    break;
                }
                if began.elapsed() > PATIENCE {
                    let words = format!("node {} shows {shown:?} and not {face:?} after {PATIENCE:?}", node.number);
                    return Err(FleetError::Unexpected { asked: path, status: answer.status, body: words });
                }
                thread::sleep(PAUSE);
            }
        }
        Ok(began.elapsed())
    }
}
