//! How far the database's changes have been read: a moment of its transactions, and what of the last one.
//!
//! A transaction that was open at that moment may still commit, below transactions that have been read already. So a position names the open
//! ones, and what is new since is exactly what those and later ones have changed: one that stays open for an hour hides nothing but
//! itself, and nothing is read twice on its account.

use serde::{Deserialize, Serialize};

use crate::{StoreError, store::Result};

/// More than any server has sessions: a position that names more is damaged.
const OPEN_MAX: usize = 1 << 16;
/// Transactions that ended and lie this close together are read in one go: their neighbours, read again, do no harm.
const GAP_MAX: u64 = 64;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Transactions from here on have not been read, but for the rows of this very one up to `after`.
    next: u64,
    after: Option<i64>,
    /// Those before `next` that were open, ascending.
    open: Vec<u64>,
}

/// Rows whose `(transaction, id)` is above `above` and whose transaction is below `below`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub above: (u64, i64),
    pub below: u64,
}

impl Position {
    /// A snapshot as PostgreSQL writes it: `xmin:xmax:xip,xip,…`.
    pub fn parse(snapshot: &str) -> Result<Self> {
        let malformed = || StoreError::Corrupt(format!("{snapshot:?} is no snapshot"));
        let mut parts = snapshot.splitn(3, ':');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (Some(_xmin), Some(next)) = (number(), number()) else {
            return Err(malformed());
        };
        let open = parts.next().unwrap_or_default().split(',').filter(|xid| !xid.is_empty()).map(str::parse);
        let mut open = open.collect::<std::result::Result<Vec<u64>, _>>().map_err(|_| malformed())?;
        if open.len() > OPEN_MAX {
            return Err(malformed());
        }
        open.sort_unstable();
        Ok(Self { next, after: None, open })
    }

    /// Whether `now` can be a later moment of the same server: transactions are never numbered backwards.
    pub fn leads_to(&self, now: &Self) -> bool {
        self.next <= now.next
    }

    /// What `now` can see and this position could not, in the order to be read; the last range is everything later.
    pub fn ranges_to(&self, now: &Self) -> Vec<Range> {
        let ended = self.open.iter().filter(|xid| now.open.binary_search(xid).is_err());
        let mut ranges: Vec<Range> = Vec::new();
        for &xid in ended {
            match ranges.last_mut() {
                Some(last) if xid - last.below <= GAP_MAX => last.below = xid + 1,
                _ => ranges.push(Range { above: (xid, i64::MIN), below: xid + 1 }),
            }
        }
        ranges.push(Range { above: (self.next, self.after.unwrap_or(i64::MIN)), below: now.next });
        ranges
    }

    /// The position of who has read everything up to `now`'s row `(xid, id)`, but no later row of `now`.
    pub fn within(now: &Self, xid: u64, id: i64) -> Self {
        let open = now.open.iter().copied().take_while(|&open| open < xid).collect();
        Self { next: xid, after: Some(id), open }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(snapshot: &str) -> Position {
        Position::parse(snapshot).unwrap()
    }

    #[test]
    fn a_snapshot_is_read_and_a_garbled_one_refused() {
        assert_eq!(at("10:20:12,10"), Position { next: 20, after: None, open: vec![10, 12] });
        assert_eq!(at("7:7:"), Position { next: 7, after: None, open: vec![] });
        for garbled in ["", "7", "7:", "a:b:", "7:8:x", "-1:8:"] {
            assert!(matches!(Position::parse(garbled), Err(StoreError::Corrupt(_))), "{garbled:?}");
        }
    }

    #[test]
    fn a_position_goes_on_within_a_transaction() {
        let part = Position::within(&at("10:30:10,25"), 20, 7);
        assert_eq!(part, Position { next: 20, after: Some(7), open: vec![10] });
        let ranges = part.ranges_to(&at("25:40:25"));
        assert_eq!(ranges, [Range { above: (10, i64::MIN), below: 11 }, Range { above: (20, 7), below: 40 }]);
    }

    #[test]
    fn a_server_that_counts_backwards_is_another_one() {
        assert!(at("5:9:").leads_to(&at("5:9:")));
        assert!(!at("5:9:").leads_to(&at("5:8:")));
    }

    /// `committed[n]`: when transaction n commits, in moments; it begins at moment n.
    fn moment(committed: &[usize], now: usize) -> Position {
        let begun = now.min(committed.len());
        let open: Vec<String> = (0..begun).filter(|&n| committed[n] > now).map(|n| n.to_string()).collect();
        at(&format!("0:{begun}:{}", open.join(",")))
    }

    proptest! {
        #[test]
        fn every_transaction_is_read_once_it_is_visible_whatever_the_order_of_commits(
            lasts in prop::collection::vec(0_usize..40, 1..60),
            looks in prop::collection::vec(1_usize..30, 1..20),
        ) {
            let committed: Vec<usize> = lasts.iter().enumerate().map(|(n, lasts)| n + 1 + lasts).collect();
            let mut read = vec![false; committed.len()];
            let (mut now, mut position) = (0, moment(&committed, 0));
            for step in looks {
                now += step;
                let seen = moment(&committed, now);
                for range in position.ranges_to(&seen) {
                    for (n, read) in read.iter_mut().enumerate() {
                        let inside = (n as u64, 0) > range.above && (n as u64) < range.below;
                        *read |= inside && committed[n] <= now;
                    }
                }
                for (n, read) in read.iter().enumerate() {
                    prop_assert_eq!(*read, committed[n] <= now, "transaction {} at {}", n, now);
                }
                position = seen;
            }
        }
    }
}
