//! Clients that create under an `Idempotency-Key`, one link or many, and send again until they are told, each time to a node of their choice:
//! after a lost answer, after a refusal, and now and then to two nodes at once.
//!
//! Promised: a key is settled by its first whole answer, and every whole answer for it is compared with that one, long after too. A first
//! answer that is a replay is the proof that a create was done and its answer lost. Refused: judging a refusal (409, 503) by more than its
//! shape; it says nothing about what was done.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{books::Ledger, client::Client, traffic::said};
use crate::{
    dice::Dice,
    http::{Answer, Request, Unanswered},
};

/// A client that has failed so often has shown what there is to show.
const FAILURES_MAX: usize = 10;
/// For one key to be settled: nodes die and come back meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE_MS_MAX: u64 = 40;
/// Whole answers to each key, at least: what the first one says, another node says too.
const HEARD: usize = 2;
/// Of the settled keys, a client goes on asking for so many.
const RECENT: usize = 64;
const BULK_LINKS_MAX: u64 = 20;

/// Per mille.
const BULK: u64 = 300;
const SPOILT: u64 = 300;
const TWINS: u64 = 300;
const OTHER_BODY: u64 = 250;
const LONG_AFTER: u64 = 200;

/// What clients and the one who breaks things share.
#[derive(Debug)]
pub struct Stage {
    /// Each node's, with a proxy on the way.
    pub doors: Vec<SocketAddr>,
    /// Without it every attempt is a create of its own.
    pub with_key: bool,
    /// Whose the links of bulk creates are.
    pub user_id: u64,
    pub settled: AtomicU64,
    /// Clients that have not given up.
    pub at_work: AtomicU64,
    pub stop: AtomicBool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Tally {
    pub keys: u64,
    pub bulks: u64,
    pub attempts: u64,
    pub twins: u64,
    /// Nothing came, or not all of the header.
    pub unanswered: u64,
    /// The header came, and not all of the body.
    pub cut_short: u64,
    pub in_flight: u64,
    pub refused: u64,
    /// Of the refused, those whose outcome is not known.
    pub unsure: u64,
    pub replays: u64,
    /// Keys that were done although nobody had been told.
    pub done_unheard: u64,
    pub other_bodies_refused: u64,
}

impl Tally {
    /// By name, as they are noted.
    pub fn figures(&self) -> [(&'static str, u64); 12] {
        [
            ("keys", self.keys),
            ("keys_of_bulk_creates", self.bulks),
            ("attempts", self.attempts),
            ("sent_to_two_nodes_at_once", self.twins),
            ("answers_lost", self.unanswered),
            ("answers_cut_short", self.cut_short),
            ("told_in_flight", self.in_flight),
            ("refused", self.refused),
            ("refused_outcome_unknown", self.unsure),
            ("replays", self.replays),
            ("done_and_answer_lost", self.done_unheard),
            ("other_bodies_refused", self.other_bodies_refused),
        ]
    }

    pub fn add(&mut self, other: &Self) {
        let mine = [
            &mut self.keys,
            &mut self.bulks,
            &mut self.attempts,
            &mut self.twins,
            &mut self.unanswered,
            &mut self.cut_short,
            &mut self.in_flight,
            &mut self.refused,
            &mut self.unsure,
            &mut self.replays,
            &mut self.done_unheard,
            &mut self.other_bodies_refused,
        ];
        mine.into_iter().zip(other.figures()).for_each(|(sum, (_, figure))| *sum += figure);
    }
}

/// A create, and what it was answered.
#[derive(Debug)]
struct Order {
    key: String,
    path: &'static str,
    body: String,
    /// Of the links that it makes.
    targets: Vec<String>,
    status: u16,
    first: Option<Vec<u8>>,
}

#[derive(Debug)]
pub struct KeyedClient {
    nodes: Vec<Client>,
    number: u64,
    dice: Dice,
    serial: u64,
    recent: VecDeque<Order>,
    pub tally: Tally,
    pub ledger: Ledger,
    pub failures: Vec<String>,
}

impl KeyedClient {
    pub fn new(stage: &Stage, number: u64, seed: u64) -> Self {
        // Some keep their connections.
        let node = |door: &SocketAddr| Client::new(*door, number, number.is_multiple_of(3));
        Self {
            nodes: stage.doors.iter().map(node).collect(),
            number,
            dice: Dice::new(seed, &[number]),
            serial: 0,
            recent: VecDeque::new(),
            tally: Tally::default(),
            ledger: Ledger::default(),
            failures: Vec::new(),
        }
    }

