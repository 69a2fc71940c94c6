//! Rate arithmetic: GCRA, the leaky bucket that needs one number a client.
//!
//! The number is the *theoretical arrival time* ([`Mark`]): when the client's bucket will be full again. A client who asks is moved one
//! interval into the future and is refused once that would be further ahead than its burst.
//!
//! Promised: in any stretch of time no client gets more than its burst and, besides, one request an interval; who stays below the rate
//! is never refused; a refused request costs nothing, so that hammering does not lengthen the wait; a clock that was set back, or a
//! mark that came from a clock ahead of ours, makes nobody wait longer than one burst. Whole numbers only: the Lua script that Redis
//! runs does the same arithmetic, and a test holds the two against each other.

use std::time::Duration;

const MINUTE_US: u64 = 60_000_000;

/// What somebody may do: so many at once, refilled evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    burst: u32,
    interval_us: u32,
}

/// When a bucket is full again, in microseconds of the clock that is passed in. 0, or anything past: it is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);

/// What a request got, and what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub allowed: bool,
    /// Requests that would be allowed at this instant, after this one.
    pub remaining: u32,
    /// Until the bucket is full again.
    pub full_after: Duration,
    /// Until one more is allowed; zero where one is.
    pub retry_after: Duration,
}

impl Quota {
    pub const PER_MINUTE_MAX: u32 = 1_000_000;
    pub const BURST_S_MAX: u32 = 3_600;

    /// `per_minute` in the long run, and what `burst_s` seconds bring at once, one at least. `None` where `per_minute` is 0: no limit.
    ///
    /// Larger numbers than the bounds are read as the bounds. An interval is rounded up to a microsecond: never more than was allowed.
    pub fn new(per_minute: u32, burst_s: u32) -> Option<Self> {
        let per_minute = u64::from(per_minute.min(Self::PER_MINUTE_MAX));
        let burst_s = u64::from(burst_s.clamp(1, Self::BURST_S_MAX));
        if per_minute == 0 {
            return None;
        }
        // At most 60 million and 60 s: both fit.
        let burst = u32::try_from(per_minute * burst_s / 60).unwrap_or(u32::MAX).max(1);
        let interval_us = u32::try_from(MINUTE_US.div_ceil(per_minute)).unwrap_or(u32::MAX);
        Some(Self { burst, interval_us })
    }

