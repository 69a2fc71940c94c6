//! An epoch: one data directory, its clients, and its kills.

use std::{
    path::Path,
    process::ExitStatus,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    DurabilityChoice, EPOCH_KILLS, KillError, KillReport, KillSpec, MIGRATE,
    check::{self, Finding},
    ledger::{Face, LinkEntry, Tally},
    observe::{self, ObserveError, Observer},
    worker::{Stage, Worker},
};
use crate::{
    dice::Dice,
    http::{Connection, Request, Unanswered},
    process::{Launch, ProcessError, Server, was_killed},
};

/// The product's variable: `NAME@N`.
const FAILPOINT: &str = "KNURL_FAILPOINT";
/// Links that every client clicks.
const COMMON_LINKS: usize = 8;
/// Under load, a kill comes at most this much later.
const UNDER_LOAD_MS_MAX: u64 = 250;
/// While starting, it comes at most this much after the start.
const STARTING_MS_MAX: u64 = 60;
const STARTING_PER_MILLE: u64 = 120;
const FAILPOINT_PER_MILLE: u64 = 400;
/// A fail point strikes at its n-th hit, n up to 2 to the power of this, small ones more often.
const FAILPOINT_HITS_LOG2_MAX: u64 = 8;
/// These are hit once a segment: a life of the server sees only a few.
const ONCE_A_SEGMENT: [&str; 3] = ["spool::prepare", "spool::release", "spool::roll"];
/// A fail point that is not reached by then is not: the cycle ends with an ordinary kill.
const FAILPOINT_WITHIN: Duration = Duration::from_millis(1500);
/// In half of the epochs, and where a fail point needs it: small enough that a life of the server fills several.
const SMALL_SEGMENT_BYTES: u64 = 64 << 10;
/// Of the links touched in a cycle whose state is certain, so many are looked at right after it (all in doubt are).
const LOOKS_MAX: usize = 16;
const AUDIT_EVERY_CYCLES: u64 = 10;
/// So often a new data directory's first start is its first death.
const AT_BIRTH_PER_MILLE: u64 = 700;

#[derive(Debug)]
pub(super) struct Epoch<'a> {
    spec: &'a KillSpec,
    launch: Launch,
    dir: tempfile::TempDir,
    number: u64,
    /// Of the current cycle, so that a seed means the same plan whatever the clients did before.
    dice: Dice,
    /// In the order in which they are next.
    failpoints: Vec<String>,
    stage: Stage,
    common: Vec<LinkEntry>,
    workers: Vec<Worker>,
    /// The first start, which made the users and links of the stage.
    running: Option<Server>,
    unknown_ever: u64,
}

enum Death {
    Random,
    Starting,
    At(String),
}

impl<'a> Epoch<'a> {
    pub(super) fn begin(spec: &'a KillSpec, number: u64, report: &mut KillReport) -> Result<Self, KillError> {
        let dir = tempfile::Builder::new().prefix("knurl-kill-").tempdir()?;
        let durability = match spec.durability {
            DurabilityChoice::Process => "process",
            DurabilityChoice::Power => "power",
            DurabilityChoice::Both if number.is_multiple_of(2) => "process",
            DurabilityChoice::Both => "power",
        };
        let mut env = vec![("KNURL_DURABILITY".to_owned(), durability.to_owned())];
        let mut dice = Dice::new(spec.seed, &[number]);
        if dice.chance(500) {
            env.push(small_segments());
        }
        let launch = Launch { binary: spec.binary.clone(), dir: dir.path().to_owned(), env, cores: None, within: Vec::new() };
        die_at_birth(&launch, spec, &mut dice, report)?;
        let server = launch.start()?;
        let (stage, common) = set_stage(&server, number)?;
        let workers = (0..spec.workers).map(|worker| Worker::new(format!("e{number}w{worker}"), &stage)).collect();
        let failpoints = spec.failpoints.iter().filter(|name| *name != MIGRATE).cloned().collect();
        Ok(Self { spec, launch, dir, number, dice, failpoints, stage, common, workers, running: Some(server), unknown_ever: 0 })
    }

