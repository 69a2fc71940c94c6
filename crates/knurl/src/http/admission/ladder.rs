//! Which classes give way to the others: one rung at a time, the lowest class first, on whatever time it is told.
//!
//! Promised: a class is narrowed only after every class below it has been for an interval; while nothing presses, a rung is given back
//! every [`CALM_MS`].

use super::Class;

/// Two or three rungs are given back within the five seconds in which an overload must be forgotten.
pub(super) const CALM_MS: u64 = 1_000;

#[derive(Clone, Debug)]
pub(super) struct Ladder {
    target_ms: u64,
    interval_ms: u64,
    rung: u8,
    raised_at: Option<u64>,
    /// Since when less has been wanted than is narrowed.
    calm_since: Option<u64>,
    /// Since when the workers have kept everybody waiting.
    late_since: Option<u64>,
}

impl Ladder {
    pub(super) fn new(target_ms: u64, interval_ms: u64) -> Self {
        Self { target_ms, interval_ms, rung: 0, raised_at: None, calm_since: None, late_since: None }
    }

    /// `lag_ms`: how long a task that could run has just waited for a worker. `crowded`: the highest class whose own queue is standing.
    pub(super) fn step(&mut self, now: u64, lag_ms: u64, crowded: Option<Class>) {
        if lag_ms < self.target_ms {
            self.late_since = None;
        } else if self.late_since.is_none() {
            self.late_since = Some(now);
        }
        let is_late = self.late_since.is_some_and(|since| now.saturating_sub(since) >= self.interval_ms);
        // Workers are everybody's; a place of its own is missed by one class, to which those below it give way.
        let wanted = if is_late { Class::Create.rung() } else { crowded.map_or(0, |class| class.rung() - 1) };
        if wanted >= self.rung {
            self.calm_since = None;
            if wanted > self.rung && self.raised_at.is_none_or(|at| now.saturating_sub(at) >= self.interval_ms) {
                self.rung += 1;
                self.raised_at = Some(now);
            }
        } else if now.saturating_sub(*self.calm_since.get_or_insert(now)) >= CALM_MS {
            self.rung -= 1;
            self.calm_since = Some(now);
        }
    }

    pub(super) fn rung(&self) -> u8 {
        self.rung
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: u64 = 20;

    /// Steps every [`STEP`] until `to`; the moments at which the rung changed.
    fn run(ladder: &mut Ladder, from: u64, to: u64, lag_ms: u64, crowded: Option<Class>) -> Vec<(u64, u8)> {
        let mut changes = Vec::new();
        let mut known = ladder.rung();
        for now in (from..to).step_by(STEP as usize) {
            ladder.step(now, lag_ms, crowded);
            if ladder.rung() != known {
                known = ladder.rung();
                changes.push((now, known));
            }
        }
        changes
    }

    #[test]
    fn late_workers_narrow_the_lowest_class_first_and_stop_before_redirects() {
        let mut ladder = Ladder::new(50, 200);
        assert_eq!(run(&mut ladder, 0, 2_000, 60, None), [(200, 1), (400, 2), (600, 3)]);
        assert!(Class::Redirect.rung() > 3);
    }

    #[test]
    fn lateness_that_comes_and_goes_narrows_nobody() {
        let mut ladder = Ladder::new(50, 200);
        for begin in (0..10_000).step_by(200) {
            assert_eq!(run(&mut ladder, begin, begin + 180, 500, None), []);
            assert_eq!(run(&mut ladder, begin + 180, begin + 200, 0, None), []);
        }
    }

    #[test]
    fn a_class_without_room_narrows_those_below_it_and_not_itself() {
        for (crowded, rungs) in [(Class::Upload, 0), (Class::Export, 0), (Class::Read, 1), (Class::Create, 2), (Class::Redirect, 3)]
        {
            let mut ladder = Ladder::new(50, 200);
            run(&mut ladder, 0, 5_000, 0, Some(crowded));
            assert_eq!(ladder.rung(), rungs, "{crowded:?}");
        }
    }

    #[test]
    fn calm_gives_back_a_rung_a_second() {
        let mut ladder = Ladder::new(50, 200);
        run(&mut ladder, 0, 2_000, 60, None);
        assert_eq!(run(&mut ladder, 2_000, 9_000, 10, None), [(3_000, 2), (4_000, 1), (5_000, 0)]);
    }

    #[test]
    fn pressure_in_between_keeps_the_rung() {
        let mut ladder = Ladder::new(50, 200);
        run(&mut ladder, 0, 2_000, 0, Some(Class::Read));
        for begin in (2_000..10_000).step_by(900) {
            assert_eq!(run(&mut ladder, begin, begin + 880, 0, None), []);
            assert_eq!(run(&mut ladder, begin + 880, begin + 900, 0, Some(Class::Read)), []);
        }
        assert_eq!(ladder.rung(), 1);
    }
}
