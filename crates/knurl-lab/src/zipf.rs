//! Zipf: which link is popular. Rank k of n is drawn with a weight of 1/k^s.
//!
//! Promised: exact for any n in constant memory and time (rejection-inversion, Hörmann and Derflinger 1996); s > 0.

use crate::dice::Dice;

#[derive(Clone, Debug)]
pub struct Zipf {
    n: f64,
    s: f64,
    h_x1: f64,
    h_n: f64,
    cut: f64,
}

impl Zipf {
    /// `n` at least 1, `s` above 0.
    pub fn new(n: u64, s: f64) -> Self {
        let mut zipf = Self { n: n as f64, s, h_x1: 0.0, h_n: 0.0, cut: 0.0 };
        zipf.h_x1 = zipf.integral(1.5) - 1.0;
        zipf.h_n = zipf.integral(zipf.n + 0.5);
        zipf.cut = 2.0 - zipf.integral_inverse(zipf.integral(2.5) - 2_f64.powf(-s));
        zipf
    }

    fn integral(&self, x: f64) -> f64 {
        if (self.s - 1.0).abs() < 1e-9 { x.ln() } else { (x.powf(1.0 - self.s) - 1.0) / (1.0 - self.s) }
    }

    fn integral_inverse(&self, y: f64) -> f64 {
        if (self.s - 1.0).abs() < 1e-9 { y.exp() } else { (1.0 + y * (1.0 - self.s)).max(0.0).powf(1.0 / (1.0 - self.s)) }
    }

    /// A rank, 0 to n-1; 0 is the most popular.
    pub fn draw(&self, dice: &mut Dice) -> u64 {
        loop {
            let u = self.h_n + dice.unit() * (self.h_x1 - self.h_n);
            let x = self.integral_inverse(u);
            let k = x.round().clamp(1.0, self.n);
            if k - x <= self.cut || u >= self.integral(k + 0.5) - k.powf(-self.s) {
                return k as u64 - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(1.0)]
    #[case(0.8)]
    #[case(1.3)]
    fn ranks_come_as_often_as_their_weight_says(#[case] s: f64) {
        const N: u64 = 100;
        const DRAWS: u64 = 400_000;
        let zipf = Zipf::new(N, s);
        let mut dice = Dice::new(3, &[]);
        let mut seen = vec![0_u64; N as usize];
        for _ in 0..DRAWS {
            seen[zipf.draw(&mut dice) as usize] += 1;
        }
        let whole: f64 = (1..=N).map(|k| (k as f64).powf(-s)).sum();
        for rank in [0, 1, 2, 9, 49] {
            let expected = ((rank + 1) as f64).powf(-s) / whole * DRAWS as f64;
            let got = seen[rank] as f64;
            assert!((got - expected).abs() < 5.0 * expected.sqrt(), "rank {rank}: {got}, expected {expected}");
        }
    }

    #[test]
    fn one_link_is_always_chosen() {
        assert_eq!(Zipf::new(1, 1.0).draw(&mut Dice::new(1, &[])), 0);
    }
}