    pub fn run(mut self, stage: &Stage) -> Self {
        while !stage.stop.load(Relaxed) && self.failures.len() < FAILURES_MAX {
            self.create(stage);
            if self.dice.chance(LONG_AFTER) && !self.recent.is_empty() {
                let mut old = self.recent.remove(self.dice.below(self.recent.len() as u64) as usize);
                old.iter_mut().for_each(|order| drop(self.attempt(stage, order)));
                self.recent.extend(old);
            }
        }
        stage.at_work.fetch_sub(1, Relaxed);
        self
    }

    /// All is well again, and everything is asked for once more, of every node.
    pub fn confirm(&mut self, stage: &Stage) {
        for mut order in std::mem::take(&mut self.recent) {
            for at in 0..self.nodes.len() {
                let answer = self.ask(stage, &order, at);
                match self.judge(&mut order, answer) {
                    Some(is_replay) if is_replay || !stage.with_key => {}
                    Some(_) => self.failed(&order, "it was done again"),
                    None => self.failed(&order, "it is not answered although all is well"),
                }
            }
        }
    }

    fn create(&mut self, stage: &Stage) {
        let mut order = self.compose(stage);
        let until = Instant::now() + PATIENCE;
        let (mut heard, failures) = (0, self.failures.len());
        while heard < HEARD {
            let was_told = order.first.is_some();
            let answers = self.attempt(stage, &mut order);
            if !was_told && !answers.is_empty() && answers.iter().all(|is_replay| *is_replay) {
                self.tally.done_unheard += 1;
            }
            heard += answers.len();
            if self.failures.len() > failures {
                return;
            }
            if answers.is_empty() {
                if Instant::now() > until {
                    return self.failed(&order, &format!("not settled within {PATIENCE:?}"));
                }
                thread::sleep(Duration::from_millis(self.dice.below(PAUSE_MS_MAX)));
            }
        }
        self.tally.keys += 1;
        self.tally.bulks += u64::from(order.path == "/urls/bulk");
        stage.settled.fetch_add(1, Relaxed);
        if stage.with_key && self.dice.chance(OTHER_BODY) {
            self.misuse(stage, &order);
        }
        self.recent.push_back(order);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    fn compose(&mut self, stage: &Stage) -> Order {
        self.serial += 1;
        let key = format!("p23-{}-{}", self.number, self.serial);
        let target = |at: u64| format!("https://p23.example/{}/{}/{at}", self.number, self.serial);
        if !self.dice.chance(BULK) {
            let targets = vec![target(0)];
            let body = json!({ "url": targets[0] }).to_string();
            return Order { key, path: "/shorten", body, targets, status: 201, first: None };
        }
        let targets: Vec<String> = (0..self.dice.between(1, BULK_LINKS_MAX)).map(target).collect();
        let row = |target: &str| json!({ "user_id": stage.user_id, "original_url": target });
        let mut rows: Vec<Value> = targets.iter().map(|target| row(target)).collect();
        let is_spoilt = self.dice.chance(SPOILT);
        if is_spoilt {
            rows.insert(self.dice.below(rows.len() as u64) as usize, row("nonsense"));
        }
        let status = if is_spoilt { 207 } else { 201 };
        Order { key, path: "/urls/bulk", body: Value::from(rows).to_string(), targets, status, first: None }
    }

    /// Sent once, or to two nodes at once. Of every whole answer: whether it was a replay.
    fn attempt(&mut self, stage: &Stage, order: &mut Order) -> Vec<bool> {
        let at = self.dice.below(self.nodes.len() as u64) as usize;
        if !self.dice.chance(TWINS) || self.nodes.len() < 2 {
            let answer = self.ask(stage, order, at);
            return self.judge(order, answer).into_iter().collect();
        }
        self.tally.twins += 1;
        self.tally.attempts += 2;
        let other = (at + 1) % self.nodes.len();
        let headers = [("Idempotency-Key", order.key.as_str())];
        let request = request(stage, order, &headers);
        let both = self.nodes.iter_mut().enumerate().filter(|(node, _)| [at, other].contains(node));
        let answers: Vec<_> = thread::scope(|scope| {
            let asked: Vec<_> = both.map(|(_, node)| scope.spawn(|| node.ask(&request))).collect();
            asked.into_iter().map(|asked| asked.join().unwrap_or(Err(Unanswered::Closed))).collect()
        });
        answers.into_iter().filter_map(|answer| self.judge(order, answer)).collect()
    }

    fn ask(&mut self, stage: &Stage, order: &Order, at: usize) -> Result<Answer, Unanswered> {
        self.tally.attempts += 1;
        self.nodes[at].ask(&request(stage, order, &[("Idempotency-Key", order.key.as_str())]))
    }

    /// Whether it was a replay; `None`: it was no answer to rely on.
    fn judge(&mut self, order: &mut Order, answer: Result<Answer, Unanswered>) -> Option<bool> {
        let Ok(answer) = answer else {
            self.tally.unanswered += 1;
            return None;
        };
        let Some(body) = &answer.body else {
            self.tally.cut_short += 1;
            return None;
        };
        if self.is_refusal(order, &answer) {
            return None;
        }
        if answer.status != order.status {
            self.failed(order, &format!("it should be {}: {}", order.status, said(&answer)));
            return None;
        }
        let is_replay = answer.header("idempotent-replayed").is_some();
        self.tally.replays += u64::from(is_replay);
        match &order.first {
            Some(first) if first != body => {
                let first = String::from_utf8_lossy(first).into_owned();
                self.failed(order, &format!("two answers: {first} and {}", said(&answer)));
            }
            Some(_) => {}
            None => {
                order.first = Some(body.clone());
                self.book(order, &answer);
            }
        }
        Some(is_replay)
    }

    /// Something is wrong or under way, and it may be tried again.
    fn is_refusal(&mut self, order: &Order, answer: &Answer) -> bool {
        let problem = answer.json().unwrap_or_default();
        match (answer.status, problem["code"].as_str()) {
            (409, Some("idempotency_in_flight")) => self.tally.in_flight += 1,
            (503, code) => {
                self.tally.refused += 1;
                self.tally.unsure += u64::from(code == Some("outcome_unknown"));
            }
            _ => return false,
        }
        if answer.header("retry-after").is_none() {
            self.failed(order, &format!("no Retry-After: {}", said(answer)));
        }
        true
    }

    fn book(&mut self, order: &Order, answer: &Answer) {
        let said_all = answer.json().unwrap_or_default();
        let links: Vec<&Value> = match said_all["results"].as_array() {
            Some(results) => results.iter().map(|result| &result["url"]).filter(|link| link.is_object()).collect(),
            None => vec![&said_all],
        };
        let made: Vec<_> =
            links.iter().filter_map(|link| Some((link["short_code"].as_str()?, link["original_url"].as_str()?))).collect();
        if !made.iter().map(|(_, target)| *target).eq(order.targets.iter().map(String::as_str)) {
            return self.failed(order, &format!("other links than were asked for: {}", said(answer)));
        }
        made.into_iter().for_each(|(code, target)| self.ledger.made(code, target));
    }

    /// Something else under a key that is settled.
    fn misuse(&mut self, stage: &Stage, order: &Order) {
        let mut other = self.compose(stage);
        other.key.clone_from(&order.key);
        let at = self.dice.below(self.nodes.len() as u64) as usize;
        let Ok(answer) = self.ask(stage, &other, at) else {
            self.tally.unanswered += 1;
            return;
        };
        // A status is enough: its body may be cut off.
        if answer.status == 422 {
            self.tally.other_bodies_refused += 1;
            if answer.json().is_some_and(|problem| problem["code"] != "idempotency_key_reused") {
                self.failed(&other, &said(&answer));
            }
        } else if answer.body.is_none() && answer.status >= 400 {
            self.tally.cut_short += 1;
        } else if !self.is_refusal(&other, &answer) {
            self.failed(&other, &format!("something else under one key: {}", said(&answer)));
        }
    }

    fn failed(&mut self, order: &Order, how: &str) {
        self.failures.push(format!("POST {} under {}: {how}", order.path, order.key));
    }
}

fn request<'a>(stage: &Stage, order: &'a Order, headers: &'a [(&'a str, &'a str)]) -> Request<'a> {
    let request = Request::post(order.path, &order.body);
    if stage.with_key { request.with(headers) } else { request }
}
