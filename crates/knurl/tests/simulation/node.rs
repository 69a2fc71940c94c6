//! A node: the real drain on the real spool, the real follower on the real replica file, the real tiers and every other real job, begun and
//! ended as a machine begins and ends them.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use knurl::{
    clicks::{self, Clicks, Hands, Recorded, Recorder},
    config::{Config, Durability},
    jobs::{self, Feeding, Needs},
    resolve::{Resolver, Tiers},
    telemetry::Metrics,
};
use knurl_core::{
    Click, LinkId, ShortCode, UnixMillis,
    click::Purpose,
    link::{Decision, Expected, LinkPatch, NewLink, RedirectStatus, decide},
    target::Target,
};
use knurl_spool::sim::{Dice, Image, Kept, Op, Platter, SimDisk};
use knurl_store::{Store, replica::Replica};
use tokio::time::{Instant, sleep};

use super::{books::Shown, feed::NodeFeed, shared_cache::SharedCache, store::NodeStore, trace::note, world::World};

/// Of a start that failed, until the supervisor tries again.
const RESTART: Duration = Duration::from_millis(500);
/// Wall clock at the beginning.
const BEGAN: i64 = 1_770_000_000_000;

/// A machine's disk of clicks; it may be moved to another node.
pub(crate) struct Platters {
    pub(crate) number: usize,
    pub(crate) now: SimDisk,
    /// What it held when the power last came back: the journal begins there.
    before: Image,
    /// The power was lost once: what its counters say of answers that had not left is nobody's promise.
    pub(crate) lost_power: bool,
}

impl Platters {
    pub(crate) fn new(number: usize, seed: u64) -> Self {
        Self { number, now: SimDisk::new(seed), before: Image::new(), lost_power: false }
    }

    /// The machine has died. (A process that dies leaves the page cache as it is.)
    pub(crate) fn power_lost(&mut self, seed: u64, sync_lies: bool) {
        let mut platter = Platter::new(&self.before);
        let journal = self.now.journal();
        journal.iter().filter(|op| !(sync_lies && matches!(op, Op::Sync { .. }))).for_each(|op| platter.apply(op));
        let mut dice = Dice::new(seed);
        let kept = [Kept::Nothing, Kept::Everything, Kept::Chance, Kept::Chance][dice.below(4) as usize];
        let image = platter.crash(kept, &mut dice);
        self.now = SimDisk::from_image(&image, seed);
        self.before = image;
        self.lost_power = true;
    }
}

/// What stays when it dies.
pub(crate) struct Node {
    pub(crate) number: usize,
    pub(crate) config: Config,
    pub(crate) dir: PathBuf,
    /// Milliseconds by which its clock is wrong.
    pub(crate) clock_off: Arc<Mutex<i64>>,
    pub(crate) life: Arc<Mutex<Option<Life>>>,
}

/// A running process.
#[derive(Clone)]
pub(crate) struct Life {
    node: usize,
    disk: usize,
    durability: Durability,
    world: World,
    store: Arc<dyn Store>,
    pub(crate) resolver: Resolver,
    recorder: Recorder,
    pub(crate) metrics: Arc<Metrics>,
    clock_off: Arc<Mutex<i64>>,
    /// The spool stays open as long as this.
    _clicks: Arc<Clicks>,
}

impl Node {
    pub(crate) fn new(number: usize, dir: &Path, keeps_copy: bool, durability: Durability) -> Self {
        let mut config = Config { data_dir: dir.to_owned(), replica: keeps_copy, ..Config::default() };
        config.clicks.segment_bytes = 8 << 10;
        config.clicks.segments_max = 12;
        config.clicks.drain_batch_rows = 16;
        config.clicks.full_wait = Duration::from_millis(50);
        config.clicks.durability = durability;
        // It clicks through a socket, and there is none.
        config.clicks.canary_interval = None;
        config.cache.bytes_max = 1 << 20;
        Self { number, config, dir: dir.to_owned(), clock_off: Arc::default(), life: Arc::default() }
    }

    pub(crate) fn replica_path(&self) -> PathBuf {
        self.dir.join("replica.db")
    }