    /// Adds to the report what happened; a harness that cannot go on is a finding too, since the product is why.
    pub(super) fn run(mut self, report: &mut KillReport, starts: &mut Vec<Duration>) {
        let mut findings = Vec::new();
        if let Err(error) = self.live(report, starts, &mut findings) {
            findings.push(Finding::Trouble(error.to_string()));
        }
        let log = std::fs::read_to_string(self.launch.log()).unwrap_or_default();
        findings.extend(log.lines().filter(|line| line.contains("panicked at")).map(|line| Finding::Trouble(line.to_owned())));
        report.requests += self.workers.iter().map(|worker| worker.requests).sum::<u64>();
        report.links += self.entries().count() as u64;
        report.clicks += self.entries().map(|entry| entry.clicks.sure).sum::<u64>();
        report.clicks_unknown += self.unknown_ever;
        report.findings.extend(findings.iter().map(ToString::to_string));
        if !report.findings.is_empty() {
            report.kept = Some(self.dir.keep());
        }
    }

    fn live(&mut self, report: &mut KillReport, starts: &mut Vec<Duration>, findings: &mut Vec<Finding>) -> Result<(), KillError> {
        let goal = self.spec.kills.min(report.kills() + EPOCH_KILLS);
        for cycle in 1..=EPOCH_KILLS {
            if report.kills() >= goal || !findings.is_empty() {
                break;
            }
            self.dice = Dice::new(self.spec.seed, &[self.number, cycle]);
            match self.cycle(cycle, starts, findings)? {
                Death::Random => report.kills_random += 1,
                Death::Starting => report.kills_starting += 1,
                Death::At(name) => *report.kills_at.entry(name).or_default() += 1,
            }
        }
        if findings.is_empty() { self.final_check(starts, findings) } else { Ok(()) }
    }

    fn entries(&self) -> impl Iterator<Item = &LinkEntry> {
        self.common.iter().chain(self.workers.iter().flat_map(|worker| &worker.links))
    }

    /// One life of the server, and its end.
    fn cycle(&mut self, cycle: u64, starts: &mut Vec<Duration>, findings: &mut Vec<Finding>) -> Result<Death, KillError> {
        if self.running.is_none() && self.dice.chance(STARTING_PER_MILLE) {
            let mut server = self.launch.spawn()?;
            thread::sleep(Duration::from_millis(self.dice.below(STARTING_MS_MAX)));
            note_own_death(server.kill()?, findings);
            return Ok(Death::Starting);
        }
        if !self.failpoints.is_empty() && self.running.is_none() && self.dice.chance(FAILPOINT_PER_MILLE) {
            // In turn, so that each has its share however short the run.
            self.failpoints.rotate_left(1);
            let name = self.failpoints[0].clone();
            return self.failpoint_cycle(&name, findings);
        }
        let mut server = match self.running.take() {
            Some(server) => server,
            None => self.start(starts)?,
        };
        self.look_at_touched(&server, findings)?;
        if findings.is_empty() && cycle.is_multiple_of(AUDIT_EVERY_CYCLES) {
            self.audit(findings);
        }
        let wait = Duration::from_millis(self.dice.below(UNDER_LOAD_MS_MAX));
        let status = self.load_until(&mut server, cycle, |server| {
            thread::sleep(wait);
            server.kill()
        })?;
        note_own_death(status, findings);
        self.take_findings(findings);
        if let Some(lost) = self.spec.lose {
            let lost = self.launch.data_dir().join(lost);
            if lost.is_dir() { std::fs::remove_dir_all(lost)? } else { std::fs::remove_file(lost)? }
        }
        Ok(Death::Random)
    }

    /// As [`Self::cycle`], the server being its own executioner.
    fn failpoint_cycle(&mut self, name: &str, findings: &mut Vec<Finding>) -> Result<Death, KillError> {
        let mut launch = self.launch.clone();
        let rare = ONCE_A_SEGMENT.contains(&name);
        if rare {
            launch.env.push(small_segments());
        }
        let hits_max = 1 << self.dice.below(if rare { 2 } else { FAILPOINT_HITS_LOG2_MAX + 1 });
        let hits = self.dice.between(1, hits_max);
        launch.env.push((FAILPOINT.to_owned(), format!("{name}@{hits}")));
        let mut server = launch.spawn()?;
        match server.wait_ready() {
            Ok(()) => {}
            Err(ProcessError::EndedEarly { status, .. }) if was_killed(status) => return Ok(Death::At(name.to_owned())),
            Err(error) => return Err(error.into()),
        }
        let mut own = true;
        let stream = self.dice.throw();
        let status = self.load_until(&mut server, stream, |server| match server.ended_within(FAILPOINT_WITHIN)? {
            Some(status) => Ok(status),
            None => {
                own = false;
                server.kill()
            }
        })?;
        note_own_death(status, findings);
        self.take_findings(findings);
        Ok(if own { Death::At(name.to_owned()) } else { Death::Random })
    }

