//! This node's marks: who is how far ahead of its quota.
//!
//! Promised: the memory is fixed, however many addresses ask ([`ENTRIES_MAX`] entries, some 2 MB); no lock is held for longer than eight
//! comparisons. Where a shelf is full, whoever owes least is forgotten: a bucket that is full again says nothing, and one that is
//! overdrawn is the last to go. A flood of addresses can buy back a request or two this way, never a burst.

use std::{
    hash::BuildHasher,
    sync::{Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::RandomState;
use knurl_core::rate::{Mark, Quota, Verdict};

use super::{Limit, Subject};
use crate::telemetry::metrics::Counter;

const SHELVES: usize = ENTRIES_MAX / SLOTS;
const SLOTS: usize = 8;
/// Entries remembered at once.
const ENTRIES_MAX: usize = 1 << 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Whom {
    pub(super) limit: Limit,
    pub(super) subject: Subject,
}

type Shelf = [Option<(Whom, Mark)>; SLOTS];

#[derive(Debug)]
pub(super) struct Table {
    shelves: Box<[Mutex<Shelf>]>,
    hasher: RandomState,
    /// Marks that were forgotten although they still meant something.
    pub(super) forgotten: Counter,
}

impl Table {
    pub(super) fn new() -> Self {
        let shelves = (0..SHELVES).map(|_| Mutex::new([None; SLOTS])).collect();
        Self { shelves, hasher: RandomState::default(), forgotten: Counter::default() }
    }

    pub(super) fn look(&self, whom: Whom, quota: &Quota, now_us: u64) -> Verdict {
        let mark = self.shelf(whom).iter().flatten().find(|(known, _)| *known == whom).map_or(Mark::default(), |(_, mark)| *mark);
        quota.look(mark, now_us)
    }

    pub(super) fn take(&self, whom: Whom, quota: &Quota, now_us: u64) -> Verdict {
        let mut shelf = self.shelf(whom);
        let slot = self.slot(&mut shelf, whom, now_us);
        let (mark, verdict) = quota.take(slot.map_or(Mark::default(), |(_, mark)| mark), now_us);
        *slot = Some((whom, mark));
        verdict
    }

    /// Takes over what others say of `whom`.
    pub(super) fn learn(&self, whom: Whom, mark: Mark, now_us: u64) {
        let mut shelf = self.shelf(whom);
        *self.slot(&mut shelf, whom, now_us) = Some((whom, mark));
    }

    fn shelf(&self, whom: Whom) -> MutexGuard<'_, Shelf> {
        let index = (self.hasher.hash_one(whom) % SHELVES as u64) as usize;
        // A thread that panicked inside left whole slots behind: each change is one assignment.
        self.shelves[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its own slot, with its mark, or one that is free for it.
    fn slot<'a>(&self, shelf: &'a mut Shelf, whom: Whom, now_us: u64) -> &'a mut Option<(Whom, Mark)> {
        let own = shelf.iter().position(|slot| slot.is_some_and(|(known, _)| known == whom));
        let at = own.unwrap_or_else(|| {
            let least = (0..SLOTS).min_by_key(|&at| shelf[at].map_or(Mark::default(), |(_, mark)| mark)).unwrap_or(0);
            if shelf[least].take().is_some_and(|(_, mark)| mark.0 > now_us) {
                self.forgotten.inc();
            }
            least
        });
        &mut shelf[at]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn whom(n: u32) -> Whom {
        Whom { limit: Limit::Misses, subject: Subject::Network(n.into()) }
    }

    fn entries(table: &Table) -> usize {
        table.shelves.iter().map(|shelf| shelf.lock().unwrap().iter().flatten().count()).sum()
    }

    #[test]
    fn a_million_addresses_take_no_more_room_and_the_overdrawn_is_remembered() {
        let (table, quota) = (Table::new(), Quota::new(60, 60).unwrap());
        let scanner = whom(u32::MAX);
        while table.take(scanner, &quota, 0).allowed {}
        for n in 0..1_000_000 {
            assert!(table.take(whom(n), &quota, u64::from(n)).allowed);
        }
        assert!(entries(&table) <= ENTRIES_MAX);
        assert!(entries(&table) > ENTRIES_MAX * 9 / 10, "the room there is is used");
        assert!(!table.look(scanner, &quota, 999_999).allowed);
        assert!(table.forgotten.get() > 900_000);
    }

    #[test]
    fn what_others_counted_is_gone_on_from() {
        let (table, quota) = (Table::new(), Quota::new(60, 10).unwrap());
        table.take(whom(1), &quota, 5);
        table.learn(whom(1), Mark(5 + quota.depth_us()), 5);
        assert!(!table.look(whom(1), &quota, 5).allowed);
        assert!(!table.take(whom(1), &quota, 5).allowed);
        assert!(table.take(whom(1), &quota, 5 + quota.interval_us()).allowed);
    }

    #[test]
    fn who_owes_nothing_any_more_is_forgotten_in_silence() {
        let (table, quota) = (Table::new(), Quota::new(60_000, 60).unwrap());
        for n in 0..200_000 {
            table.take(whom(n), &quota, u64::from(n) * 1_000_000);
        }
        assert_eq!(table.forgotten.get(), 0);
    }

    proptest! {
        /// With room for everybody the table is a plain map of marks.
        #[test]
        fn it_counts_as_a_map_would(asks in prop::collection::vec((0_u32..500, 0_u64..100_000), 1..2_000)) {
            let (table, quota, mut map) = (Table::new(), Quota::new(6_000, 1).unwrap(), HashMap::new());
            let mut now_us = 0;
            for (n, passed_us) in asks {
                now_us += passed_us;
                let mark = map.entry(n).or_insert(Mark::default());
                let (next, verdict) = quota.take(*mark, now_us);
                *mark = next;
                prop_assert_eq!(table.look(whom(n), &quota, now_us).allowed, verdict.allowed);
                prop_assert_eq!(table.take(whom(n), &quota, now_us), verdict);
            }
        }
    }
}
