//! One story: a fleet, what its clients do and what befalls it, all of it from one seed. At the end everything heals, and the books are closed.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Duration,
};

use knurl::{clicks::audit::audit_on, config::Durability};
use knurl_core::{LinkId, ShortCode, link::DEFAULT_DOMAIN, target::Target};
use knurl_spool::sim::{Dice, Fault, Strikes};
use knurl_store::{
    Store,
    sqlite::{SqliteOptions, SqliteStore},
};
use tokio::time::{Instant, sleep};

use super::{
    books::{Checked, Shown},
    broken::Broken,
    lockstep::{Lockstep, NOBODY, at_once},
    node::{Life, Node, Platters, Quick},
    shared_cache::{CacheFaults, SharedCache},
    trace::{Trace, note, wrong},
    world::{Away, Faults, World},
};

const NODES: usize = 3;
const CODES: u64 = 8;
/// Things that happen in a story.
const EVENTS: u64 = 120;
/// After everything has healed: the longest pauses, deadlines and bounds together.
const SETTLE: Duration = Duration::from_secs(15);

/// How a story went.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    pub(crate) hash: String,
    pub(crate) lines: u64,
    pub(crate) checked: Checked,
    pub(crate) wrong: Vec<String>,
    pub(crate) tail: String,
}

/// `kept`: lines of its end that are shown.
pub(crate) fn tell(seed: u64, broken: Option<Broken>, kept: usize) -> Outcome {
    knurl::chance::seed_this_thread(seed);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).max_blocking_threads(1).build().unwrap();
    let dir = scratch();
    let trace = runtime.block_on(async { Trace::new(kept) });
    let told = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let mut fleet = Fleet::new(seed, &trace, dir.path(), broken);
            fleet.live().await;
            fleet.close().await
        })
    }));
    if told.is_err() {
        wrong!(trace, "it panicked, as said above");
    }
    let (hash, lines, wrong, tail) = (trace.hash(), trace.lines(), trace.found(), trace.tail());
    Outcome { seed, hash, lines, checked: told.unwrap_or_default(), wrong, tail }
}

/// In memory, where the system has such a place: nothing here waits for a disk.
fn scratch() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

struct Fleet {
    dice: Dice,
    lockstep: Lockstep,
    trace: Trace,
    world: World,
    cache: SharedCache,
    nodes: Vec<Node>,
    disks: Vec<Platters>,
    /// Which disk is in which node.
    put_in: Vec<usize>,
    targets: u64,
    /// A story in which little goes wrong: there the bounds have something to say.
    is_calm: bool,
}

impl Fleet {
    fn new(seed: u64, trace: &Trace, dir: &Path, broken: Option<Broken>) -> Self {
        let mut dice = Dice::new(seed);
        let (trace, lockstep) = (trace.clone(), Lockstep::new(dice.roll()));
        let sqlite = SqliteStore::open(&dir.join("knurl.db"), &SqliteOptions::default()).unwrap();
        let world = World::new(sqlite, dice.roll(), &trace, lockstep.spawner(), broken);
        let cache = SharedCache::new(dice.roll(), &trace, lockstep.spawner(), broken);
        let node = |number: usize, power: bool| {
            let dir = dir.join(format!("n{number}"));
            std::fs::create_dir(&dir).unwrap();
            let durability = if power { Durability::Power } else { Durability::Process };
            // The last one has no copy: it lives on the tiers that nodes share.
            Node::new(number, &dir, number + 1 < NODES, durability)
        };
        let is_calm = dice.chance(50);
        let nodes = (0..NODES).map(|number| node(number, dice.chance(40))).collect();
        let disks = (0..NODES).map(|number| Platters::new(number, dice.roll())).collect();
        Self { dice, lockstep, trace, world, cache, nodes, disks, put_in: (0..NODES).collect(), targets: 0, is_calm }
    }