    fn start(&self, starts: &mut Vec<Duration>) -> Result<Server, KillError> {
        let began = Instant::now();
        let server = self.launch.start()?;
        starts.push(began.elapsed());
        Ok(server)
    }

    /// All workers at it, until `end` has ended the server.
    fn load_until(
        &mut self,
        server: &mut Server,
        stream: u64,
        end: impl FnOnce(&mut Server) -> std::io::Result<ExitStatus>,
    ) -> Result<ExitStatus, KillError> {
        let addr = server.addr().ok_or(ProcessError::NotAReadyLine(String::new()))?;
        let (stage, seed) = (&self.stage, self.spec.seed);
        thread::scope(|scope| {
            let workers: Vec<_> = self
                .workers
                .iter_mut()
                .enumerate()
                .map(|(number, worker)| {
                    let mut dice = Dice::new(seed, &[stream, number as u64, worker.requests]);
                    scope.spawn(move || worker.run(addr, stage, &mut dice))
                })
                .collect();
            let status = end(server);
            for worker in workers {
                worker.join().map_err(|_| KillError::Worker)?;
            }
            Ok(status?)
        })
    }

    fn take_findings(&mut self, findings: &mut Vec<Finding>) {
        for worker in &mut self.workers {
            findings.append(&mut worker.findings);
            for (entry, tally) in self.common.iter_mut().zip(&mut worker.common_clicks) {
                entry.clicks.add(std::mem::take(tally));
            }
        }
    }

    /// Everything in doubt and some of the rest. Waits for clicks already answered to be counted; settles what was seen.
    fn look_at_touched(&mut self, server: &Server, findings: &mut Vec<Finding>) -> Result<(), KillError> {
        let mut observer = Observer::new(server.addr().ok_or(ProcessError::NotAReadyLine(String::new()))?)?;
        for entry in &mut self.common {
            look(&mut observer, entry, &mut self.unknown_ever, findings)?;
        }
        for worker in &mut self.workers {
            let (doubtful, certain): (Vec<usize>, Vec<usize>) = std::mem::take(&mut worker.touched)
                .into_iter()
                .partition(|&at| worker.links[at].known().is_none() || worker.links[at].id.is_none());
            let some = certain.into_iter().filter(|_| self.dice.chance(500)).take(LOOKS_MAX);
            for at in doubtful.into_iter().chain(some) {
                look(&mut observer, &mut worker.links[at], &mut self.unknown_ever, findings)?;
            }
        }
        Ok(())
    }

    /// While nothing else asks: the law must hold to the click.
    fn audit(&self, findings: &mut Vec<Finding>) {
        let mut clicks = Tally::default();
        for entry in self.entries() {
            clicks.add(entry.clicks);
        }
        match observe::audit(&self.launch) {
            Ok(audit) => findings.extend(check::check_audit(audit, clicks)),
            Err(finding) => findings.push(finding),
        }
    }

    fn final_check(&mut self, starts: &mut Vec<Duration>, findings: &mut Vec<Finding>) -> Result<(), KillError> {
        let mut server = self.start(starts)?;
        let mut observer = Observer::new(server.addr().ok_or(ProcessError::NotAReadyLine(String::new()))?)?;
        let unknown = &mut self.unknown_ever;
        for entry in self.common.iter_mut().chain(self.workers.iter_mut().flat_map(|worker| &mut worker.links)) {
            look(&mut observer, entry, unknown, findings)?;
        }
        findings.extend(check::check_total(self.entries(), observer.links()?));
        self.audit(findings);
        let status = server.stop()?;
        if !status.success() {
            findings.push(Finding::Trouble(format!("SIGTERM ended it with {status}")));
        }
        self.audit(findings);
        Ok(())
    }
}

