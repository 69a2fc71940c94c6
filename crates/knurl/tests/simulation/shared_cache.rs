//! The cache that all nodes share, by the rules of decision 8: leases, versions, lives, watches. A model of the scripts in `src/redis/lua` and
//! of what a node believes of them; the real ones meet a real Redis in `tests/redis`.
//!
//! It can be down, slow, emptied, and restarted from an old dump; forgets and hints can be lost.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use knurl::resolve::{Copied, Looked, Resolver, SharedLinks};
use knurl_core::ShortCode;
use knurl_spool::sim::Dice;
use knurl_store::replica::follow::Changed;
use tokio::time::sleep;

use super::{
    broken::Broken,
    lockstep::Spawner,
    trace::{Trace, note},
};

const DEADLINE_MS: u64 = 5;
const LEASE_MS: u64 = 10_000;
const LINKS_TTL_MS: u64 = 600_000;
/// Between two tries to begin watching anew.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CacheFaults {
    pub(crate) down: bool,
    pub(crate) slow_ms: u64,
    pub(crate) lost: u64,
}

#[derive(Clone)]
pub(crate) struct SharedCache {
    trace: Trace,
    spawner: Spawner,
    broken: Option<Broken>,
    inner: Arc<Mutex<Server>>,
}

struct Server {
    dice: Dice,
    faults: CacheFaults,
    life: u64,
    records: BTreeMap<String, Record>,
    dump: BTreeMap<String, Record>,
    /// Whom to tell of edits.
    nodes: BTreeMap<usize, Resolver>,
}

/// What stands under a code; times in microseconds, no two the same.
#[derive(Clone)]
struct Record {
    version: i64,
    lease: u64,
    at: u64,
    life: u64,
    value: Option<Copied>,
    until_ms: u64,
}

impl SharedCache {
    pub(crate) fn new(seed: u64, trace: &Trace, spawner: Spawner, broken: Option<Broken>) -> Self {
        let server = Server {
            dice: Dice::new(seed),
            faults: CacheFaults::default(),
            life: 1,
            records: BTreeMap::new(),
            dump: BTreeMap::new(),
            nodes: BTreeMap::new(),
        };
        Self { trace: trace.clone(), spawner, broken, inner: Arc::new(Mutex::new(server)) }
    }

    pub(crate) fn with_faults(&self, change: impl FnOnce(&mut CacheFaults)) {
        change(&mut self.inner().faults);
    }

    pub(crate) fn flush(&self) {
        self.inner().records.clear();
    }

    pub(crate) fn dump(&self) {
        let mut server = self.inner();
        server.dump = server.records.clone();
    }

    pub(crate) fn restart_from_dump(&self) {
        let mut server = self.inner();
        server.records = server.dump.clone();
        server.life += 1;
    }

    pub(crate) fn gone(&self, node: usize) {
        self.inner().nodes.remove(&node);
    }

    /// A node's access to it; hints reach it once [`NodeCache::listen`] was called.
    pub(crate) fn of(&self, node: usize) -> NodeCache {
        let server = self.inner();
        let since = (!server.faults.down).then(|| self.now_us());
        let trust = Trust { number: 0, life: server.life, since };
        drop(server);
        NodeCache { cache: self.clone(), node, trust: Arc::new(Mutex::new(trust)) }
    }

    fn now_us(&self) -> u64 {
        1_000 * (1 + self.trace.now_ms())
    }

    /// `false`: no answer in time; whether the server did what it was asked, nobody knows.
    async fn way(&self) -> bool {
        let (ms, down, lost) = {
            let mut server = self.inner();
            let most = 1 + server.faults.slow_ms;
            let lost = server.faults.lost;
            (server.dice.below(most + 1), server.faults.down, server.dice.chance(lost))
        };
        sleep(Duration::from_millis(ms.min(DEADLINE_MS))).await;
        !down && !lost && ms <= DEADLINE_MS
    }

    fn inner(&self) -> MutexGuard<'_, Server> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    fn read(&self, code: &str, life: u64, now_ms: u64) -> Option<&Record> {
        self.records.get(code).filter(|record| record.life == life && record.until_ms > now_ms)
    }
}

/// What a node believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trust {
    number: u64,
    life: u64,
    since: Option<u64>,
}

#[derive(Clone)]
pub(crate) struct NodeCache {
    cache: SharedCache,
    node: usize,
    trust: Arc<Mutex<Trust>>,
}

impl NodeCache {
    pub(crate) fn listen(&self, resolver: &Resolver) {
        self.cache.inner().nodes.insert(self.node, resolver.clone());
    }

    fn trust(&self) -> MutexGuard<'_, Trust> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another life of the server: the connection broke, and the next one reaches this.
    fn reconnect(&self) {
        let life = self.cache.inner().life;
        let mut trust = self.trust();
        if trust.life != life {
            *trust = Trust { number: trust.number + 1, life, since: Some(self.cache.now_us()) };
        }
    }