    async fn live(&mut self) {
        (0..NODES).for_each(|node| self.boot(node));
        self.pass(2_000).await;
        for event in 0..EVENTS {
            self.event(event);
            let longest = [1, 20, 400, 2_000, 7_000][[0, 0, 1, 1, 1, 2, 2, 2, 3, 4][self.dice.below(10) as usize]];
            let ms = self.dice.below(longest);
            self.pass(ms).await;
            if !self.trace.found().is_empty() {
                return;
            }
        }
    }

    async fn pass(&mut self, ms: u64) {
        self.lockstep.run_until(Instant::now() + Duration::from_millis(ms)).await;
        for node in self.lockstep.exited() {
            note!(self.trace, "n{node} ends itself");
            self.buried(node, false);
            self.boot(node);
        }
    }

    fn event(&mut self, event: u64) {
        let what = self.dice.below(100);
        match what {
            _ if self.is_calm && (56..80).contains(&what) && self.dice.chance(80) => self.visits(),
            // The first ones make the links.
            _ if event < 6 => self.create(),
            0..30 => self.visits(),
            30..35 => self.create(),
            35..53 => self.edit(),
            53..56 => self.delete(),
            56..60 => self.kill(),
            60..62 => self.lose_power(),
            62..66 => self.part(),
            66..69 => self.fault("away", |faults, away, _| faults.away = Some(away)),
            69..72 => self.fault("slow", |faults, _, dice| faults.slow_ms = 1 << dice.below(10)),
            72..74 => self.fault("requests lost", |faults, _, dice| faults.requests_lost = 10 + dice.below(50)),
            74..77 => self.fault("replies lost", |faults, _, dice| faults.replies_lost = 10 + dice.below(50)),
            77..80 => self.fault("notices lost", |faults, _, dice| {
                (faults.notices_lost, faults.notices_doubled) = (50 + dice.below(51), dice.below(100));
            }),
            80..90 => self.heal(),
            90..94 => self.cache_event(),
            94..96 => self.disk_fault(),
            96..98 => self.step_clock(),
            _ => self.swap_disks(),
        }
    }

    // -- clients ----------------------------------------------------------------------------------------------------------------

    fn visits(&mut self) {
        let count = [1, 3, 10, 30][self.dice.below(4) as usize];
        for _ in 0..count {
            let code = self.code();
            let at = self.dice.below(50);
            self.with_life(move |life| {
                Box::pin(async move {
                    sleep(Duration::from_millis(at)).await;
                    life.visit(code).await;
                })
            });
        }
    }

    fn create(&mut self) {
        let (code, target) = (self.code(), self.target());
        self.with_life(|life| Box::pin(life.create(code, target)));
    }

    fn edit(&mut self) {
        let (code, is_active) = (self.code(), self.dice.chance(75));
        let Some(id) = self.id_of(&code) else { return };
        for _ in 0..=self.dice.below(3) / 2 {
            let (code, target) = (code.clone(), self.target());
            self.with_life(|life| Box::pin(life.edit(code, id, target, is_active)));
        }
    }

    fn delete(&mut self) {
        let code = self.code();
        let Some(id) = self.id_of(&code) else { return };
        self.with_life(|life| Box::pin(life.delete(code, id)));
    }

    /// On any node that stands.
    fn with_life(&mut self, act: impl FnOnce(Life) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) {
        let node = self.dice.below(NODES as u64) as usize;
        let life = self.nodes[node].life.lock().unwrap().clone();
        if let Some(life) = life {
            self.world.spawner.spawn(node, act(life));
        }
    }

    fn code(&mut self) -> ShortCode {
        ShortCode::parse(&format!("c{}", self.dice.below(CODES))).unwrap()
    }

    /// No two the same: what a visitor gets says which version it is of.
    fn target(&mut self) -> Target {
        self.targets += 1;
        Target::verbatim(&format!("https://t.example/{}", self.targets)).unwrap()
    }

    fn id_of(&self, code: &ShortCode) -> Option<LinkId> {
        at_once(self.world.sqlite.link_by_code(DEFAULT_DOMAIN, code)).unwrap().map(|link| link.id)
    }

