//! The breaker's decisions: closed, open, half-open, as a pure function of state, time and dice.
//!
//! Promised: it opens after so many failures in a row, or when too large a part of a window's calls failed; open, it admits nobody until
//! its pause is over; then exactly one probe, whose success closes it and whose failure opens it again for longer, up to a bound;
//! verdicts of calls that were admitted before the last change of state are not heard. A clock that stands still or steps back
//! delays a probe, and breaks nothing.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Closed,
    /// One probe is under way.
    HalfOpen,
    Open,
}

/// When to give up, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub failures_in_a_row: u32,
    /// Calls are counted for this long, then anew.
    pub window: Duration,
    /// Of the window's calls, so many of a hundred …
    pub failures_percent: u32,
    /// … and so many calls at least: one failure of two says little.
    pub calls_min: u32,
    /// The first pause; each failed probe doubles it. What is waited is drawn from its upper half, so that nodes do not probe together.
    pub pause_min: Duration,
    pub pause_max: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            failures_in_a_row: 5,
            window: Duration::from_secs(1),
            failures_percent: 50,
            calls_min: 20,
            pause_min: Duration::from_millis(250),
            pause_max: Duration::from_secs(5),
        }
    }
}

/// One call's ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admission {
    generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    Failed,
    /// The caller left before there was an answer.
    Abandoned,
}

#[derive(Debug)]
pub(super) struct Machine {
    rules: Rules,
    state: State,
    /// Grows with every change of state.
    generation: u64,
    in_a_row: u32,
    window: Window,
    /// Of an open breaker: when the next probe may go.
    probe_at_ms: u64,
    /// Probes that failed since it was last closed.
    reopened: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    since_ms: u64,
    calls: u32,
    failures: u32,
}

impl Machine {
    pub(super) fn new(rules: Rules) -> Self {
        let window = Window::default();
        Self { rules, state: State::Closed, generation: 0, in_a_row: 0, window, probe_at_ms: 0, reopened: 0 }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn admit(&mut self, now_ms: u64) -> Option<Admission> {
        match self.state {
            State::Closed => {}
            State::HalfOpen => return None,
            State::Open if now_ms < self.probe_at_ms => return None,
            State::Open => self.become_(State::HalfOpen),
        }
        Some(Admission { generation: self.generation })
    }

    /// `dice`: any random number.
    pub(super) fn settle(&mut self, admission: Admission, verdict: Verdict, now_ms: u64, dice: u32) {
        if admission.generation != self.generation {
            return;
        }
        match (self.state, verdict) {
            (State::Closed, Verdict::Abandoned) | (State::Open, _) => {}
            (State::Closed, Verdict::Ok) => {
                self.in_a_row = 0;
                self.window.count(&self.rules, now_ms, 0);
            }
            (State::Closed, Verdict::Failed) => {
                self.in_a_row = self.in_a_row.saturating_add(1);
                self.window.count(&self.rules, now_ms, 1);
                if self.in_a_row >= self.rules.failures_in_a_row.max(1) || self.window.is_bad(&self.rules) {
                    self.open(now_ms, dice);
                }
            }
            (State::HalfOpen, Verdict::Ok) => {
                (self.in_a_row, self.window, self.reopened) = (0, Window::default(), 0);
                self.become_(State::Closed);
            }
            (State::HalfOpen, Verdict::Failed) => {
                self.reopened = self.reopened.saturating_add(1);
                self.open(now_ms, dice);
            }
            // The next one who asks may probe.
            (State::HalfOpen, Verdict::Abandoned) => self.become_(State::Open),
        }
    }

    fn open(&mut self, now_ms: u64, dice: u32) {
        self.probe_at_ms = now_ms.saturating_add(self.pause_ms(dice));
        self.become_(State::Open);
    }

    fn become_(&mut self, state: State) {
        self.generation += 1;
        self.state = state;
    }

    fn pause_ms(&self, dice: u32) -> u64 {
        let (least, most) = (millis(self.rules.pause_min).max(1), millis(self.rules.pause_max).max(1));
        let whole = least.saturating_mul(1 << self.reopened.min(20)).min(most);
        whole - (whole / 2) * u64::from(dice) / u64::from(u32::MAX)
    }
}

impl Window {
    fn count(&mut self, rules: &Rules, now_ms: u64, failures: u32) {
        if now_ms.saturating_sub(self.since_ms) >= millis(rules.window) {
            *self = Self { since_ms: now_ms, calls: 0, failures: 0 };
        }
        self.calls = self.calls.saturating_add(1);
        self.failures = self.failures.saturating_add(failures);
    }

