//! P-9: nodes behind nginx are restarted in turn, again and again, under load; no request fails, creates included, and the books agree.
//!
//! Half of the clients keep their connections, half make one for each request. A request fails when it gets no answer or another one than
//! it must; the client then says so and goes on. What nginx had to hand to a second node after the first may have had it is read from
//! its log: a click among them may count twice, and is told.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    Report, RunArgs,
    books::{self, Ledger, Shown},
    client::Client,
};
use crate::{
    dice::Dice,
    fleet::{self, Backing, Fleet, FleetError, FleetSpec, Node, front},
    http::{Answer, Request},
    servers::PostgresSetup,
};

#[derive(Clone, Debug, clap::Args)]
pub struct P9Args {
    #[command(flatten)]
    pub run: RunArgs,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=16))]
    pub nodes: u64,
    /// Answered requests, at least
    #[arg(long, default_value_t = 1_000_000)]
    pub requests: u64,
    /// Rolling restarts of all nodes, at least
    #[arg(long, default_value_t = 5)]
    pub rolls: u64,
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(2..=128))]
    pub clients: u64,
    /// Kill the nodes instead of stopping them: then requests fail, which shows that the harness can see it
    #[arg(long)]
    pub kill: bool,
    /// Each node on a SQLite of its own instead of one PostgreSQL for all
    #[arg(long)]
    pub own_sqlite: bool,
}

impl Default for P9Args {
    fn default() -> Self {
        Self { run: RunArgs::default(), nodes: 3, requests: 1_000_000, rolls: 5, clients: 16, kill: false, own_sqlite: false }
    }
}

/// Links that every client clicks.
const SHARED_LINKS: usize = 100;
/// Of its own links, a client goes on clicking so many.
const RECENT: usize = 100;
const POLL: Duration = Duration::from_millis(50);
/// Progress is said so often.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// A client that has failed so often has shown what there is to show.
const FAILURES_MAX: usize = 20;

struct Stage {
    links: Vec<(String, String)>,
    /// Whether a link made on one node is known to all.
    is_shared: bool,
    asked: AtomicU64,
    /// Clients that have not given up.
    at_work: AtomicU64,
    stop: AtomicBool,
}

pub fn run(args: &P9Args) -> Result<Report, FleetError> {
    let mut report = Report::new("P-9", args.run.seed);
    let backing = if args.own_sqlite { Backing::OwnSqlite } else { Backing::Postgres(PostgresSetup::default()) };
    let mut fleet = Fleet::start(&FleetSpec::new(args.run.binary()?, args.nodes as usize, backing))?;
    let (links, mut ledger) = set_stage(&fleet)?;
    let at_work = AtomicU64::new(args.clients);
    let stage = Stage { links, is_shared: fleet.is_shared(), asked: AtomicU64::new(0), at_work, stop: AtomicBool::new(false) };
    let addr = fleet.addr();
    report.say(&format!("{} nodes behind {addr}, {} clients", args.nodes, args.clients));
    let load_began = Instant::now();
    let (rolled, clients) = thread::scope(|scope| {
        let clients: Vec<_> = (0..args.clients)
            .map(|number| {
                let (stage, seed) = (&stage, args.run.seed);
                scope.spawn(move || Visitor::new(addr, number, seed).run(stage))
            })
            .collect();
        let rolled = roll_until_enough(&mut fleet, args, &stage, &report);
        stage.stop.store(true, Relaxed);
        (rolled, clients.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>())
    });
    let load_seconds = load_began.elapsed().as_secs_f64();
    let (mut creates, mut failed) = (0, 0);
    for visitor in clients {
        let Ok(visitor) = visitor else {
            report.find("a client panicked");
            continue;
        };
        creates += visitor.creates;
        failed += visitor.failures.len();
        visitor.failures.into_iter().for_each(|failure| report.find(failure));
        ledger.add(visitor.ledger);
    }
    match rolled {
        Ok(rolls) => report.note("rolling_restarts", rolls),
        Err(error) => report.find(format!("a node could not be restarted: {error}")),
    }
    let requests = stage.asked.load(Relaxed);
    report.note("nodes", args.nodes);
    report.note("requests", requests);
    report.note("requests_a_second", (requests as f64 / load_seconds).round());
    report.note("creates", creates);
    report.note("clicks", ledger.all_clicks().sure);
    report.note("failed", failed);
    settle(&mut fleet, &ledger, &mut report);
    report.kept = if report.held { None } else { Some(fleet.keep()) };
    Ok(report.finished())
}

fn set_stage(fleet: &Fleet) -> Result<(Vec<(String, String)>, Ledger), FleetError> {
    let mut ledger = Ledger::default();
    let mut links = Vec::new();
    for at in 0..SHARED_LINKS {
        let (code, target) = (format!("shared-{at}"), format!("https://p9.example/shared/{at}"));
        let body = json!({ "url": target, "custom_code": code }).to_string();
        for node in fleet.books() {
            fleet::ask(node.addr(), &Request::post("/shorten", &body), 201)?;
        }
        ledger.made(&code, &target);
        links.push((code, target));
    }
    Ok((links, ledger))
}

fn roll_until_enough(fleet: &mut Fleet, args: &P9Args, stage: &Stage, report: &Report) -> Result<u64, FleetError> {
    let mut rolls = 0;
    let mut said = Instant::now();
    while stage.at_work.load(Relaxed) > 0 && (rolls < args.rolls || stage.asked.load(Relaxed) < args.requests) {
        fleet.roll(if args.kill { Node::kill } else { Node::stop })?;
        rolls += 1;
        if said.elapsed() > SAY_EVERY {
            report.say(&format!("{rolls} rolling restarts, {} requests", stage.asked.load(Relaxed)));
            said = Instant::now();
        }
        thread::sleep(POLL);
    }
    Ok(rolls)
}

