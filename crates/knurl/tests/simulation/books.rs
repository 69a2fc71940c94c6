//! What was promised to whom, kept beside the product: every committed version of every link, what each node must know by now, every click.
//!
//! Promised: a broken promise is found when it happens, by arithmetic that shares nothing with the product's.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::trace::{Trace, wrong};

/// An edit is seen on every connected node so soon when notifications are lost (P-22) …
const POLLED_MS: u64 = 5_000;
/// … and so soon while they arrive, where 1 s is promised: nothing here is slow, and a look that comes by chance would hide one that was missed.
const NOTIFIED_MS: u64 = 300;
/// "No such code" may be remembered so long, and so long a look-up may have been under way before.
const ABSENT_MS: u64 = 10_000 + 3_000;

/// What a visitor gets to see of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Nothing,
    Link { target: String, is_active: bool },
}

#[derive(Clone, Debug)]
struct Version {
    number: i64,
    at_ms: u64,
    shown: Shown,
}

/// Below what a visit that begins now must not fall.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    node: usize,
    at_ms: u64,
    /// By the bound.
    due: i64,
    /// The feed has brought it to this node.
    seen: i64,
    /// Changed through this process.
    own: i64,
    /// The node has been connected for long.
    is_well: bool,
    keeps_copy: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    alive: bool,
    keeps_copy: bool,
    well_since: Option<u64>,
    notified_since: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Click {
    /// Not answered yet.
    Open,
    /// Answered, and lost with the power until the next fsync.
    Kept,
    Durable,
    /// The power took it before its fsync.
    Excused,
    Dropped,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    disk: usize,
    click: Click,
    delivered: u32,
}

#[derive(Clone)]
pub(crate) struct Books {
    trace: Trace,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    versions: BTreeMap<String, Vec<Version>>,
    nodes: BTreeMap<usize, Node>,
    seen: BTreeMap<(usize, String), i64>,
    own: BTreeMap<(usize, String), i64>,
    clicks: BTreeMap<u64, Entry>,
    cursors: BTreeMap<u128, u64>,
    checked: Checked,
}

/// How often a rule had something to say: a simulation that never gets there shows nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) visits: u64,
    pub(crate) due: u64,
    pub(crate) seen: u64,
    pub(crate) own: u64,
    pub(crate) kept_serving: u64,
    pub(crate) delivered: u64,
}

impl Checked {
    pub(crate) fn each(&self) -> [(&'static str, u64); 6] {
        let Self { visits, due, seen, own, kept_serving, delivered } = *self;
        let names = ["visits", "due", "seen", "own", "kept_serving", "delivered"];
        let mut figures = [visits, due, seen, own, kept_serving, delivered].into_iter();
        names.map(|name| (name, figures.next().unwrap_or_default()))
    }
}

impl std::ops::Add for Checked {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            visits: self.visits + more.visits,
            due: self.due + more.due,
            seen: self.seen + more.seen,
            own: self.own + more.own,
            kept_serving: self.kept_serving + more.kept_serving,
            delivered: self.delivered + more.delivered,
        }
    }
}

impl Books {
    pub(crate) fn new(trace: &Trace) -> Self {
        Self { trace: trace.clone(), inner: Arc::default() }
    }

    pub(crate) fn checked(&self) -> Checked {
        self.inner().checked
    }

    // -- nodes ------------------------------------------------------------------------------------------------------------------

    pub(crate) fn born(&self, node: usize, keeps_copy: bool) {
        self.inner().nodes.insert(node, Node { alive: true, keeps_copy, ..Node::default() });
    }

    /// `forgets`: what its feed had brought is gone, too.
    pub(crate) fn died(&self, node: usize, forgets: bool) {
        let mut inner = self.inner();
        let forgets = forgets || inner.nodes.get(&node).is_some_and(|node| !node.keeps_copy);
        inner.nodes.insert(node, Node::default());
        inner.own.retain(|(of, _), _| *of != node);
        if forgets {
            inner.seen.retain(|(of, _), _| *of != node);
        }
    }

