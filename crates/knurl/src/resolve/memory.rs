//! What this process remembers of the link table, and the rule that nothing outdated is put into it.
//!
//! Promised: after [`Memory::forget`] returns, no load that began before it is remembered or joined; after [`Memory::forget_all`]
//! nothing remembered before it is believed, though [`Memory::stale`] still knows it. Codes that do not exist have a cache of their
//! own, so that a scan of random codes cannot push out one link.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use foldhash::fast::{FixedState, RandomState};
use knurl_core::UnixMillis;
use quick_cache::{
    OptionsBuilder, UnitWeighter,
    sync::{Cache, DefaultLifecycle},
};
use tokio::sync::OnceCell;

use super::{
    Loaded, Resolved,
    entry::EPOCH_BITS,
    marks::{By, Mark, Marks},
    table::Table,
};
use crate::chance;

/// "No such code" remembered at once: some 8 MB at the longest codes. A scan larger than this is answered by the database.
const ABSENT_MAX: usize = 1 << 16;
/// Locks that loads and changes of different codes spread over.
const STRIPES: usize = 64;
#[derive(Clone, Copy)]
struct Absent {
    since: UnixMillis,
    epoch: u64,
}

/// One load that everybody who misses the same code waits for.
pub(super) struct Flight {
    code: Box<str>,
    /// There until it is dropped.
    cell: Option<Arc<OnceCell<Loaded>>>,
    generation: u64,
    epoch: u64,
    mark: Mark,
    stripe: usize,
    stripes: Arc<Stripes>,
}

impl Flight {
    /// As it was when this passenger came.
    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    pub(super) fn cell(&self) -> &OnceCell<Loaded> {
        self.cell.as_ref().unwrap_or_else(|| unreachable!("a flight has its cell until it is dropped"))
    }

    fn is(&self, aloft: &Aloft) -> bool {
        self.cell.as_ref().is_some_and(|cell| Arc::ptr_eq(&aloft.cell, cell))
    }
}

/// The last one to leave a flight that never landed (all its passengers gave up) takes it out of the table.
impl Drop for Flight {
    fn drop(&mut self) {
        let mut stripe = lock(&self.stripes.0[self.stripe]);
        let mine = stripe.flights.get(&self.code).is_some_and(|aloft| self.is(aloft));
        // Under the lock: of several who leave together the last one finds only the table's.
        self.cell = None;
        if mine && stripe.flights.get(&self.code).is_some_and(|aloft| Arc::strong_count(&aloft.cell) == 1) {
            stripe.flights.remove(&self.code);
        }
    }
}

struct Aloft {
    cell: Arc<OnceCell<Loaded>>,
    generation: u64,
    epoch: u64,
}

#[derive(Default)]
struct Stripe {
    /// Grows with every `forget` of a code of this stripe.
    generation: u64,
    flights: HashMap<Box<str>, Aloft, RandomState>,
    marks: Marks,
}

struct Stripes([Mutex<Stripe>; STRIPES]);

type AbsentCodes = Cache<Box<str>, Absent, UnitWeighter, RandomState, DefaultLifecycle<Box<str>, Absent>>;

pub(super) struct Memory {
    links: Table,
    absent: AbsentCodes,
    negative_ttl_ms: i64,
    /// Entries of an earlier epoch are stale.
    epoch: AtomicU64,
    stripes: Arc<Stripes>,
    /// Says which stripe is a code's: codes of one stripe disturb each other.
    hasher: FixedState,
}

impl Memory {
    pub(super) fn new(bytes_max: u64, negative_ttl: Duration) -> Self {
        let options = OptionsBuilder::new().estimated_items_capacity(ABSENT_MAX).weight_capacity(ABSENT_MAX as u64).build();
        let options = options.expect("both capacities are set: build refuses nothing else");
        let absent = Cache::with_options(options, UnitWeighter, RandomState::default(), DefaultLifecycle::default());
        let stripes = Stripes(std::array::from_fn(|_| Mutex::default()));
        Self {
            links: Table::new(bytes_max),
            absent,
            negative_ttl_ms: i64::try_from(negative_ttl.as_millis()).unwrap_or(i64::MAX),
            epoch: AtomicU64::new(0),
            stripes: Arc::new(stripes),
            hasher: FixedState::with_seed(chance::number()),
        }
    }

    /// A link that is known to be current.
    pub(super) fn link(&self, code: &str) -> Option<Resolved> {
        let (link, epoch) = self.links.get(code)?;
        (epoch == round(self.epoch.load(SeqCst))).then_some(link)
    }