/// The load is over: the books, the law, and the nodes' own words.
fn settle(fleet: &mut Fleet, ledger: &Ledger, report: &mut Report) {
    let sent_twice = match front::sent_twice(&fleet.front) {
        Ok(lines) => lines,
        Err(error) => return report.find(format!("the front's log cannot be read: {error}")),
    };
    report.note("sent_to_a_second_node_after_a_first", sent_twice);
    match Shown::settled(fleet, ledger) {
        Ok(shown) => books::check(ledger, &shown, sent_twice).iter().for_each(|found| report.find(found.to_string())),
        Err(error) => report.find(format!("the books cannot be read: {error}")),
    }
    for node in &mut fleet.nodes {
        if let Err(error) = node.stop() {
            report.find(error.to_string());
        }
        node.panics().into_iter().for_each(|line| report.find(line));
    }
    match fleet.audit() {
        Ok(audits) => {
            let answered: u64 = audits.iter().map(|audit| audit.answered).sum();
            let dropped: u64 = audits.iter().map(|audit| audit.dropped).sum();
            let clicks = ledger.all_clicks();
            if answered < clicks.sure || answered > clicks.sure + clicks.unknown + sent_twice || dropped > 0 {
                report.find(format!("the audits count {answered} answered, {dropped} dropped; the clients know {clicks:?}"));
            }
        }
        Err(error) => report.find(error.to_string()),
    }
}

struct Visitor {
    client: Client,
    number: u64,
    dice: Dice,
    serial: u64,
    own: Vec<(String, String)>,
    ledger: Ledger,
    creates: u64,
    failures: Vec<String>,
}

impl Visitor {
    fn new(addr: std::net::SocketAddr, number: u64, seed: u64) -> Self {
        Self {
            client: Client::new(addr, number, number.is_multiple_of(2)),
            number,
            dice: Dice::new(seed, &[number]),
            serial: 0,
            own: Vec::new(),
            ledger: Ledger::default(),
            creates: 0,
            failures: Vec::new(),
        }
    }

    fn run(mut self, stage: &Stage) -> Self {
        while !stage.stop.load(Relaxed) && self.failures.len() < FAILURES_MAX {
            match self.dice.below(1000) {
                0..100 => self.create(stage.is_shared),
                100..150 => self.look(stage),
                _ => self.click(stage),
            }
            stage.asked.fetch_add(1, Relaxed);
        }
        stage.at_work.fetch_sub(1, Relaxed);
        self
    }

    fn failed(&mut self, asked: &str, how: &str) {
        self.failures.push(format!(
            "client {} (keeps its connection: {}): {asked}: {how}",
            self.number,
            self.number.is_multiple_of(2)
        ));
    }

    fn create(&mut self, may_click: bool) {
        self.serial += 1;
        self.creates += 1;
        let target = format!("https://p9.example/{}/{}", self.number, self.serial);
        let body = json!({ "url": target }).to_string();
        match self.client.ask(&Request::post("/shorten", &body)) {
            Ok(answer) if answer.status == 201 => {
                let link = answer.json().unwrap_or_default();
                let Some(code) = link["short_code"].as_str() else { return self.failed("POST /shorten", "201 without a code") };
                self.ledger.made(code, &target);
                if may_click {
                    self.own.push((code.to_owned(), target));
                }
            }
            Ok(answer) => {
                // Only a front that heard no answer leaves it open.
                self.ledger.creates_unknown += u64::from(matches!(answer.status, 502 | 504));
                self.failed("POST /shorten", &said(&answer));
            }
            Err(error) => {
                self.ledger.creates_unknown += 1;
                self.failed("POST /shorten", &error.to_string());
            }
        }
    }

    fn aim(&mut self, stage: &Stage) -> (String, String) {
        let recent = self.own.len().min(RECENT) as u64;
        if recent > 0 && self.dice.chance(300) {
            return self.own[self.own.len() - 1 - self.dice.below(recent) as usize].clone();
        }
        stage.links[self.dice.below(stage.links.len() as u64) as usize].clone()
    }

    fn click(&mut self, stage: &Stage) {
        let (code, target) = self.aim(stage);
        let path = format!("/{code}");
        match self.client.ask(&Request::get(&path)) {
            Ok(answer) if answer.status == 302 && answer.header("location") == Some(&target) => self.ledger.clicks(&code).sure += 1,
            Ok(answer) => {
                self.ledger.clicks(&code).unknown += u64::from(matches!(answer.status, 502 | 504));
                self.failed(&format!("GET {path}"), &said(&answer));
            }
            Err(error) => {
                self.ledger.clicks(&code).unknown += 1;
                self.failed(&format!("GET {path}"), &error.to_string());
            }
        }
    }

    fn look(&mut self, stage: &Stage) {
        let (code, _) = self.aim(stage);
        match self.client.ask(&Request::of("HEAD", &format!("/{code}"), None)) {
            Ok(answer) if answer.status == 302 => {}
            Ok(answer) => self.failed("HEAD", &said(&answer)),
            Err(error) => self.failed("HEAD", &error.to_string()),
        }
    }
}

fn said(answer: &Answer) -> String {
    let body = String::from_utf8_lossy(answer.body.as_deref().unwrap_or_default()).into_owned();
    format!("{} (location {:?}) {body}", answer.status, answer.header("location"))
}