    /// Whether it can reach the database as it should, and hears of changes.
    pub(crate) fn reaches(&self, node: usize, is_well: bool, is_notified: bool) {
        let now = self.trace.now_ms();
        let mut inner = self.inner();
        let Some(node) = inner.nodes.get_mut(&node).filter(|node| node.alive) else { return };
        node.well_since = is_well.then(|| node.well_since.unwrap_or(now));
        node.notified_since = (is_well && is_notified).then(|| node.notified_since.unwrap_or(now));
    }

    /// Its feed has brought this version, and it has been told.
    pub(crate) fn saw(&self, node: usize, code: &str, version: i64) {
        let mut inner = self.inner();
        let seen = inner.seen.entry((node, code.to_owned())).or_default();
        *seen = version.max(*seen);
    }

    /// Changed through it, and acknowledged.
    pub(crate) fn changed(&self, node: usize, code: &str, version: i64) {
        let mut inner = self.inner();
        let own = inner.own.entry((node, code.to_owned())).or_default();
        *own = version.max(*own);
    }

    // -- links ------------------------------------------------------------------------------------------------------------------

    pub(crate) fn committed(&self, code: &str, number: i64, shown: Shown) {
        let at_ms = self.trace.now_ms();
        self.inner().versions.entry(code.to_owned()).or_default().push(Version { number, at_ms, shown });
    }

    pub(crate) fn newest(&self, code: &str) -> Shown {
        let inner = self.inner();
        inner.versions.get(code).and_then(|versions| versions.last()).map_or(Shown::Nothing, |version| version.shown.clone())
    }

    pub(crate) fn visit_begins(&self, node: usize, code: &str) -> Floor {
        let now = self.trace.now_ms();
        let inner = self.inner();
        let at = inner.nodes.get(&node).copied().unwrap_or_default();
        let key = (node, code.to_owned());
        let due = |version: &&Version| {
            let Some(well) = at.well_since else { return false };
            let heard = at.notified_since.is_some_and(|since| since + POLLED_MS <= version.at_ms);
            let in_time = version.number > 1 && heard;
            version.at_ms.max(well) + if in_time { NOTIFIED_MS } else { POLLED_MS } <= now
        };
        Floor {
            node,
            at_ms: now,
            due: inner.versions.get(code).and_then(|all| all.iter().rfind(due)).map_or(0, |version| version.number),
            seen: inner.seen.get(&key).copied().unwrap_or_default(),
            own: inner.own.get(&key).copied().unwrap_or_default(),
            is_well: at.well_since.is_some_and(|since| since + POLLED_MS <= now),
            keeps_copy: at.keeps_copy,
        }
    }

    /// `None`: it was an error.
    pub(crate) fn visit_ends(&self, floor: &Floor, code: &str, got: Option<&Shown>) {
        let mut inner = self.inner();
        inner.checked.visits += 1;
        let node = floor.node;
        let Some(got) = got else {
            let well_all_along = floor.is_well && inner.nodes.get(&node).is_some_and(|node| node.well_since.is_some());
            // What is known to be outdated is not an answer.
            let is_at_hand = floor.keeps_copy && floor.seen > 0 && floor.own <= floor.seen;
            drop(inner);
            if well_all_along {
                wrong!(self.trace, "n{node} could not answer {code} although nothing is in its way");
            } else if is_at_hand {
                wrong!(self.trace, "n{node} could not answer {code}, which its copy has had in version {}", floor.seen);
            }
            return;
        };
        let versions = inner.versions.get(code).cloned().unwrap_or_default();
        let found = versions.iter().rfind(|version| version.shown == *got).map(|version| version.number);
        let Some(number) = found.or((*got == Shown::Nothing).then_some(0)) else {
            drop(inner);
            return wrong!(self.trace, "n{node} shows {got:?} of {code}, which was never committed");
        };
        inner.checked.due += u64::from(floor.due > 0);
        inner.checked.seen += u64::from(floor.seen > 0);
        inner.checked.own += u64::from(floor.own > 0);
        inner.checked.kept_serving += u64::from(!floor.is_well && floor.seen > 0 && number > 0);
        drop(inner);
        for (floor, why) in
            [(floor.due, "is due by the bound"), (floor.seen, "was brought by its feed before"), (floor.own, "was made through it")]
        {
            if number < floor {
                wrong!(self.trace, "n{node} shows version {number} of {code}, and version {floor} {why}");
            }
        }
        let first = versions.first().map_or(u64::MAX, |version| version.at_ms);
        if number == 0 && first.saturating_add(ABSENT_MS) <= floor.at_ms {
            wrong!(self.trace, "n{node} does not know {code}, which is there since {first}");
        }
    }