    /// A link as it was once known.
    pub(super) fn stale(&self, code: &str) -> Option<Resolved> {
        self.links.get(code).map(|(link, _)| link)
    }

    pub(super) fn is_absent(&self, code: &str, now: UnixMillis) -> bool {
        let Some(absent) = self.absent.get(code) else { return false };
        // A clock that was set back must not make "no such code" last: what lies in the future is not believed.
        let age_ms = now.0.saturating_sub(absent.since.0);
        absent.epoch == self.epoch.load(SeqCst) && (0..self.negative_ttl_ms).contains(&age_ms)
    }

    /// The flight that loads this code, a new one where there is none.
    pub(super) fn join(&self, code: &str) -> Flight {
        let index = self.stripe(code);
        let mut stripe = lock(&self.stripes.0[index]);
        let generation = stripe.generation;
        if !stripe.flights.contains_key(code) {
            let aloft = Aloft { cell: Arc::default(), generation, epoch: self.epoch.load(SeqCst) };
            stripe.flights.insert(code.into(), aloft);
        }
        let aloft = &stripe.flights[code];
        Flight {
            code: code.into(),
            cell: Some(Arc::clone(&aloft.cell)),
            generation: aloft.generation,
            epoch: aloft.epoch,
            mark: stripe.marks.of(code),
            stripe: index,
            stripes: Arc::clone(&self.stripes),
        }
    }

    /// The load is done: remembered unless the code was forgotten since the flight took off. `None`: it failed.
    pub(super) fn land(&self, code: &str, flight: &Flight, found: Option<(Option<Resolved>, UnixMillis)>) {
        // Held while the caches change: a `forget` comes wholly before (the generation tells) or wholly after (it removes).
        let mut stripe = lock(&self.stripes.0[flight.stripe]);
        if stripe.flights.get(code).is_some_and(|aloft| flight.is(aloft)) {
            stripe.flights.remove(code);
        }
        let Some((found, now)) = found else { return };
        if stripe.generation != flight.generation {
            return;
        }
        match found {
            Some(link) => {
                self.absent.remove(code);
                self.links.insert(code, &link, round(flight.epoch));
            }
            None => {
                self.links.remove(code);
                self.absent.insert(code.into(), Absent { since: now, epoch: flight.epoch });
            }
        }
    }

    pub(super) fn mark(&self, code: &str) -> Mark {
        lock(&self.stripes.0[self.stripe(code)]).marks.of(code)
    }

    /// The link was changed.
    pub(super) fn changed(&self, code: &str, by: By, version: Option<i64>, now: Instant) {
        let mut stripe = lock(&self.stripes.0[self.stripe(code)]);
        stripe.marks.set(code, by, version, now);
        self.drop_from(&mut stripe, code);
    }

    /// As [`Memory::changed`] of a code that no copy can hold yet.
    pub(super) fn forget(&self, code: &str) {
        let mut stripe = lock(&self.stripes.0[self.stripe(code)]);
        self.drop_from(&mut stripe, code);
    }

    fn drop_from(&self, stripe: &mut Stripe, code: &str) {
        stripe.generation += 1;
        stripe.flights.remove(code);
        self.links.remove(code);
        self.absent.remove(code);
    }

    pub(super) fn forget_all(&self, now: Instant) {
        let epoch = self.epoch.fetch_add(1, SeqCst) + 1;
        if round(epoch) == 0 {
            // Once in years: what was remembered a whole round ago would look current.
            self.links.clear();
        }
        // Loads that took off before must not be joined by those who ask from now on.
        for stripe in &self.stripes.0 {
            let mut stripe = lock(stripe);
            stripe.flights.clear();
            stripe.marks.set_all(now);
        }
        self.absent.clear();
    }

    pub(super) fn links(&self) -> u64 {
        self.links.links()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.links.bytes()
    }

    pub(super) fn absent(&self) -> u64 {
        self.absent.len() as u64
    }

    #[cfg(test)]
    pub(super) fn aloft(&self) -> usize {
        self.stripes.0.iter().map(|stripe| lock(stripe).flights.len()).sum()
    }

    fn stripe(&self, code: &str) -> usize {
        (self.hasher.hash_one(code) % STRIPES as u64) as usize
    }
}

/// An epoch as entries hold it.
fn round(epoch: u64) -> u64 {
    epoch % (1 << EPOCH_BITS)
}

/// A thread that panicked inside left whole maps behind: every change is a single call.
fn lock(stripe: &Mutex<Stripe>) -> MutexGuard<'_, Stripe> {
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}
