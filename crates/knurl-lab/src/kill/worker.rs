//! A worker: one client that creates, changes, deletes and clicks until the server dies under it.
//!
//! Promised: every request is in the ledger before it is sent, and leaves it in doubt until its answer is read. A worker changes only its
//! own links, so that it knows what each must answer; links of the common set are clicked by all and changed by nobody.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use serde_json::{Value, json};

use super::{
    check::Finding,
    ledger::{Face, LinkEntry, LinkState, Tally},
};
use crate::{
    dice::Dice,
    http::{Answer, Connection, Request, Unanswered},
};

/// Clicks sent in one write, at most.
const PIPELINE_MAX: u64 = 8;
/// Links a worker goes on touching; older ones rest until the final check.
const RECENT: usize = 200;

/// What all workers of an epoch share.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) user_id: i64,
    /// Code and target of the links everybody clicks.
    pub(super) common: Arc<[(String, String)]>,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) links: Vec<LinkEntry>,
    /// Since the last look: positions in `links`.
    pub(super) touched: BTreeSet<usize>,
    pub(super) common_clicks: Vec<Tally>,
    pub(super) findings: Vec<Finding>,
    pub(super) requests: u64,
    name: String,
    serial: u64,
}

/// A click about to be sent.
#[derive(Clone, Copy)]
enum Aim {
    Common(usize),
    Own(usize),
}

impl Worker {
    pub(super) fn new(name: String, stage: &Stage) -> Self {
        Self {
            links: Vec::new(),
            touched: BTreeSet::new(),
            common_clicks: vec![Tally::default(); stage.common.len()],
            findings: Vec::new(),
            requests: 0,
            name,
            serial: 0,
        }
    }

    /// Until the connection breaks, or something is wrong.
    pub(super) fn run(&mut self, addr: SocketAddr, stage: &Stage, dice: &mut Dice) {
        // The server may be dead already: then there is nothing to know.
        let Ok(mut connection) = Connection::open(addr) else { return };
        while self.findings.is_empty() {
            let done = match dice.below(1000) {
                0..500 => self.click(&mut connection, stage, dice),
                500..800 => self.create(&mut connection, stage, dice),
                800..920 => self.update(&mut connection, dice),
                920..950 => self.delete(&mut connection, dice),
                _ => self.head(&mut connection, stage, dice),
            };
            if done.is_err() {
                return;
            }
        }
    }

    fn recent(&self, dice: &mut Dice) -> Option<usize> {
        let window = self.links.len().min(RECENT);
        (window > 0).then(|| self.links.len() - 1 - dice.below(window as u64) as usize)
    }

