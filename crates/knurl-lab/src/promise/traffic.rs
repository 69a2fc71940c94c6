//! Traffic: clients that click and clients that create, each on one node, who write down what they were answered.
//!
//! Promised: a click is asked only of links that the promise covers: acknowledged so long ago ([`Scene::known_for`]), counted back from the
//! beginning of an outage while there is one. A request that was not sent is no doubt; one that was sent and not answered is.

use std::{
    net::SocketAddr,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{Report, books::Ledger};
use crate::{
    dice::Dice,
    fleet::{self, FleetError, Node},
    http::{Answer, Connection, Request, Unanswered},
    swarm::per_mille,
};

/// A client that has failed so often has shown what there is to show.
const FAILURES_MAX: usize = 10;
/// Of the links it may click, a client prefers the last so many.
const RECENT: usize = 50;
const AFTER_FAILURE: Duration = Duration::from_millis(20);

#[derive(Clone, Debug)]
struct Known {
    code: String,
    target: String,
    since: Instant,
}

/// What clients and the one who breaks things share.
#[derive(Debug)]
pub struct Scene {
    known_for: Duration,
    /// In the order of their acknowledgement.
    links: RwLock<Vec<Known>>,
    addrs: Vec<RwLock<SocketAddr>>,
    act: AtomicUsize,
    names: RwLock<Vec<String>>,
    /// Since when nodes learn nothing new.
    dark_since: RwLock<Option<Instant>>,
    /// Failures are counted and are none of anybody's concern.
    lenient: AtomicBool,
    began: Instant,
    stop: AtomicBool,
}

/// How the clients behave.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub clickers_a_node: usize,
    pub creators_a_node: usize,
    /// Of a thousand clicks, those of the links that were made last.
    pub recent: u64,
    pub click_pause: Duration,
    pub create_pause: Duration,
    /// Nodes are killed: connections break.
    pub may_break: bool,
    /// Creates may be refused with 503 and Retry-After.
    pub may_refuse: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            clickers_a_node: 2,
            creators_a_node: 1,
            recent: 300,
            click_pause: Duration::from_millis(3),
            create_pause: Duration::from_millis(25),
            may_break: false,
            may_refuse: false,
        }
    }
}

/// What was measured during one act.
#[derive(Clone, Debug, Default)]
pub struct Act {
    pub click_us: Vec<u32>,
    pub created_us: Vec<u32>,
    pub refused_us: Vec<u32>,
    /// Of the refused, those whose outcome is not known.
    pub unsure: u32,
    /// While failures were allowed.
    pub clicks_failed: u32,
    pub creates_failed: u32,
}

/// What was seen in one second of the scene.
#[derive(Clone, Debug, Default)]
pub struct Second {
    pub click_us: Vec<u32>,
    pub created: u32,
    pub refused: u32,
    pub clicks_failed: u32,
    pub creates_failed: u32,
}

/// What all clients saw.
#[derive(Debug, Default)]
pub struct Seen {
    pub ledger: Ledger,
    pub acts: Vec<(String, Act)>,
    pub seconds: Vec<Second>,
    pub failures: Vec<String>,
    /// What failed while that was allowed: the first ones of each client.
    pub allowed: Vec<String>,
}

/// Of what failed while it was allowed, a client remembers so many.
const ALLOWED_MAX: usize = 3;

impl Scene {
    /// With so many links, made on the first node and seen on all.
    pub fn set(nodes: &[Node], links: usize, known_for: Duration, ledger: &mut Ledger) -> Result<Self, FleetError> {
        Self::at(&nodes.iter().map(Node::addr).collect::<Vec<_>>(), links, known_for, ledger)
    }

    /// As [`Scene::set`], wherever the clients are to go.
    pub fn at(addrs: &[SocketAddr], links: usize, known_for: Duration, ledger: &mut Ledger) -> Result<Self, FleetError> {
        let scene = Self {
            known_for,
            links: RwLock::default(),
            addrs: addrs.iter().copied().map(RwLock::new).collect(),
            act: AtomicUsize::new(0),
            names: RwLock::new(vec!["calm".to_owned()]),
            dark_since: RwLock::default(),
            lenient: AtomicBool::new(false),
            began: Instant::now(),
            stop: AtomicBool::new(false),
        };
        for at in 0..links {
            let (code, target) = (format!("shared-{at}"), format!("https://lab.example/shared/{at}"));
            let body = json!({ "url": target, "custom_code": code }).to_string();
            make(scene.addr(0), &code, &body)?;
            ledger.made(&code, &target);
            scene.learn(&code, &target);
        }
        thread::sleep(known_for);
        Ok(scene)
    }

