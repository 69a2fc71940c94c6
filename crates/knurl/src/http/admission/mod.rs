//! Who is let in when there is too much to do: redirect before create before read before export.
//!
//! Promised: a redirect from memory is never asked; every class has a bounded number of requests at work and a bounded number waiting; a
//! queue that only stands is not joined, and whoever is refused is refused at once, with 503 and `Retry-After`; as long as a higher class is kept
//! waiting, the lower ones are narrowed, the lowest first, and never below a few requests, so that each goes on and is seen to recover.
//! Refused: guessing how much this machine can do. Waits are measured, of requests for a place and of tasks for a worker.
//!
//! # Layout
//! [`queue`] and [`ladder`] decide, on synthetic time in their tests; this file counts, waits and reads the clock.

mod ladder;
mod queue;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::{ladder::Ladder, queue::Queue};
use super::error::{Code, Error};
use crate::{
    config::AdmissionConfig,
    telemetry::{Metrics, metrics::ADMISSION_CLASSES},
};

/// Of what a class may have at work, so many times may wait besides: a burst, not a second queue.
const WAITING_PER_PLACE: usize = 4;
/// Redirects whose code memory does not know. Each asks the database once at most and is given up after two seconds.
const REDIRECTS_MAX: usize = 8_192;
/// Each holds two chunks of rows (`transfer`), and their transactions follow one another.
const UPLOADS_MAX: usize = 16;
/// How often the workers are asked how late they are.
const PULSE: Duration = Duration::from_millis(20);

/// What a request asks of us, highest first; in the order of [`ADMISSION_CLASSES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A short code that memory does not know.
    Redirect,
    /// Changes too: somebody's work is lost with them.
    Create,
    Read,
    /// Whole tables.
    Export,
    /// Files: they last as long as whoever sends them likes, and so must not have the places of others.
    Upload,
}

impl Class {
    /// From which rung of the ladder on it is narrowed.
    fn rung(self) -> u8 {
        match self {
            Self::Export | Self::Upload => 1,
            Self::Read => 2,
            Self::Create => 3,
            Self::Redirect => 4,
        }
    }

    /// What is left of it then: enough for a group commit that is worth its fsync, for a dashboard, for one file.
    fn narrowed(self) -> usize {
        match self {
            Self::Redirect => REDIRECTS_MAX,
            Self::Create => 64,
            Self::Read => 4,
            Self::Export | Self::Upload => 1,
        }
    }
}