fn look(
    observer: &mut Observer,
    entry: &mut LinkEntry,
    unknown: &mut u64,
    findings: &mut Vec<Finding>,
) -> Result<(), ObserveError> {
    // Once something is lost, nothing is worth waiting for.
    let patience = if findings.is_empty() { observe::PATIENCE } else { Duration::ZERO };
    let seen = observer.look(entry, patience)?;
    findings.extend(check::check_link(entry, &seen));
    *unknown += entry.clicks.unknown;
    entry.settle(&seen);
    Ok(())
}

/// It was to die of SIGKILL: if it had ended otherwise before, it crashed.
fn note_own_death(status: ExitStatus, findings: &mut Vec<Finding>) {
    if !was_killed(status) {
        findings.push(Finding::Trouble(format!("it had ended by itself: {status}")));
    }
}

fn small_segments() -> (String, String) {
    ("KNURL_CLICKS_SEGMENT_BYTES".to_owned(), SMALL_SEGMENT_BYTES.to_string())
}

/// The first start of a data directory, cut short: in the middle of making the tables, or anywhere.
fn die_at_birth(launch: &Launch, spec: &KillSpec, dice: &mut Dice, report: &mut KillReport) -> Result<(), KillError> {
    if report.kills() >= spec.kills || !dice.chance(AT_BIRTH_PER_MILLE) {
        return Ok(());
    }
    if !spec.failpoints.iter().any(|name| name == MIGRATE) {
        let mut server = launch.spawn()?;
        thread::sleep(Duration::from_millis(dice.below(STARTING_MS_MAX)));
        server.kill()?;
        report.kills_starting += 1;
        return Ok(());
    }
    let mut launch = launch.clone();
    launch.env.push((FAILPOINT.to_owned(), format!("{MIGRATE}@1")));
    match launch.start() {
        Err(ProcessError::EndedEarly { status, .. }) if was_killed(status) => {
            *report.kills_at.entry(MIGRATE.to_owned()).or_default() += 1;
            Ok(())
        }
        // Not reached: the server is dropped, and with it killed.
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A user and the common links, by a server that is then killed like every other.
fn set_stage(server: &Server, number: u64) -> Result<(Stage, Vec<LinkEntry>), KillError> {
    let addr = server.addr().ok_or(ProcessError::NotAReadyLine(String::new()))?;
    let mut connection = Connection::open(addr)?;
    let mut post = |path: &str, body: serde_json::Value| -> Result<serde_json::Value, ObserveError> {
        let body = body.to_string();
        let answer = connection.ask(&Request::post(path, &body))?;
        match (answer.status, answer.json()) {
            (201, Some(made)) => Ok(made),
            _ => Err(ObserveError::Unexpected {
                path: path.to_owned(),
                status: answer.status,
                body: String::from_utf8_lossy(answer.body.as_deref().unwrap_or_default()).into_owned(),
            }),
        }
    };
    let user = post("/users", json!({ "username": format!("kill{number}"), "email": format!("kill{number}@kill.example") }))?;
    let user_id = user["id"].as_i64().ok_or_else(|| Unanswered::NotHttp(user.to_string())).map_err(ObserveError::from)?;
    let mut common = Vec::new();
    let mut codes = Vec::new();
    for at in 0..COMMON_LINKS {
        let target = format!("https://kill.example/common/{number}/{at}");
        let link = post("/urls", json!({ "user_id": user_id, "original_url": target, "title": "common" }))?;
        let code = link["short_code"].as_str().unwrap_or_default().to_owned();
        let face = Face { target: target.clone(), title: Some("common".to_owned()), is_active: true };
        let mut entry = LinkEntry::asked_for(target.clone(), Some(code.clone()), face);
        entry.acknowledge();
        entry.id = link["id"].as_i64();
        codes.push((code, target));
        common.push(entry);
    }
    Ok((Stage { user_id, common: Arc::from(codes) }, common))
}

/// Whether the binary has fail points: without them it refuses to start with one.
pub(super) fn has_failpoints(binary: &Path) -> Result<bool, KillError> {
    const PROBE: &str = "store::before_commit@1000000000";
    let dir = tempfile::Builder::new().prefix("knurl-probe-").tempdir()?;
    let env = vec![(FAILPOINT.to_owned(), PROBE.to_owned())];
    let launch = Launch { binary: binary.to_owned(), dir: dir.path().to_owned(), env, cores: None, within: Vec::new() };
    match launch.start() {
        Ok(_) => Ok(true),
        Err(ProcessError::EndedEarly { words, .. }) if words.contains(FAILPOINT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
