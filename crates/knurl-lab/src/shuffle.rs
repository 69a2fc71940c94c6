//! Shuffle: the numbers 0 to n-1 in a seeded order, each exactly once, without keeping any of them.
//!
//! Promised: [`Shuffle::forward`] is a bijection on `0..n` and [`Shuffle::inverse`] undoes it. Four Feistel rounds on the next even
//! number of bits, walked until the value falls inside `0..n` (fewer than four steps on average). This is what lets ten million unique
//! short codes be written in constant memory, and a row's fate be known without looking at the other rows.

use crate::dice::Dice;

#[derive(Clone, Debug)]
pub struct Shuffle {
    n: u64,
    half_bits: u32,
    keys: [u64; 4],
}

impl Shuffle {
    /// `n` may be 0 (then nothing may be asked) and is at most 2^62.
    pub fn new(n: u64, seed: u64, stream: u64) -> Self {
        let bits = 64 - n.saturating_sub(1).leading_zeros();
        let mut dice = Dice::new(seed, &[stream, n]);
        Self { n, half_bits: bits.div_ceil(2).max(1), keys: std::array::from_fn(|_| dice.throw()) }
    }

    fn round(&self, half: u64, key: u64) -> u64 {
        let mut z = (half ^ key).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z ^= z >> 32;
        z.wrapping_mul(0x94D0_49BB_1331_11EB) >> (64 - self.half_bits)
    }

    pub fn forward(&self, at: u64) -> u64 {
        debug_assert!(at < self.n);
        let mask = (1 << self.half_bits) - 1;
        let mut at = at;
        loop {
            let (mut left, mut right) = (at >> self.half_bits, at & mask);
            for key in self.keys {
                (left, right) = (right, left ^ self.round(right, key));
            }
            at = (left << self.half_bits) | right;
            if at < self.n {
                return at;
            }
        }
    }

    pub fn inverse(&self, at: u64) -> u64 {
        debug_assert!(at < self.n);
        let mask = (1 << self.half_bits) - 1;
        let mut at = at;
        loop {
            let (mut left, mut right) = (at >> self.half_bits, at & mask);
            for key in self.keys.iter().rev() {
                (left, right) = (right ^ self.round(left, *key), left);
            }
            at = (left << self.half_bits) | right;
            if at < self.n {
                return at;
            }
        }
    }
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters of a sample's short code: what the seed files have.
pub const CODE_CHARS: usize = 6;
const CODES: u64 = 62_u64.pow(CODE_CHARS as u32);

/// The short codes of a sample: link `n` of seed `s` always has the same one, and no two links share one.
#[derive(Clone, Debug)]
pub struct Codes(Shuffle);

impl Codes {
    pub const MAX: u64 = CODES;

    pub fn new(seed: u64) -> Self {
        Self(Shuffle::new(CODES, seed, 0xC0DE))
    }

    /// `index` is below [`Codes::MAX`].
    pub fn code(&self, index: u64) -> [u8; CODE_CHARS] {
        let mut rest = self.0.forward(index);
        let mut code = [0; CODE_CHARS];
        for slot in code.iter_mut().rev() {
            *slot = BASE62[(rest % 62) as usize];
            rest /= 62;
        }
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(1)]
    #[case(2)]
    #[case(1000)]
    #[case(65_537)]
    fn every_number_comes_exactly_once_and_back(#[case] n: u64) {
        let shuffle = Shuffle::new(n, 9, 1);
        let mut seen = vec![false; n as usize];
        for at in 0..n {
            let to = shuffle.forward(at);
            assert!(!std::mem::replace(&mut seen[to as usize], true), "{to} twice");
            assert_eq!(shuffle.inverse(to), at);
        }
    }

    #[test]
    fn a_hundred_thousand_codes_are_all_different() {
        let codes = Codes::new(5);
        let all: std::collections::HashSet<_> = (0..100_000).map(|n| codes.code(n)).collect();
        assert_eq!(all.len(), 100_000);
    }
}
