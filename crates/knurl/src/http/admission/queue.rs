//! Whether those who find no free place may wait: one class's decision, on whatever time it is told.
//!
//! As CoDel judges a queue: a burst makes it long and drains, and hurts nobody; a queue whose waits have stayed above the target for an
//! interval is standing, and only adds its length to everybody's answer. Then nobody waits any more: who finds a place free is served, who
//! does not is told at once. It ends when an interval has passed in which nobody had to be told.

/// All times in milliseconds of one monotonic clock.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    target_ms: u64,
    interval_ms: u64,
    /// Since when every wait that ended was above the target.
    above_since: Option<u64>,
    /// Where it is standing: when somebody was last told so.
    told_at: Option<u64>,
}

impl Queue {
    pub(super) fn new(target_ms: u64, interval_ms: u64) -> Self {
        Self { target_ms, interval_ms, above_since: None, told_at: None }
    }

    /// A wait has ended: by a place, or by patience.
    pub(super) fn waited(&mut self, now: u64, for_ms: u64) {
        if for_ms < self.target_ms {
            self.above_since = None;
            return;
        }
        // It was above the target from the moment it had lasted so long.
        let crossed = now.saturating_sub(for_ms - self.target_ms);
        let since = *self.above_since.get_or_insert(crossed);
        if self.told_at.is_none() && now.saturating_sub(since) >= self.interval_ms {
            self.told_at = Some(now);
        }
    }

    /// Whether somebody who comes now and finds no place may wait for one.
    pub(super) fn may_wait(&mut self, now: u64) -> bool {
        if !self.is_standing(now) {
            return true;
        }
        self.told_at = Some(now);
        false
    }

    /// Whether a short wait would be news.
    pub(super) fn is_troubled(&mut self, now: u64) -> bool {
        self.is_standing(now) || self.above_since.is_some()
    }

    pub(super) fn is_standing(&mut self, now: u64) -> bool {
        if self.told_at.is_some_and(|told| now.saturating_sub(told) > self.interval_ms) {
            (self.told_at, self.above_since) = (None, None);
        }
        self.told_at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        Queue::new(50, 200)
    }

    #[test]
    fn a_burst_may_wait() {
        let mut queue = queue();
        for now in 0..150 {
            queue.waited(now, 60);
            assert!(queue.may_wait(now), "{now}");
        }
        queue.waited(150, 40);
        for now in 151..300 {
            queue.waited(now, 60);
            assert!(queue.may_wait(now), "one short wait shows that the queue drains: {now}");
        }
    }

    #[test]
    fn a_standing_queue_takes_nobody_in() {
        let mut queue = queue();
        queue.waited(1_000, 50);
        queue.waited(1_199, 50);
        assert!(queue.may_wait(1_199));
        queue.waited(1_200, 50);
        assert!(!queue.may_wait(1_200));
    }

    #[test]
    fn a_place_that_never_comes_is_seen_by_the_first_whose_patience_ends() {
        let mut queue = queue();
        queue.waited(1_000, 250);
        assert!(!queue.may_wait(1_000));
    }

    #[test]
    fn it_ends_an_interval_after_the_last_one_was_told() {
        let mut queue = queue();
        queue.waited(1_000, 250);
        for now in (1_000..2_000).step_by(100) {
            assert!(!queue.may_wait(now), "{now}");
            queue.waited(now, 0);
        }
        assert!(!queue.may_wait(2_100));
        assert!(queue.may_wait(2_301));
        queue.waited(2_301, 60);
        assert!(queue.may_wait(2_400), "and begins anew");
    }
}