    fn look(&self, code: &str, before: Trust) -> Answer {
        let (is_broken, now_us, now_ms) =
            (self.cache.broken == Some(Broken::SharedCacheIsUnversioned), self.cache.now_us(), self.cache.trace.now_ms());
        let mut server = self.cache.inner();
        if is_broken && let Some(link) = server.records.get(code).and_then(|record| record.value.clone()) {
            return Answer::Hit(link);
        }
        let since = before.since.unwrap_or(u64::MAX);
        let kept = server.read(code, before.life, now_ms).cloned();
        if let Some(record) = kept.as_ref().filter(|record| record.at >= since && record.at <= now_us) {
            if let Some(link) = &record.value {
                return Answer::Hit(link.clone());
            }
            if record.lease != 0 {
                return Answer::Leave(record.lease);
            }
        }
        let lease = server.dice.roll() | 1;
        let version = kept.map_or(0, |record| record.version);
        let record = Record { version, lease, at: now_us, life: before.life, value: None, until_ms: now_ms + LEASE_MS };
        server.records.insert(code.to_owned(), record);
        Answer::Leave(lease)
    }

    fn put(&self, code: &str, lease: u64, life: u64, link: Copied) {
        let (is_broken, now_ms) = (self.cache.broken == Some(Broken::SharedCacheIsUnversioned), self.cache.trace.now_ms());
        let mut server = self.cache.inner();
        let Some(record) = server.read(code, life, now_ms).cloned() else { return };
        if is_broken || (record.lease == lease && link.version >= record.version) {
            let until_ms = now_ms + LINKS_TTL_MS;
            let record = Record { version: link.version, lease: 0, value: Some(link), until_ms, ..record };
            server.records.insert(code.to_owned(), record);
        }
    }

    async fn forget_one(&self, changed: Changed, here: bool) {
        let life = self.trust().life;
        let arrived = self.cache.way().await;
        let (now_us, now_ms) = (self.cache.now_us(), self.cache.trace.now_ms());
        if !arrived || self.cache.inner().life != life {
            self.distrust();
            return self.reconnect();
        }
        let Changed { code, version } = changed;
        let mut server = self.cache.inner();
        let (floor, has_value) =
            server.read(&code, life, now_ms).map_or((0, false), |record| (record.version, record.value.is_some()));
        if self.cache.broken != Some(Broken::SharedCacheIsUnversioned) && !(has_value && floor >= version) {
            let record =
                Record { version: floor.max(version), lease: 0, at: now_us, life, value: None, until_ms: now_ms + LEASE_MS };
            server.records.insert(code.clone(), record);
        }
        if here {
            self.publish(&mut server, &code, version);
        }
    }

    fn publish(&self, server: &mut Server, code: &str, version: i64) {
        let others: Vec<_> = server.nodes.iter().filter(|(node, _)| **node != self.node).map(|(n, r)| (*n, r.clone())).collect();
        for (node, resolver) in others {
            let (lost, ms, times) = (server.dice.chance(server.faults.lost), server.dice.below(20), 1 + server.dice.below(2));
            if lost {
                continue;
            }
            for _ in 0..times {
                let (trace, code, resolver) = (self.cache.trace.clone(), code.to_owned(), resolver.clone());
                self.cache.spawner.spawn_in_place(node, async move {
                    sleep(Duration::from_millis(ms)).await;
                    note!(trace, "n{node} is told of {code} version {version}");
                    resolver.told(&code, version);
                });
            }
        }
    }

    /// Until the server says what time it is.
    async fn watch_anew(self) {
        loop {
            let before = *self.trust();
            if before.since.is_some() {
                return;
            }
            if self.cache.way().await {
                self.reconnect();
                let mut trust = self.trust();
                if *trust == before {
                    *trust = Trust { number: trust.number + 1, since: Some(self.cache.now_us()), ..*trust };
                }
                return;
            }
            sleep(RETRY).await;
        }
    }
}

enum Answer {
    Hit(Copied),
    Leave(u64),
}

impl SharedLinks for NodeCache {
    fn get<'a>(&'a self, code: &'a ShortCode) -> BoxFuture<'a, Option<Looked>> {
        Box::pin(async move {
            let before = *self.trust();
            if !self.cache.way().await {
                return None;
            }
            if self.cache.inner().life != before.life {
                self.reconnect();
                return None;
            }
            if before.since.is_none() {
                return Some(Looked::Miss(None));
            }
            let answer = self.look(code.as_str(), before);
            let in_time = self.cache.way().await;
            if *self.trust() != before || !in_time {
                return in_time.then_some(Looked::Miss(None));
            }
            Some(match answer {
                Answer::Hit(link) => Looked::Hit(link),
                Answer::Leave(lease) => {
                    let (this, code) = (self.clone(), code.as_str().to_owned());
                    Looked::Miss(Some(Box::new(move |link| {
                        let (spawner, node) = (this.cache.spawner.clone(), this.node);
                        spawner.spawn_in_place(node, async move {
                            if this.cache.way().await {
                                this.put(&code, lease, before.life, link);
                            }
                        });
                    })))
                }
            })
        })
    }

    fn forget(&self, changed: &[Changed], here: bool) {
        for changed in changed.iter().cloned() {
            let this = self.clone();
            self.cache.spawner.spawn_in_place(self.node, async move { this.forget_one(changed, here).await });
        }
    }

    fn distrust(&self) {
        {
            let mut trust = self.trust();
            *trust = Trust { number: trust.number + 1, since: None, ..*trust };
        }
        self.cache.spawner.spawn_in_place(self.node, self.clone().watch_anew());
    }
}