    // -- clicks -----------------------------------------------------------------------------------------------------------------

    /// A click's number.
    pub(crate) fn click(&self, disk: usize) -> u64 {
        let mut inner = self.inner();
        let number = inner.clicks.len() as u64 + 1;
        inner.clicks.insert(number, Entry { disk, click: Click::Open, delivered: 0 });
        number
    }

    pub(crate) fn recorded(&self, number: u64, is_kept: bool, is_durable: bool) {
        let mut inner = self.inner();
        let Some(entry) = inner.clicks.get_mut(&number) else { return };
        entry.click = match (is_kept, is_durable) {
            (false, _) => Click::Dropped,
            (true, false) => Click::Kept,
            (true, true) => Click::Durable,
        };
    }

    /// All that was answered from this disk is synced.
    pub(crate) fn synced(&self, disk: usize) {
        for entry in self.inner().clicks.values_mut().filter(|entry| entry.disk == disk) {
            if entry.click == Click::Kept {
                entry.click = Click::Durable;
            }
        }
    }

    /// The machine died: what was not synced may be gone.
    pub(crate) fn power_lost(&self, disk: usize) {
        self.excuse(disk, &[Click::Open, Click::Kept]);
    }

    /// The process died: an answer that had not left was none.
    pub(crate) fn process_lost(&self, disk: usize) {
        self.excuse(disk, &[Click::Open]);
    }

    fn excuse(&self, disk: usize, which: &[Click]) {
        for entry in self.inner().clicks.values_mut().filter(|entry| entry.disk == disk && which.contains(&entry.click)) {
            entry.click = Click::Excused;
        }
    }

    pub(crate) fn delivered(&self, clicks: &[u64]) {
        for number in clicks {
            let mut inner = self.inner();
            inner.checked.delivered += 1;
            let entry = inner.clicks.get_mut(number).map(|entry| {
                entry.delivered += 1;
                *entry
            });
            drop(inner);
            match entry {
                None => wrong!(self.trace, "click {number} was never made"),
                Some(Entry { delivered: 2.., .. }) => wrong!(self.trace, "click {number} is counted twice"),
                Some(Entry { click: Click::Dropped, .. }) => {
                    wrong!(self.trace, "click {number} was counted as dropped and is delivered");
                }
                Some(_) => {}
            }
        }
    }

    /// A spool's cursor stands here now.
    pub(crate) fn cursor(&self, spool: u128, seq: u64) {
        let before = self.inner().cursors.insert(spool, seq).unwrap_or(0);
        if seq < before {
            wrong!(self.trace, "a cursor went back from {before} to {seq}");
        }
    }

    /// Everything has had time to arrive. Returns how many must and did.
    pub(crate) fn settle(&self) -> u64 {
        let clicks = self.inner().clicks.clone();
        for (number, entry) in &clicks {
            if matches!(entry.click, Click::Kept | Click::Durable) && entry.delivered == 0 {
                wrong!(self.trace, "click {number} of disk {} was answered and is nowhere", entry.disk);
            }
        }
        clicks.values().filter(|entry| entry.delivered > 0).count() as u64
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
