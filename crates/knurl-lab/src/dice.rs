//! Dice: every choice the lab makes, from one printed seed.
//!
//! Promised: the same seed and stream give the same throws in every version of the lab (SplitMix64, written out here so that no
//! library's next release changes what a seed means), and any throw can be had without the ones before it. Not for secrets.

#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Dice {
    /// One independent sequence for each path of numbers: `[kind, row]`, `[cycle, worker]` …
    pub fn new(seed: u64, stream: &[u64]) -> Self {
        let state = stream.iter().fold(mix(seed.wrapping_add(GOLDEN)), |state, part| mix(state ^ mix(part.wrapping_add(GOLDEN))));
        Self { state }
    }

    pub fn throw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// 0 to `sides - 1`. The bias of the multiplication is `sides / 2^64`: nothing a lab can see.
    pub fn below(&mut self, sides: u64) -> u64 {
        ((u128::from(self.throw()) * u128::from(sides)) >> 64) as u64
    }

    /// `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// 0 included, 1 excluded.
    pub fn unit(&mut self) -> f64 {
        (self.throw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_throws_for_ever() {
        let mut dice = Dice::new(1, &[2, 3]);
        assert_eq!([dice.throw(), dice.throw()], [5_649_887_244_965_920_420, 13_925_306_368_521_941_324]);
    }

    #[test]
    fn streams_of_one_seed_differ() {
        let first: std::collections::BTreeSet<u64> = (0..1000).map(|row| Dice::new(7, &[1, row]).throw()).collect();
        assert_eq!(first.len(), 1000);
        assert_ne!(Dice::new(7, &[1, 2]).throw(), Dice::new(7, &[2, 1]).throw());
    }

    #[test]
    fn all_sides_come_up_about_equally_often() {
        let mut dice = Dice::new(42, &[]);
        let mut seen = [0_u32; 6];
        for _ in 0..60_000 {
            seen[dice.below(6) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (9_500..10_500).contains(&n)), "{seen:?}");
    }
}