    // -- what befalls it --------------------------------------------------------------------------------------------------------

    fn boot(&mut self, node: usize) {
        let quick = Quick(Duration::from_millis(10 + self.dice.below(60)));
        let disk = &self.disks[self.put_in[node]];
        disk.now.heal();
        self.nodes[node].boot(&self.world, &self.cache, disk, quick);
    }

    fn buried(&mut self, node: usize, forgets: bool) {
        self.lockstep.kill(node);
        self.cache.gone(node);
        *self.nodes[node].life.lock().unwrap() = None;
        self.world.books.died(node, forgets);
        self.world.books.process_lost(self.put_in[node]);
    }

    fn kill(&mut self) {
        let node = self.dice.below(NODES as u64) as usize;
        note!(self.trace, "n{node} is killed");
        self.buried(node, false);
        self.boot(node);
    }

    fn lose_power(&mut self) {
        let node = self.dice.below(NODES as u64) as usize;
        let (seed, copy) = (self.dice.roll(), self.dice.below(4));
        note!(self.trace, "n{node} loses power ({copy})");
        self.buried(node, true);
        let disk = self.put_in[node];
        self.world.books.power_lost(disk);
        self.disks[disk].power_lost(seed, self.world.broken == Some(Broken::SyncIsALie));
        self.spoil_copy(node, copy);
        self.boot(node);
    }

    /// What a disk may do to the replica with the power.
    fn spoil_copy(&mut self, node: usize, how: u64) {
        let path = self.nodes[node].replica_path();
        let Ok(mut bytes) = std::fs::read(&path) else { return };
        match how {
            0 => std::fs::remove_file(&path).unwrap(),
            1 => {
                let at = self.dice.below(bytes.len() as u64) as usize;
                let end = (at + 512).min(bytes.len());
                bytes[at..end].fill(0);
                std::fs::write(&path, bytes).unwrap();
            }
            _ => {}
        }
    }

    fn part(&mut self) {
        let (node, away) = (self.dice.below(NODES as u64) as usize, self.away());
        note!(self.trace, "n{node} is parted from the database, which {away:?}");
        self.world.with_faults(|faults| faults.apart.insert(node, away));
        self.tell_books();
    }

    fn fault(&mut self, name: &str, make: impl FnOnce(&mut Faults, Away, &mut Dice)) {
        let away = self.away();
        let mut dice = Dice::new(self.dice.roll());
        self.world.with_faults(|faults| make(faults, away, &mut dice));
        note!(self.trace, "fault {name}: {:?}", self.world.with_faults(|faults| faults.clone()));
        self.tell_books();
    }

    fn away(&mut self) -> Away {
        if self.dice.chance(60) { Away::Refuses } else { Away::Hangs }
    }

    fn heal(&mut self) {
        note!(self.trace, "all is well");
        self.world.with_faults(|faults| *faults = Faults::default());
        self.cache.with_faults(|faults| *faults = CacheFaults::default());
        self.tell_books();
    }

    fn tell_books(&self) {
        for node in 0..NODES {
            let (is_well, is_notified) = self.world.with_faults(|faults| (faults.is_well(node), faults.notices_lost == 0));
            self.world.books.reaches(node, is_well, is_notified);
        }
    }

    fn cache_event(&mut self) {
        let (what, amount) = (self.dice.below(6), self.dice.below(60));
        note!(self.trace, "cache event {what} {amount}");
        match what {
            0 => self.cache.flush(),
            1 => self.cache.with_faults(|faults| faults.down = true),
            2 => self.cache.with_faults(|faults| faults.slow_ms = amount / 4),
            3 => self.cache.with_faults(|faults| faults.lost = amount),
            4 => self.cache.dump(),
            _ => self.cache.restart_from_dump(),
        }
    }