#[derive(Debug)]
pub struct Admission {
    gates: [Gate; ADMISSION_CLASSES.len()],
    ladder: Mutex<Ladder>,
    /// The ladder's, for who must not wait for its lock.
    rung: AtomicU8,
    lag_ms: AtomicUsize,
    patience: Duration,
    started: Instant,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Gate {
    class: Class,
    places_max: usize,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
    /// Somebody has waited for long, or has been told that the queue stands: short waits are news then.
    troubled: AtomicBool,
}

/// A place, until dropped.
#[derive(Debug)]
#[must_use = "the place is free again when this is dropped"]
pub struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Admission {
    pub fn new(config: &AdmissionConfig, metrics: Arc<Metrics>) -> Self {
        let (target_ms, interval_ms) = (millis(config.target), millis(config.interval));
        let gate = |class, places_max| Gate {
            class,
            places_max,
            places: Arc::new(Semaphore::new(places_max)),
            waiting: AtomicUsize::new(0),
            queue: Mutex::new(Queue::new(target_ms, interval_ms)),
            troubled: AtomicBool::new(false),
        };
        Self {
            gates: [
                gate(Class::Redirect, REDIRECTS_MAX),
                gate(Class::Create, config.creates_max),
                gate(Class::Read, config.reads_max),
                gate(Class::Export, config.exports_max),
                gate(Class::Upload, UPLOADS_MAX),
            ],
            ladder: Mutex::new(Ladder::new(target_ms, interval_ms)),
            rung: AtomicU8::new(0),
            lag_ms: AtomicUsize::new(0),
            // So long, and the queue is known to stand by the first who has waited in vain.
            patience: config.target + config.interval,
            started: Instant::now(),
            metrics,
        }
    }

    /// A place for a request of this class; 503 where there is none and waiting would not help.
    pub async fn enter(&self, class: Class) -> Result<Place, Error> {
        if let Some(place) = self.enter_at_once(class) {
            return Ok(place);
        }
        let (gate, begun) = (self.gate(class), Instant::now());
        match gate.wait(self).await {
            Some(place) => Ok(place),
            None => Err(self.refuse(class, begun.elapsed())),
        }
    }

    /// A place where one is free.
    pub fn enter_at_once(&self, class: Class) -> Option<Place> {
        let gate = self.gate(class);
        if self.is_narrowed(class) && gate.at_work() >= class.narrowed() {
            return None;
        }
        let place = Arc::clone(&gate.places).try_acquire_owned().ok()?;
        if gate.troubled.load(Relaxed) {
            gate.waited(self.now_ms(), Duration::ZERO);
        }
        Some(Place(place))
    }

    /// What whoever found no place is told, after so long a wait.
    pub fn refuse(&self, class: Class, waited: Duration) -> Error {
        self.metrics.admission.shed[class as usize].inc();
        self.metrics.admission.refusal.observe(waited);
        Error::new(Code::Overloaded)
    }

    /// Asks the workers how late they are, until dropped.
    pub async fn pulse(self: Arc<Self>) {
        loop {
            let begun = Instant::now();
            tokio::time::sleep(PULSE).await;
            self.step(begun.elapsed().saturating_sub(PULSE));
        }
    }

    fn step(&self, lag: Duration) {
        let now = self.now_ms();
        let crowded = self.gates.iter().find(|gate| gate.is_standing(now)).map(|gate| gate.class);
        let mut ladder = lock(&self.ladder);
        let before = ladder.rung();
        ladder.step(now, millis(lag), crowded);
        let rung = ladder.rung();
        drop(ladder);
        self.rung.store(rung, Relaxed);
        self.lag_ms.fetch_max(usize::try_from(millis(lag)).unwrap_or(usize::MAX), Relaxed);
        if rung > before {
            tracing::warn!(rung, crowded = ?crowded, lag_ms = millis(lag), "too much to do: the lower classes of requests are narrowed");
        } else if rung < before {
            tracing::info!(rung, "there is room again for lower classes of requests");
        }
    }

    /// Copies the figures into the metrics: for a scrape.
    pub fn measure(&self) {
        let shown = &self.metrics.admission;
        for gate in &self.gates {
            shown.in_flight[gate.class as usize].set(gate.at_work() as u64);
            shown.places[gate.class as usize].set(gate.places_max as u64);
            shown.waiting[gate.class as usize].set(gate.waiting.load(Relaxed) as u64);
        }
        shown.rung.set(u64::from(self.rung.load(Relaxed)));
        shown.worker_lag_ms.set(self.lag_ms.swap(0, Relaxed) as u64);
    }

    fn gate(&self, class: Class) -> &Gate {
        &self.gates[class as usize]
    }

    fn is_narrowed(&self, class: Class) -> bool {
        self.rung.load(Relaxed) >= class.rung()
    }

    fn now_ms(&self) -> u64 {
        millis(self.started.elapsed())
    }
}

impl Gate {
    fn at_work(&self) -> usize {
        self.places_max - self.places.available_permits()
    }

    /// In the order of arrival; nobody waits for longer than the patience, or where the queue is long or stands.
    async fn wait(&self, of: &Admission) -> Option<Place> {
        if of.is_narrowed(self.class) || !lock(&self.queue).may_wait(of.now_ms()) {
            return None;
        }
        let waiting = Waiting::enter(self)?;
        let begun = Instant::now();
        let place = tokio::time::timeout(of.patience, Arc::clone(&self.places).acquire_owned()).await;
        drop(waiting);
        self.waited(of.now_ms(), begun.elapsed());
        Some(Place(place.ok()?.ok()?))
    }

    fn waited(&self, now: u64, waited: Duration) {
        let mut queue = lock(&self.queue);
        queue.waited(now, millis(waited));
        self.troubled.store(queue.is_troubled(now), Relaxed);
    }