    /// Requests that a full bucket allows at once.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    pub fn interval_us(&self) -> u64 {
        u64::from(self.interval_us)
    }

    /// How far ahead of now a mark may be: an empty bucket's.
    pub fn depth_us(&self) -> u64 {
        u64::from(self.interval_us) * u64::from(self.burst)
    }

    /// The time in which an empty bucket fills.
    pub fn window(&self) -> Duration {
        Duration::from_micros(self.depth_us())
    }

    /// One request at `now_us`: the mark to keep (the same one where it was refused) and the verdict.
    pub fn take(&self, mark: Mark, now_us: u64) -> (Mark, Verdict) {
        let ahead_us = self.ahead_us(mark, now_us);
        let after_us = ahead_us + self.interval_us();
        if after_us > self.depth_us() {
            return (Mark(now_us.saturating_add(ahead_us)), self.verdict(false, ahead_us));
        }
        (Mark(now_us.saturating_add(after_us)), self.verdict(true, after_us))
    }

    /// What a request would get, without making it.
    pub fn look(&self, mark: Mark, now_us: u64) -> Verdict {
        let ahead_us = self.ahead_us(mark, now_us);
        self.verdict(ahead_us + self.interval_us() <= self.depth_us(), ahead_us)
    }

    /// The verdict of whoever keeps the mark elsewhere: it stands `ahead_us` ahead of that one's now.
    pub fn verdict(&self, allowed: bool, ahead_us: u64) -> Verdict {
        let ahead_us = ahead_us.min(self.depth_us());
        let room_us = self.depth_us() - ahead_us;
        Verdict {
            allowed,
            remaining: u32::try_from(room_us / self.interval_us()).unwrap_or(u32::MAX),
            full_after: Duration::from_micros(ahead_us),
            retry_after: Duration::from_micros(self.interval_us().saturating_sub(room_us)),
        }
    }

    fn ahead_us(&self, mark: Mark, now_us: u64) -> u64 {
        mark.0.saturating_sub(now_us).min(self.depth_us())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quota(per_minute: u32, burst_s: u32) -> Quota {
        Quota::new(per_minute, burst_s).unwrap()
    }

    #[test]
    fn a_full_bucket_gives_its_burst_and_then_one_an_interval() {
        let quota = quota(60, 10);
        assert_eq!((quota.burst(), quota.window()), (10, Duration::from_secs(10)));
        let (mut mark, now_us) = (Mark::default(), 5_000_000);
        for left in (0..10).rev() {
            let (next, verdict) = quota.take(mark, now_us);
            assert_eq!((verdict.allowed, verdict.remaining), (true, left));
            mark = next;
        }
        let (same, verdict) = quota.take(mark, now_us);
        assert_eq!((same, verdict.allowed, verdict.retry_after), (mark, false, Duration::from_secs(1)));
        assert_eq!(verdict.full_after, Duration::from_secs(10));
        assert!(!quota.take(mark, now_us + 999_999).1.allowed);
        assert!(quota.take(mark, now_us + 1_000_000).1.allowed);
    }

    #[test]
    fn zero_is_no_limit_and_the_bounds_hold() {
        assert_eq!(Quota::new(0, 60), None);
        assert_eq!(quota(1, 1).burst(), 1);
        assert_eq!(quota(u32::MAX, u32::MAX), quota(Quota::PER_MINUTE_MAX, Quota::BURST_S_MAX));
        assert_eq!(quota(6_000, 60).burst(), 6_000);
        assert_eq!(quota(700_000, 60).interval_us(), 86);
    }

    proptest! {
        /// Whatever the rhythm: never more than burst + elapsed / interval, counted from any request that was allowed.
        #[test]
        fn no_stretch_of_time_holds_more_than_was_allowed(
            per_minute in 1_u32..100_000, burst_s in 1_u32..120, gaps in prop::collection::vec(0_u64..200_000, 1..400)
        ) {
            let quota = quota(per_minute, burst_s);
            let (mut mark, mut now_us, mut allowed_at) = (Mark::default(), 1_u64 << 50, Vec::new());
            for gap in gaps {
                now_us += gap;
                let (next, verdict) = quota.take(mark, now_us);
                mark = next;
                if verdict.allowed {
                    allowed_at.push(now_us);
                }
            }
            for (first, from) in allowed_at.iter().enumerate() {
                for (last, to) in allowed_at.iter().enumerate().skip(first) {
                    let most = u64::from(quota.burst()) + (to - from) / quota.interval_us();
                    prop_assert!((last - first + 1) as u64 <= most);
                }
            }
        }

        #[test]
        fn who_stays_below_the_rate_is_never_refused(
            per_minute in 1_u32..Quota::PER_MINUTE_MAX, burst_s in 1_u32..120, slack in prop::collection::vec(0_u64..1_000, 1..200)
        ) {
            let quota = quota(per_minute, burst_s);
            let (mut mark, mut now_us) = (Mark::default(), 0);
            for more in slack {
                let (next, verdict) = quota.take(mark, now_us);
                prop_assert!(verdict.allowed);
                mark = next;
                now_us += quota.interval_us() + more;
            }
        }

        /// Any mark, from any clock: after the time that was told the next one is allowed, and the wait is bounded by the burst.
        #[test]
        fn the_wait_that_is_told_is_true_and_bounded(
            per_minute in 1_u32..Quota::PER_MINUTE_MAX, burst_s in 1_u32..120, mark in any::<u64>(), now_us in 0_u64..1 << 60
        ) {
            let quota = quota(per_minute, burst_s);
            let seen = quota.look(Mark(mark), now_us);
            let (next, verdict) = quota.take(Mark(mark), now_us);
            prop_assert_eq!(seen.allowed, verdict.allowed);
            prop_assert!(verdict.retry_after <= Duration::from_micros(quota.interval_us()));
            prop_assert!(verdict.full_after <= quota.window());
            prop_assert!(verdict.remaining < quota.burst());
            let wait_us = u64::try_from(verdict.retry_after.as_micros()).unwrap();
            prop_assert!(quota.take(next, now_us + wait_us).1.allowed);
            if wait_us > 0 {
                prop_assert!(!quota.take(next, now_us + wait_us - 1).1.allowed);
            }
        }

        /// A refused request leaves the bucket as it found it.
        #[test]
        fn a_refusal_costs_nothing(per_minute in 1_u32..10_000, burst_s in 1_u32..60, hammering in 1_u64..100) {
            let quota = quota(per_minute, burst_s);
            let now_us = 1 << 40;
            let empty = Mark(now_us + quota.depth_us());
            let mut mark = empty;
            for n in 0..hammering {
                let (next, verdict) = quota.take(mark, now_us + n);
                if verdict.allowed { break; }
                prop_assert_eq!(next, empty);
                mark = next;
            }
        }
    }
}