    fn ask(&mut self, connection: &mut Connection, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, Unanswered> {
        self.requests += 1;
        let body = body.map(ToString::to_string);
        connection.ask(&Request::of(method, path, body.as_deref()))
    }

    fn wrong(&mut self, asked: String, expected: &str, answer: &Answer) {
        let body = answer.body.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let location = answer.header("location").unwrap_or("-");
        let got = format!("{} (location {location}) {body}", answer.status);
        self.findings.push(Finding::WrongAnswer { asked, expected: expected.to_owned(), got });
    }

    fn create(&mut self, connection: &mut Connection, stage: &Stage, dice: &mut Dice) -> Result<(), Unanswered> {
        self.serial += 1;
        let tag = format!("https://kill.example/{}/{}", self.name, self.serial);
        let code = dice.chance(500).then(|| format!("{}-{}", self.name, self.serial));
        let short = dice.chance(300);
        let title = (!short).then(|| format!("link {}", self.serial));
        let mut body =
            if short { json!({ "url": tag }) } else { json!({ "user_id": stage.user_id, "original_url": tag, "title": title }) };
        if let Some(code) = &code {
            body["custom_code"] = json!(code);
        }
        let at = self.links.len();
        self.links.push(LinkEntry::asked_for(tag.clone(), code, Face { target: tag, title, is_active: true }));
        self.touched.insert(at);
        let answer = self.ask(connection, "POST", if short { "/shorten" } else { "/urls" }, Some(&body))?;
        if answer.status != 201 {
            self.wrong(format!("POST of a link {body}"), "201", &answer);
            return Ok(());
        }
        let entry = &mut self.links[at];
        entry.acknowledge();
        let Some(link) = answer.json() else { return Ok(()) };
        entry.id = link["id"].as_i64();
        entry.code = link["short_code"].as_str().map(str::to_owned);
        Ok(())
    }

    /// A link of ours in a known state, with its id.
    fn known(&self, dice: &mut Dice) -> Option<(usize, i64, Face)> {
        let at = self.recent(dice)?;
        let entry = &self.links[at];
        Some((at, entry.id?, entry.face()?.clone()))
    }

    fn update(&mut self, connection: &mut Connection, dice: &mut Dice) -> Result<(), Unanswered> {
        let Some((at, id, mut face)) = self.known(dice) else { return Ok(()) };
        self.serial += 1;
        let body = match dice.below(3) {
            0 => {
                face.target = format!("{}/moved/{}", self.links[at].tag, self.serial);
                json!({ "original_url": face.target })
            }
            1 => {
                face.title = Some(format!("renamed {}", self.serial));
                json!({ "title": face.title })
            }
            _ => {
                face.is_active = !face.is_active;
                json!({ "is_active": face.is_active })
            }
        };
        self.touched.insert(at);
        self.links[at].ask(LinkState::Present(face));
        let answer = self.ask(connection, "PUT", &format!("/urls/{id}"), Some(&body))?;
        if answer.status == 200 {
            self.links[at].acknowledge();
        } else {
            self.wrong(format!("PUT /urls/{id} {body}"), "200", &answer);
        }
        Ok(())
    }

    fn delete(&mut self, connection: &mut Connection, dice: &mut Dice) -> Result<(), Unanswered> {
        let Some((at, id, _)) = self.known(dice) else { return Ok(()) };
        self.touched.insert(at);
        self.links[at].ask(LinkState::Deleted);
        let answer = self.ask(connection, "DELETE", &format!("/urls/{id}"), None)?;
        if answer.status == 204 {
            self.links[at].acknowledge();
        } else {
            self.wrong(format!("DELETE /urls/{id}"), "204", &answer);
        }
        Ok(())
    }

    /// Answers, and is not a click.
    fn head(&mut self, connection: &mut Connection, stage: &Stage, dice: &mut Dice) -> Result<(), Unanswered> {
        let (code, _) = &stage.common[dice.below(stage.common.len() as u64) as usize];
        let path = format!("/{code}");
        let answer = self.ask(connection, "HEAD", &path, None)?;
        if answer.status != 302 {
            self.wrong(format!("HEAD {path}"), "302", &answer);
        }
        Ok(())
    }

    fn aim(&self, stage: &Stage, dice: &mut Dice) -> Aim {
        let own = self.recent(dice).filter(|&at| {
            let entry = &self.links[at];
            entry.code.is_some() && entry.known().is_some_and(|state| *state != LinkState::Absent)
        });
        match own {
            Some(at) if dice.chance(500) => Aim::Own(at),
            _ => Aim::Common(dice.below(stage.common.len() as u64) as usize),
        }
    }

    /// Where a click leads, `None` for nowhere; and its tally.
    fn expected<'a>(&'a mut self, stage: &'a Stage, aim: Aim) -> (Option<String>, &'a mut Tally) {
        match aim {
            Aim::Common(at) => (Some(stage.common[at].1.clone()), &mut self.common_clicks[at]),
            Aim::Own(at) => {
                let entry = &mut self.links[at];
                let target = entry.face().filter(|face| face.is_active).map(|face| face.target.clone());
                (target, &mut entry.clicks)
            }
        }
    }

    fn path(&self, stage: &Stage, aim: Aim) -> String {
        match aim {
            Aim::Common(at) => format!("/{}", stage.common[at].0),
            Aim::Own(at) => format!("/{}", self.links[at].code.as_deref().unwrap_or_default()),
        }
    }

    fn click(&mut self, connection: &mut Connection, stage: &Stage, dice: &mut Dice) -> Result<(), Unanswered> {
        let aims: Vec<Aim> = (0..dice.between(1, PIPELINE_MAX)).map(|_| self.aim(stage, dice)).collect();
        let paths: Vec<String> = aims.iter().map(|&aim| self.path(stage, aim)).collect();
        let requests: Vec<Request<'_>> = paths.iter().map(|path| Request::get(path)).collect();
        for &aim in &aims {
            if let Aim::Own(at) = aim {
                self.touched.insert(at);
            }
            let (target, tally) = self.expected(stage, aim);
            tally.unknown += u64::from(target.is_some());
        }
        self.requests += requests.len() as u64;
        connection.send(&requests)?;
        for (aim, path) in aims.into_iter().zip(&paths) {
            let answer = connection.receive(false)?;
            let (target, tally) = self.expected(stage, aim);
            match (&target, answer.status) {
                (Some(target), 302) if answer.header("location") == Some(target) => {
                    tally.unknown -= 1;
                    tally.sure += 1;
                }
                (None, 404) => {}
                _ => {
                    let expected = target.map_or("404".to_owned(), |target| format!("302 to {target}"));
                    self.wrong(format!("GET {path}"), &expected, &answer);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