    /// What is measured from now on belongs to this act.
    pub fn act(&self, name: &str) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        names.push(name.to_owned());
        self.act.store(names.len() - 1, Relaxed);
    }

    /// From now on failures are counted and not told, or told again.
    pub fn allow_failures(&self, allow: bool) {
        self.lenient.store(allow, Relaxed);
    }

    /// Since the scene was set.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub fn darken(&self) {
        *self.dark_since.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub fn lighten(&self) {
        *self.dark_since.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub fn place(&self, at: usize, addr: SocketAddr) {
        *self.addrs[at].write().unwrap_or_else(PoisonError::into_inner) = addr;
    }

    /// Runs `play` while the clients are at work.
    pub fn run<T>(&self, manner: Manner, seed: u64, play: impl FnOnce() -> T) -> (T, Seen) {
        let mut seen = Seen::default();
        let played = thread::scope(|scope| {
            let mut clients = Vec::new();
            for at in 0..self.addrs.len() {
                for number in 0..manner.clickers_a_node + manner.creators_a_node {
                    let mut client = Client::new(self, at, number, manner, seed);
                    clients.push(scope.spawn(move || {
                        client.work(number >= manner.clickers_a_node);
                        client
                    }));
                }
            }
            let played = play();
            self.stop.store(true, Relaxed);
            for client in clients {
                match client.join() {
                    Ok(client) => seen.add(client),
                    Err(_) => seen.failures.push("a client panicked".to_owned()),
                }
            }
            played
        });
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        seen.acts.resize_with(names.len(), Default::default);
        seen.acts.iter_mut().zip(names.iter()).for_each(|(act, name)| act.0.clone_from(name));
        (played, seen)
    }

    fn addr(&self, at: usize) -> SocketAddr {
        *self.addrs[at].read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A link that is there, to be clicked as one that was made now.
    pub fn learn(&self, code: &str, target: &str) {
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        links.push(Known { code: code.to_owned(), target: target.to_owned(), since: Instant::now() });
    }

    fn any(&self, dice: &mut Dice, recent: u64) -> Option<Known> {
        let dark = *self.dark_since.read().unwrap_or_else(PoisonError::into_inner);
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let until = dark.unwrap_or_else(Instant::now);
        let old = links.partition_point(|link| link.since + self.known_for <= until);
        let from = if dice.chance(recent) { old.saturating_sub(RECENT) } else { 0 };
        let span = (old - from) as u64;
        (span > 0).then(|| links[from + dice.below(span) as usize].clone())
    }
}

/// A database that a busy machine keeps silent for a moment is told by 503: then it is asked for again, under the same key.
fn make(addr: SocketAddr, code: &str, body: &str) -> Result<(), FleetError> {
    const TRIES: u32 = 20;
    let key = format!("scene-{code}");
    let keyed = [("Idempotency-Key", key.as_str())];
    for tried in 1.. {
        match fleet::ask(addr, &Request::post("/shorten", body).with(&keyed), 201) {
            Err(FleetError::Unexpected { status: 503 | 409, .. }) if tried < TRIES => thread::sleep(AFTER_FAILURE * tried),
            made => return made.map(|_| ()),
        }
    }
    Ok(())
}

impl Seen {
    fn add(&mut self, client: Client<'_>) {
        self.ledger.add(client.ledger);
        self.failures.extend(client.failures);
        self.allowed.extend(client.allowed);
        if self.seconds.len() < client.seconds.len() {
            self.seconds.resize_with(client.seconds.len(), Default::default);
        }
        for (mine, other) in self.seconds.iter_mut().zip(client.seconds) {
            mine.click_us.extend(other.click_us);
            mine.created += other.created;
            mine.refused += other.refused;
            mine.clicks_failed += other.clicks_failed;
            mine.creates_failed += other.creates_failed;
        }
        if self.acts.len() < client.acts.len() {
            self.acts.resize_with(client.acts.len(), Default::default);
        }
        for ((_, mine), other) in self.acts.iter_mut().zip(client.acts) {
            mine.click_us.extend(other.click_us);
            mine.created_us.extend(other.created_us);
            mine.refused_us.extend(other.refused_us);
            mine.unsure += other.unsure;
            mine.clicks_failed += other.clicks_failed;
            mine.creates_failed += other.creates_failed;
        }
    }

    /// Acts of one name, together.
    pub fn of(&self, name: &str) -> Act {
        let mut all = Act::default();
        for (_, act) in self.acts.iter().filter(|(own, _)| own == name) {
            all.click_us.extend(&act.click_us);
            all.created_us.extend(&act.created_us);
            all.refused_us.extend(&act.refused_us);
            all.unsure += act.unsure;
            all.clicks_failed += act.clicks_failed;
            all.creates_failed += act.creates_failed;
        }
        all
    }

    /// Of acts of this name.
    pub fn redirect_p99_ms(&self, name: &str) -> f64 {
        ms(&mut self.of(name).click_us, 990)
    }

    /// Notes the figures of acts of this name; that nobody was at work in one is a finding.
    pub fn note(&self, report: &mut Report, name: &str) {
        let mut act = self.of(name);
        report.note(&format!("{name}_redirects"), act.click_us.len());
        report.note(&format!("{name}_redirect_p50_ms"), ms(&mut act.click_us, 500));
        report.note(&format!("{name}_redirect_p99_ms"), ms(&mut act.click_us, 990));
        report.note(&format!("{name}_creates"), act.created_us.len());
        if !act.refused_us.is_empty() {
            report.note(&format!("{name}_creates_refused"), act.refused_us.len());
            report.note(&format!("{name}_creates_unsure"), act.unsure);
            report.note(&format!("{name}_refusal_p50_ms"), ms(&mut act.refused_us, 500));
            report.note(&format!("{name}_refusal_p99_ms"), ms(&mut act.refused_us, 990));
            report.note(&format!("{name}_refusal_max_ms"), ms(&mut act.refused_us, 1000));
        }
        if act.click_us.is_empty() {
            report.find(format!("{name}: nobody clicked"));
        }
    }
}

struct Client<'a> {
    scene: &'a Scene,
    at: usize,
    name: String,
    manner: Manner,
    dice: Dice,
    serial: u64,
    /// The last create is asked for once more.
    again: bool,
    connection: Option<(SocketAddr, Connection)>,
    ledger: Ledger,
    acts: Vec<Act>,
    seconds: Vec<Second>,
    failures: Vec<String>,
    allowed: Vec<String>,
}