    /// Begins: as an actor of its own, which tries until the process stands.
    pub(crate) fn boot(&self, world: &World, cache: &SharedCache, disk: &Platters, quick: Quick) {
        let boot = Boot {
            node: self.number,
            disk: disk.number,
            platters: disk.now.clone(),
            config: self.config.clone(),
            replica: self.config.replica.then(|| self.replica_path()),
            world: world.clone(),
            cache: cache.clone(),
            clock_off: Arc::clone(&self.clock_off),
            quick,
        };
        let life = Arc::clone(&self.life);
        let (spawner, trace, number) = (world.spawner.clone(), world.trace.clone(), self.number);
        spawner.spawn(number, async move {
            loop {
                match boot.begin().await {
                    Ok(begun) => {
                        note!(trace, "n{number} stands");
                        *life.lock().unwrap() = Some(begun);
                        return boot.reaches();
                    }
                    Err(error) => {
                        note!(trace, "n{number} cannot start: {error}");
                        sleep(RESTART).await;
                    }
                }
            }
        });
    }
}

/// How often the spool's hands have their turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quick(pub(crate) Duration);

struct Boot {
    node: usize,
    disk: usize,
    platters: SimDisk,
    config: Config,
    replica: Option<PathBuf>,
    world: World,
    cache: SharedCache,
    clock_off: Arc<Mutex<i64>>,
    quick: Quick,
}

impl Boot {
    async fn begin(&self) -> Result<Life, clicks::StartError> {
        let (node, world) = (self.node, &self.world);
        let (store, metrics) = (self.store(), Arc::new(Metrics::new()));
        let replica = match self.replica.clone() {
            None => None,
            Some(path) => {
                let now = Instant::now().into_std();
                tokio::task::spawn_blocking(move || Replica::open(&path, now)).await.ok()
            }
        };
        let cache = self.cache.of(node);
        let tiers = Tiers { replica: replica.clone(), shared: Some(Arc::new(cache.clone())), database: Arc::clone(&store) };
        let resolver = Resolver::over(tiers, &self.config.cache, Arc::clone(&metrics));
        let spawner = world.spawner.clone();
        let on_lost: clicks::OnLost = Arc::new(move || spawner.exit(node));
        let disk = Arc::new(self.platters.clone());
        let (clicks, hands) = clicks::open_on(disk, &self.config.clicks, Arc::clone(&store), Arc::clone(&metrics), on_lost).await?;
        cache.listen(&resolver);
        let needs = Needs {
            config: &self.config,
            clicks: &clicks,
            store: Arc::clone(&store),
            resolver: resolver.clone(),
            metrics: Arc::clone(&metrics),
            on_foreign_change: Arc::new(|| Box::pin(std::future::ready(Ok(())))),
            feeding: Some(Feeding { from: Arc::new(NodeFeed { world: world.clone(), node }), replica }),
            redis: None,
        };
        let clock = {
            let this = (world.clone(), Arc::clone(&self.clock_off));
            Arc::new(move || wall(&this.0, &this.1)) as jobs::Clock
        };
        for job in jobs::prepare(needs, &clock) {
            let (run, stop) = (job.run, job.stop);
            world.spawner.spawn(node, async move {
                // Nobody stops it: a machine is not asked.
                let _stop = stop;
                run.await;
            });
        }
        world.spawner.spawn_in_place(node, self.work(hands));
        // What an earlier life left is made durable before anything else.
        world.books.synced(self.disk);
        world.books.born(node, self.replica.is_some());
        Ok(Life {
            node,
            disk: self.disk,
            durability: self.config.clicks.durability,
            world: world.clone(),
            store,
            resolver,
            recorder: clicks.recorder.clone(),
            metrics,
            clock_off: Arc::clone(&self.clock_off),
            _clicks: Arc::new(clicks),
        })
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(NodeStore { world: self.world.clone(), node: self.node })
    }

    fn reaches(&self) {
        let (is_well, is_notified) = self.world.with_faults(|faults| (faults.is_well(self.node), faults.notices_lost == 0));
        self.world.books.reaches(self.node, is_well, is_notified);
    }