    fn disk_fault(&mut self) {
        let node = self.dice.below(NODES as u64) as usize;
        let fault = [Fault::FailedSync, Fault::NoSpace, Fault::Io, Fault::ShortWrite][self.dice.below(4) as usize];
        let nth = 1 + self.dice.below(6);
        note!(self.trace, "disk of n{node}: {fault:?} strikes the {nth}. time");
        self.disks[self.put_in[node]].now.fail(fault, Strikes::Once, nth);
    }

    fn step_clock(&mut self) {
        let node = self.dice.below(NODES as u64) as usize;
        let off = [0, 3_600_000, -3_600_000, 86_400_000, -86_400_000, 90_000][self.dice.below(6) as usize];
        note!(self.trace, "clock of n{node} is off by {off} ms");
        *self.nodes[node].clock_off.lock().unwrap() = off;
    }

    fn swap_disks(&mut self) {
        let one = self.dice.below(NODES as u64) as usize;
        let other = (one + 1) % NODES;
        note!(self.trace, "n{one} and n{other} are killed and get each other's disk");
        self.buried(one, false);
        self.buried(other, false);
        self.put_in.swap(one, other);
        self.boot(one);
        self.boot(other);
    }

    // -- the end ----------------------------------------------------------------------------------------------------------------

    async fn close(mut self) -> Checked {
        if self.trace.found().is_empty() {
            self.heal();
            self.disks.iter().for_each(|disk| disk.now.heal());
            self.pass(SETTLE.as_millis() as u64).await;
            self.agree().await;
            self.pass(5_000).await;
            self.balance();
        }
        for node in 0..NODES {
            self.lockstep.kill(node);
            *self.nodes[node].life.lock().unwrap() = None;
            // It holds the node's resolver, which holds it: thousands of stories are told in one process.
            self.cache.gone(node);
        }
        self.lockstep.kill(NOBODY);
        let sqlite = self.world.sqlite.clone();
        at_once(Store::close(&sqlite));
        self.world.books.checked()
    }

    /// Every node answers every code as the database has it.
    async fn agree(&mut self) {
        for node in 0..NODES {
            let Some(life) = self.nodes[node].life.lock().unwrap().clone() else {
                wrong!(self.trace, "n{node} does not stand although all is well");
                continue;
            };
            for n in 0..CODES {
                let code = ShortCode::parse(&format!("c{n}")).unwrap();
                let (life, trace, books) = (life.clone(), self.trace.clone(), self.world.books.clone());
                self.world.spawner.spawn(node, async move {
                    let got = life.resolver.resolve(&code, life.now()).await;
                    let shown = got.map(|link| match link {
                        None => Shown::Nothing,
                        Some(link) => Shown::Link { target: link.target().to_owned(), is_active: link.is_active },
                    });
                    let newest = books.newest(code.as_str());
                    note!(trace, "n{node} has {} as {shown:?}", code.as_str());
                    if shown.as_ref().ok() != Some(&newest) {
                        wrong!(trace, "n{node} shows {shown:?} of {} in the end, and the database has {newest:?}", code.as_str());
                    }
                });
            }
            let panics = life.metrics.jobs.panics.get();
            if panics > 0 {
                wrong!(self.trace, "jobs of n{node} panicked {panics} times");
            }
        }
    }

    /// Everything that was answered is counted, once, and the product's own audit says so.
    fn balance(&mut self) {
        let delivered = self.world.books.settle();
        let ledger = at_once(self.world.sqlite.click_ledger()).unwrap();
        note!(self.trace, "in the end {ledger:?}");
        if ledger.raw != delivered || ledger.differences() != (0, 0) {
            wrong!(self.trace, "the database counts {ledger:?}, and {delivered} clicks were delivered");
        }
        for disk in &self.disks {
            let audit = at_once(audit_on(&self.world.sqlite, std::sync::Arc::new(disk.now.clone()))).unwrap();
            note!(self.trace, "audit of disk {}: {audit:?}", disk.number);
            if audit.backlog > 0 || (!audit.holds() && !disk.lost_power) {
                wrong!(self.trace, "the audit of disk {} says {audit:?}", disk.number);
            }
        }
    }
}