    fn is_standing(&self, now: u64) -> bool {
        self.troubled.load(Relaxed) && lock(&self.queue).is_standing(now)
    }
}

/// One of those who wait, until dropped: a client that leaves waits no more.
struct Waiting<'g>(&'g AtomicUsize);

impl<'g> Waiting<'g> {
    fn enter(gate: &'g Gate) -> Option<Self> {
        let waiting = Self(&gate.waiting);
        (gate.waiting.fetch_add(1, Relaxed) < gate.places_max.saturating_mul(WAITING_PER_PLACE)).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is numbers; the worst a panic leaves is one of them not updated.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(places: usize) -> Admission {
        with_interval(places, 20)
    }

    fn with_interval(places: usize, interval_ms: u64) -> Admission {
        let config = AdmissionConfig {
            target: Duration::from_millis(5),
            interval: Duration::from_millis(interval_ms),
            creates_max: places,
            reads_max: places,
            exports_max: places,
        };
        Admission::new(&config, Arc::new(Metrics::new()))
    }

    #[tokio::test]
    async fn a_class_has_so_many_places_and_whoever_waits_gets_the_next_one() {
        let admission = admission(2);
        let held = [admission.enter_at_once(Class::Read).unwrap(), admission.enter_at_once(Class::Read).unwrap()];
        assert!(admission.enter_at_once(Class::Read).is_none());
        assert!(admission.enter_at_once(Class::Create).is_some(), "classes do not take each other's places");
        let (entered, ()) = tokio::join!(admission.enter(Class::Read), async { drop(held) });
        assert!(entered.is_ok());
        admission.measure();
        assert_eq!(admission.metrics.admission.in_flight[Class::Read as usize].get(), 1);
    }

    #[tokio::test]
    async fn places_that_never_come_free_are_not_waited_for_twice() {
        let admission = with_interval(1, 500);
        let held = admission.enter_at_once(Class::Read).unwrap();
        assert_eq!(admission.enter(Class::Read).await.unwrap_err().code(), Code::Overloaded, "after the interval");
        // From now on it takes no time: none of these is ever pending.
        for _ in 0..100 {
            let refused = std::pin::pin!(admission.enter(Class::Read));
            assert!(futures_util::FutureExt::now_or_never(refused).unwrap().is_err());
        }
        assert_eq!(admission.metrics.admission.shed[Class::Read as usize].get(), 101);
        drop(held);
        assert!(admission.enter(Class::Read).await.is_ok(), "a free place is given whatever was before");
    }

    #[tokio::test]
    async fn no_more_wait_than_may() {
        let admission = Arc::new(admission(1));
        let _held = admission.enter_at_once(Class::Export).unwrap();
        let mut waiting: Vec<_> = (0..=WAITING_PER_PLACE).map(|_| Box::pin(admission.enter(Class::Export))).collect();
        let told = waiting.iter_mut().filter_map(|enter| futures_util::FutureExt::now_or_never(enter.as_mut())).count();
        assert_eq!(told, 1);
        drop(waiting);
        admission.measure();
        assert_eq!(admission.metrics.admission.waiting[Class::Export as usize].get(), 0, "who leaves waits no more");
    }

    #[tokio::test]
    async fn late_workers_narrow_all_but_redirects_and_calm_gives_the_room_back() {
        let admission = admission(100);
        let rung = || admission.rung.load(Relaxed);
        let mut seen = Vec::new();
        while rung() < 3 {
            admission.step(Duration::from_millis(50));
            seen.push(rung());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(seen.windows(2).all(|pair| pair[1] - pair[0] <= 1), "one after the other: {seen:?}");
        for (class, left) in [(Class::Export, 1), (Class::Read, 4), (Class::Create, 64), (Class::Redirect, 500)] {
            let entered: Vec<_> = (0..500).map_while(|_| admission.enter_at_once(class)).collect();
            assert_eq!(entered.len(), left, "{class:?}");
        }
        while rung() > 0 {
            admission.step(Duration::ZERO);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let entered: Vec<_> = (0..500).map_while(|_| admission.enter_at_once(Class::Export)).collect();
        assert_eq!(entered.len(), 100);
    }
}