    /// In place of the spool's two threads.
    fn work(&self, mut hands: Hands) -> impl Future<Output = ()> + Send + use<> {
        let (world, disk, quick) = (self.world.clone(), self.disk, self.quick.0);
        async move {
            loop {
                sleep(quick).await;
                hands.prepare();
                if !hands.sync() {
                    return;
                }
                world.books.synced(disk);
            }
        }
    }
}

fn wall(world: &World, off: &Mutex<i64>) -> UnixMillis {
    UnixMillis(BEGAN + world.trace.now_ms() as i64 + *off.lock().unwrap())
}

impl Life {
    pub(crate) fn now(&self) -> UnixMillis {
        wall(&self.world, &self.clock_off)
    }

    /// As a redirect does it.
    pub(crate) async fn visit(self, code: ShortCode) {
        let (node, world, now) = (self.node, &self.world, self.now());
        let floor = world.books.visit_begins(node, code.as_str());
        let got = match self.resolver.resolve(&code, now).await {
            Err(error) => {
                note!(world.trace, "n{node} visit {} -> {error}", code.as_str());
                return world.books.visit_ends(&floor, code.as_str(), None);
            }
            Ok(got) => got,
        };
        let shown = match &got {
            None => Shown::Nothing,
            Some(link) => Shown::Link { target: link.target().to_owned(), is_active: link.is_active },
        };
        world.books.visit_ends(&floor, code.as_str(), Some(&shown));
        let Some(link) = got.filter(|link| decide(link.is_active, link.status, link.expires_at, now) != Decision::NotFound) else {
            return note!(world.trace, "n{node} visit {} -> {shown:?}", code.as_str());
        };
        let number = world.books.click(self.disk);
        let click = Click {
            link_id: link.id,
            owner: link.owner,
            at: now,
            visitor: number,
            purpose: Purpose::Visit,
            short_code: code.as_str(),
            target: link.target(),
            referrer: None,
            user_agent: Some(b"curl/8"),
        };
        let recorded = match self.recorder.try_record(&click) {
            Some(recorded) => recorded,
            None => self.recorder.record(&click).await,
        };
        note!(world.trace, "n{node} visit {} -> {} click {number} {recorded:?}", code.as_str(), link.target());
        world.books.recorded(number, recorded == Recorded::Kept, self.durability == Durability::Power);
    }

    pub(crate) async fn create(self, code: ShortCode, target: Target) {
        let new = NewLink {
            domain: String::new(),
            short_code: code.clone(),
            target,
            title: None,
            is_active: true,
            status: RedirectStatus::Found302,
            owner: None,
            expires_at: None,
        };
        match self.store.create_link(new, self.now()).await {
            Ok(link) => {
                self.resolver.created(code.as_str());
                self.acknowledge(&code, link.version);
            }
            Err(error) => note!(self.world.trace, "n{} create {} -> {error}", self.node, code.as_str()),
        }
    }

    pub(crate) async fn edit(self, code: ShortCode, id: LinkId, target: Target, is_active: bool) {
        let patch = LinkPatch { target: Some(target), is_active: Some(is_active), ..LinkPatch::default() };
        match self.store.update_link(id, patch, self.now()).await {
            Ok(Some(link)) => {
                self.resolver.changed(code.as_str(), Some(link.version));
                self.acknowledge(&code, link.version);
            }
            Ok(None) => note!(self.world.trace, "n{} edit {} -> none", self.node, code.as_str()),
            Err(error) => note!(self.world.trace, "n{} edit {} -> {error}", self.node, code.as_str()),
        }
    }

    pub(crate) async fn delete(self, code: ShortCode, id: LinkId) {
        match self.store.delete_link(id, Expected::Any, "because", self.now()).await {
            Ok(Some(before)) => {
                let version = before.version + 1;
                self.resolver.changed(code.as_str(), Some(version));
                self.acknowledge(&code, version);
            }
            Ok(None) => note!(self.world.trace, "n{} delete {} -> none", self.node, code.as_str()),
            Err(error) => note!(self.world.trace, "n{} delete {} -> {error}", self.node, code.as_str()),
        }
    }

    fn acknowledge(&self, code: &ShortCode, version: i64) {
        note!(self.world.trace, "n{} acknowledges {} version {version}", self.node, code.as_str());
        self.world.books.changed(self.node, code.as_str(), version);
    }
}