/// What came of a request.
enum Told {
    Answered(Answer),
    /// It did not leave us.
    Unsent,
    Unanswered(Unanswered),
}

impl<'a> Client<'a> {
    fn new(scene: &'a Scene, at: usize, number: usize, manner: Manner, seed: u64) -> Self {
        Self {
            scene,
            at,
            name: format!("{at}-{number}"),
            manner,
            dice: Dice::new(seed, &[at as u64, number as u64]),
            serial: 0,
            again: false,
            connection: None,
            ledger: Ledger::default(),
            acts: Vec::new(),
            seconds: Vec::new(),
            failures: Vec::new(),
            allowed: Vec::new(),
        }
    }

    fn work(&mut self, creates: bool) {
        while !self.scene.stop.load(Relaxed) && self.failures.len() < FAILURES_MAX {
            if creates {
                self.create();
                thread::sleep(self.manner.create_pause);
            } else {
                self.click();
                thread::sleep(self.manner.click_pause);
            }
        }
    }

    fn ask(&mut self, request: &Request<'_>) -> Told {
        let addr = self.scene.addr(self.at);
        let kept = self.connection.take().filter(|(to, _)| *to == addr).map(|(_, connection)| connection);
        let Some(mut connection) = kept.or_else(|| Connection::open(addr).ok()) else {
            thread::sleep(AFTER_FAILURE);
            return Told::Unsent;
        };
        match connection.ask(request) {
            Ok(answer) => {
                if answer.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")) {
                    self.connection = Some((addr, connection));
                }
                Told::Answered(answer)
            }
            Err(error) => {
                thread::sleep(AFTER_FAILURE);
                Told::Unanswered(error)
            }
        }
    }

    fn now(&mut self) -> &mut Act {
        let act = self.scene.act.load(Relaxed);
        if self.acts.len() <= act {
            self.acts.resize_with(act + 1, Act::default);
        }
        &mut self.acts[act]
    }

    fn second(&mut self) -> &mut Second {
        let at = self.scene.began.elapsed().as_secs() as usize;
        if self.seconds.len() <= at {
            self.seconds.resize_with(at + 1, Second::default);
        }
        &mut self.seconds[at]
    }

    fn failed(&mut self, asked: &str, how: &str) {
        let is_create = u32::from(asked.starts_with("POST"));
        let second = self.second();
        second.creates_failed += is_create;
        second.clicks_failed += 1 - is_create;
        let act = self.scene.act.load(Relaxed);
        let names = self.scene.names.read().unwrap_or_else(PoisonError::into_inner);
        let what = format!("{}: node {}: {asked}: {how}", names[act], self.at + 1);
        if self.scene.lenient.load(Relaxed) {
            if self.allowed.len() < ALLOWED_MAX {
                self.allowed.push(what);
            }
            let now = self.now();
            now.creates_failed += is_create;
            now.clicks_failed += 1 - is_create;
        } else {
            self.failures.push(what);
        }
    }

    fn click(&mut self) {
        let Some(link) = self.scene.any(&mut self.dice, self.manner.recent) else { return };
        let path = format!("/{}", link.code);
        let began = Instant::now();
        match self.ask(&Request::get(&path)) {
            Told::Answered(answer) if answer.status == 302 && answer.header("location") == Some(&link.target) => {
                self.ledger.clicks(&link.code).sure += 1;
                let took = us(began);
                self.now().click_us.push(took);
                self.second().click_us.push(took);
            }
            Told::Answered(answer) => {
                let age = link.since.elapsed();
                self.failed(&format!("GET {path} ({age:?} old)"), &said(&answer));
            }
            Told::Unsent if self.manner.may_break => {}
            Told::Unsent => self.failed(&format!("GET {path}"), "no connection"),
            Told::Unanswered(error) => {
                self.ledger.clicks(&link.code).unknown += 1;
                if !self.manner.may_break {
                    self.failed(&format!("GET {path}"), &error.to_string());
                }
            }
        }
    }

    fn create(&mut self) {
        if !std::mem::take(&mut self.again) {
            self.serial += 1;
        }
        let target = format!("https://lab.example/{}/{}", self.name, self.serial);
        let body = json!({ "url": target }).to_string();
        // Every other one under a key of its own, until it is answered with a link: then there is one, whatever became of the attempts before.
        // On PostgreSQL that is a transaction with a COMMIT whose reply can be lost.
        let key = format!("{}-{}", self.name, self.serial);
        let keyed = [("Idempotency-Key", key.as_str())];
        let request = Request::post("/shorten", &body);
        let is_keyed = self.serial.is_multiple_of(2);
        let request = if is_keyed { request.with(&keyed) } else { request };
        let began = Instant::now();
        let asked = "POST /shorten";
        match self.ask(&request) {
            Told::Answered(answer) if answer.status == 201 => {
                let made = answer.json().unwrap_or_default();
                let Some(code) = made["short_code"].as_str() else { return self.failed(asked, "201 without a code") };
                self.ledger.made(code, &target);
                self.scene.learn(code, &target);
                self.now().created_us.push(us(began));
                self.second().created += 1;
            }
            // Nobody says whether its commit had happened when the database went away.
            Told::Answered(answer) if answer.status == 503 && self.manner.may_refuse => {
                self.ledger.creates_unknown += 1;
                if answer.header("retry-after").is_none() {
                    self.failed(asked, &format!("503 without Retry-After: {}", said(&answer)));
                }
                self.again = is_keyed;
                let is_unsure = answer.json().is_some_and(|problem| problem["code"] == "outcome_unknown");
                let act = self.now();
                act.refused_us.push(us(began));
                act.unsure += u32::from(is_unsure);
                self.second().refused += 1;
            }
            // What was left in doubt is still being worked on.
            Told::Answered(answer) if answer.status == 409 && is_keyed && self.manner.may_refuse => {
                self.ledger.creates_unknown += 1;
                self.again = true;
                let act = self.now();
                act.refused_us.push(us(began));
                act.unsure += 1;
                self.second().refused += 1;
            }
            Told::Answered(answer) => {
                self.ledger.creates_unknown += u64::from(answer.status >= 500);
                self.failed(asked, &said(&answer));
            }
            Told::Unsent if self.manner.may_break => {}
            Told::Unsent => self.failed(asked, "no connection"),
            Told::Unanswered(error) => {
                self.ledger.creates_unknown += 1;
                self.again = is_keyed;
                if !self.manner.may_break {
                    self.failed(asked, &error.to_string());
                }
            }
        }
    }
}

/// What so many per mille stay below.
fn ms(all: &mut [u32], share: usize) -> f64 {
    (f64::from(per_mille(all, share)) / 10.0).round() / 100.0
}

fn us(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX)
}

pub fn said(answer: &Answer) -> String {
    let body = String::from_utf8_lossy(answer.body.as_deref().unwrap_or_default()).into_owned();
    format!("{} (location {:?}) {body}", answer.status, answer.header("location"))
}
