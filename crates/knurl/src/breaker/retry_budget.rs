//! What may be tried again: a share of what is asked, so that an outage is not made worse by those who insist.
//!
//! Promised: retries never exceed [`SHARE_PERCENT`] of the requests, and [`RESERVE`] besides; any number of threads.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Retries of a hundred requests.
pub const SHARE_PERCENT: u32 = 10;
/// Saved up while all is well: somebody who asks seldom may try again, too.
pub const RESERVE: u32 = 20;

/// In hundredths of a retry.
const PRICE: u32 = 100;

#[derive(Debug)]
pub struct RetryBudget {
    saved: AtomicU32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { saved: AtomicU32::new(RESERVE * PRICE) }
    }
}

impl RetryBudget {
    /// A request is made for the first time.
    pub fn request(&self) {
        let _ = self.saved.fetch_update(Relaxed, Relaxed, |saved| {
            (saved < RESERVE * PRICE).then(|| (saved + SHARE_PERCENT).min(RESERVE * PRICE))
        });
    }

    /// How many may be made again now.
    pub fn saved(&self) -> u32 {
        self.saved.load(Relaxed) / PRICE
    }

    /// Whether one may be made again; a yes is spent.
    pub fn retry(&self) -> bool {
        self.saved.fetch_update(Relaxed, Relaxed, |saved| saved.checked_sub(PRICE)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn retries_are_a_tenth_of_the_requests_and_the_reserve_besides(asks in prop::collection::vec(0_u8..4, 0..2_000)) {
            let budget = RetryBudget::default();
            let (mut requests, mut retries) = (0_u64, 0_u64);
            for ask in asks {
                if ask == 0 {
                    budget.request();
                    requests += 1;
                } else if budget.retry() {
                    retries += 1;
                }
                prop_assert!(retries * 100 <= requests * u64::from(SHARE_PERCENT) + u64::from(RESERVE * PRICE));
            }
        }
    }

    #[test]
    fn what_is_saved_is_bounded_and_can_be_spent() {
        let budget = RetryBudget::default();
        for _ in 0..1_000_000 {
            budget.request();
        }
        assert_eq!((0..1_000).filter(|_| budget.retry()).count(), RESERVE as usize);
        for _ in 0..10 {
            budget.request();
        }
        assert_eq!(budget.saved(), 1);
        assert!(budget.retry());
        assert!(!budget.retry());
    }

    #[test]
    fn threads_share_one_budget() {
        let budget = RetryBudget::default();
        let spent: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| (0..1_000).filter(|_| budget.retry()).count())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(spent, RESERVE as usize);
    }
}
