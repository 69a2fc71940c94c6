//! Two servers abreast: on the same core, under load at the same time.
//!
//! Promised: whatever the machine does meanwhile, it does to both: medians of the rounds' ratios differ by a hundredth from one run to the
//! next, where runs taken in turn differ by a fifth. What a server still works on when its load ends is waited for and counted. Refused: a
//! latency or a throughput: each has what the other leaves.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use super::{
    BenchError, Rig, machine, median, spread,
    wrk::{self, Load, WrkRun},
};

/// Rounds before those that count: they fill caches and prepare segments.
const WARM_UPS: u64 = 1;

/// One of the two.
pub(super) struct Contender<'a> {
    pub(super) addr: SocketAddr,
    /// Whose CPU time is compared.
    pub(super) pid: u32,
    /// Whose is shown beside it.
    pub(super) beside: &'a [u32],
    /// Of a round, given how many requests it has answered before.
    pub(super) load: &'a dyn Fn(u64) -> Load,
}

/// The rounds of both.
#[derive(Clone, Debug, Default)]
pub(super) struct Abreast {
    pub(super) base: Vec<WrkRun>,
    pub(super) other: Vec<WrkRun>,
}

pub(super) fn run(rig: &Rig, base: &Contender<'_>, other: &Contender<'_>) -> Result<Abreast, BenchError> {
    run_for(rig, rig.rounds, base, other)
}

/// As many rounds as are said, after those that warm up.
pub(super) fn run_for(rig: &Rig, rounds: u64, base: &Contender<'_>, other: &Contender<'_>) -> Result<Abreast, BenchError> {
    let mut abreast = Abreast::default();
    let mut asked = (0, 0);
    for round in 0..WARM_UPS + rounds {
        let start = |of: &Contender<'_>, asked| {
            let watched: Vec<u32> = std::iter::once(of.pid).chain(of.beside.iter().copied()).collect();
            wrk::start(rig, of.addr, &(of.load)(asked), (rig.connections / 2).max(1), &watched)
        };
        let running = (start(base, asked.0)?, start(other, asked.1)?);
        let answered = (running.0.wait()?, running.1.wait()?);
        wait_until_idle(base.pid)?;
        wait_until_idle(other.pid)?;
        let (of_base, of_other) = (answered.0.settle()?, answered.1.settle()?);
        asked = (asked.0 + of_base.requests as u64, asked.1 + of_other.requests as u64);
        if round >= WARM_UPS {
            abreast.base.push(of_base);
            abreast.other.push(of_other);
        }
    }
    Ok(abreast)
}

/// The drain goes on after the load: until the process uses no more time, or for a while.
pub(super) fn wait_until_idle(pid: u32) -> Result<(), BenchError> {
    const LOOK_MS: u64 = 250;
    const LOOKS_MAX: usize = 240;
    const IDLE_US: f64 = 20_000.0;
    let mut last = machine::cpu_time(pid)?;
    for _ in 0..LOOKS_MAX {
        std::thread::sleep(Duration::from_millis(LOOK_MS));
        let now = machine::cpu_time(pid)?;
        if now.since(&last).whole_us <= IDLE_US {
            break;
        }
        last = now;
    }
    Ok(())
}

impl Extend<Abreast> for Abreast {
    fn extend<T: IntoIterator<Item = Abreast>>(&mut self, more: T) {
        for abreast in more {
            self.base.extend(abreast.base);
            self.other.extend(abreast.other);
        }
    }
}

/// What a ratio is shown with.
pub(super) const COLUMNS: &str = "CPU us a request | of the other's | ratio (median of rounds) | range |";

impl Abreast {
    pub(super) fn ratios(&self) -> Vec<f64> {
        self.other.iter().zip(&self.base).map(|(other, base)| other.cpu_us() / base.cpu_us()).collect()
    }

    /// The cells of [`COLUMNS`].
    pub(super) fn cells(&self) -> String {
        let us = |runs: &[WrkRun]| median(runs.iter().map(WrkRun::cpu_us).collect());
        let ratios = self.ratios();
        let mut cells = String::new();
        let _ =
            write!(cells, "{:.2} | {:.2} | {:.3} | {} |", us(&self.other), us(&self.base), median(ratios.clone()), spread(&ratios));
        cells
    }

    /// Microseconds a request of what stands beside the other, by its place there.
    pub(super) fn beside_us(&self, place: usize) -> f64 {
        median(self.other.iter().map(|run| run.cpu_us_of(place + 1)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::machine::Spent;

    fn run_of(requests: f64, us: &[f64]) -> WrkRun {
        let spent = us.iter().map(|us| Spent { whole_us: *us, ..Spent::default() }).collect();
        WrkRun { requests, per_second: 0.0, p99_us: 0.0, spent }
    }

    #[test]
    fn ratios_are_of_rounds_and_not_of_medians() {
        // A machine that is twice as slow in the second round, and half as slow in the third.
        let base = [8.0, 16.0, 4.0].map(|us| run_of(10.0, &[us * 10.0]));
        let other = [8.8, 17.6, 4.8].map(|us| run_of(20.0, &[us * 20.0, 30.0]));
        let rounds = Abreast { base: base.to_vec(), other: other.to_vec() };
        assert_eq!(rounds.cells(), "8.80 | 8.00 | 1.100 | 1.10 to 1.20 |");
        assert_eq!((rounds.beside_us(0), rounds.beside_us(1).is_nan()), (1.5, true));
    }
}