    fn is_bad(&self, rules: &Rules) -> bool {
        self.calls >= rules.calls_min.max(1)
            && u64::from(self.failures) * 100 >= u64::from(self.calls) * u64::from(rules.failures_percent)
    }
}

/// Bounded by an hour: longer pauses are a mistake, and products stay far from overflow.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(3_600_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opened(machine: &mut Machine) {
        while machine.state() == State::Closed {
            let call = machine.admit(0).unwrap();
            machine.settle(call, Verdict::Failed, 0, 0);
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_success_between_them_does_not_let_them_add_up() {
        let mut machine = Machine::new(Rules { calls_min: u32::MAX, ..Rules::default() });
        for n in 0..100 {
            let verdict = if n % 5 == 4 { Verdict::Ok } else { Verdict::Failed };
            let call = machine.admit(n).unwrap();
            machine.settle(call, verdict, n, 0);
        }
        assert_eq!(machine.state(), State::Closed);
        for n in 0..5 {
            assert_eq!(machine.state(), State::Closed, "{n}");
            let call = machine.admit(n).unwrap();
            machine.settle(call, Verdict::Failed, n, 0);
        }
        assert_eq!(machine.state(), State::Open);
    }

    #[test]
    fn half_of_a_windows_calls_failing_opens_it_and_old_ones_are_forgotten() {
        let mut machine = Machine::new(Rules::default());
        for n in 0..1_000_u64 {
            // Every other call fails, but no window holds enough of them.
            let at = n * 60;
            let call = machine.admit(at).unwrap();
            machine.settle(call, if n % 2 == 0 { Verdict::Failed } else { Verdict::Ok }, at, 0);
        }
        assert_eq!(machine.state(), State::Closed);
        for n in 0..20_u64 {
            if let Some(call) = machine.admit(70_000 + n) {
                machine.settle(call, if n % 2 == 1 { Verdict::Failed } else { Verdict::Ok }, 70_000 + n, 0);
            }
        }
        assert_eq!(machine.state(), State::Open);
    }

    #[test]
    fn the_pause_doubles_with_every_failed_probe_up_to_its_bound_and_begins_anew_after_a_success() {
        let mut machine = Machine::new(Rules::default());
        opened(&mut machine);
        let mut now_ms = 0;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let pause_ms = machine.probe_at_ms - now_ms;
            pauses.push(pause_ms);
            assert_eq!(machine.admit(now_ms + pause_ms - 1), None);
            now_ms += pause_ms;
            let probe = machine.admit(now_ms).unwrap();
            machine.settle(probe, Verdict::Failed, now_ms, 0);
        }
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        let probe = machine.admit(now_ms + 5_000).unwrap();
        machine.settle(probe, Verdict::Ok, now_ms + 5_000, 0);
        assert_eq!(machine.state(), State::Closed);
        opened(&mut machine);
        assert_eq!(machine.probe_at_ms, 250);
    }

    #[test]
    fn what_a_call_from_before_says_is_not_heard() {
        let mut machine = Machine::new(Rules::default());
        let early = machine.admit(0).unwrap();
        opened(&mut machine);
        machine.settle(early, Verdict::Ok, 1, 0);
        assert_eq!(machine.state(), State::Open);
        let probe = machine.admit(10_000).unwrap();
        machine.settle(early, Verdict::Failed, 10_000, 0);
        assert_eq!(machine.state(), State::HalfOpen);
        machine.settle(probe, Verdict::Ok, 10_001, 0);
        assert_eq!(machine.state(), State::Closed);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Admit,
        Settle(usize, Verdict),
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let verdict = prop_oneof![Just(Verdict::Ok), Just(Verdict::Failed), Just(Verdict::Failed), Just(Verdict::Abandoned)];
        let step = prop_oneof![
            Just(Step::Admit),
            (0_usize..8, verdict).prop_map(|(which, verdict)| Step::Settle(which, verdict)),
            (0_u64..2_000).prop_map(Step::Pass),
        ];
        prop::collection::vec(step, 0..400)
    }

    proptest! {
        /// Whatever happens in whatever order: one probe at most, and it always recovers once calls succeed.
        #[test]
        fn never_two_probes_and_always_a_way_back(steps in steps(), dice in any::<u32>()) {
            let mut machine = Machine::new(Rules::default());
            let (mut now_ms, mut aloft): (u64, Vec<(Admission, bool)>) = (0, Vec::new());
            for step in steps {
                match step {
                    Step::Pass(ms) => now_ms += ms,
                    Step::Admit => if let Some(call) = machine.admit(now_ms) {
                        aloft.push((call, machine.state() == State::HalfOpen));
                    },
                    Step::Settle(which, verdict) => if !aloft.is_empty() {
                        let (call, _) = aloft.swap_remove(which % aloft.len());
                        machine.settle(call, verdict, now_ms, dice);
                    },
                }
                let probes = aloft.iter().filter(|(_, is_probe)| *is_probe).count();
                prop_assert!(probes <= 1, "{probes} probes at once");
                prop_assert_eq!(probes == 1, machine.state() == State::HalfOpen);
                if machine.state() == State::Open {
                    prop_assert!(machine.probe_at_ms <= now_ms + 5_000);
                }
            }
            for (call, _) in aloft {
                machine.settle(call, Verdict::Abandoned, now_ms, dice);
            }
            // Healed: one pause at most, one call, and it is closed.
            now_ms += 5_000;
            let call = machine.admit(now_ms);
            prop_assert!(call.is_some());
            machine.settle(call.unwrap(), Verdict::Ok, now_ms, dice);
            prop_assert_eq!(machine.state(), State::Closed);
        }

        #[test]
        fn the_pause_is_drawn_from_its_upper_half(dice in any::<u32>(), reopened in any::<u32>()) {
            let machine = Machine { reopened, ..Machine::new(Rules::default()) };
            let whole = 250_u64.saturating_mul(1 << reopened.min(20)).min(5_000);
            let pause = machine.pause_ms(dice);
            prop_assert!((whole / 2..=whole).contains(&pause));
        }
    }
}
