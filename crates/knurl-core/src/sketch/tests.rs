//! Counting, merging and the byte form, exact and estimated.

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rstest::rstest;

use super::*;

fn of(visitors: impl IntoIterator<Item = u64>) -> Sketch {
    let mut sketch = Sketch::new();
    visitors.into_iter().for_each(|visitor| sketch.insert(visitor));
    sketch
}

fn random(seed: u64, count: usize) -> Sketch {
    let mut rng = StdRng::seed_from_u64(seed);
    of((0..count).map(|_| rng.next_u64()))
}

fn merged(mut one: Sketch, other: &Sketch) -> Sketch {
    one.merge(other);
    one
}

#[test]
fn few_visitors_are_counted_exactly() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut sketch = Sketch::new();
    assert_eq!(sketch.estimate(), 0);
    for count in 1..=SPARSE_MAX as u64 {
        let visitor = rng.next_u64();
        sketch.insert(visitor);
        sketch.insert(visitor);
        assert_eq!(sketch.estimate(), count);
    }
}

#[test]
fn the_estimate_is_within_5_percent_from_257_to_a_million_visitors() {
    let sizes = [257, 300, 1_000, 3_000, 10_000, 12_000, 30_000, 100_000, 300_000, 1_000_000];
    for seed in 0..10 {
        let (mut rng, mut sketch, mut count) = (StdRng::seed_from_u64(seed), Sketch::new(), 0);
        for size in sizes {
            while count < size {
                sketch.insert(rng.next_u64());
                count += 1;
            }
            let error = (sketch.estimate() as f64 - f64::from(size)).abs() / f64::from(size);
            assert!(error <= 0.05, "seed {seed}: {} for {size}", sketch.estimate());
        }
    }
}

/// Written by version 1; read for ever.
#[test]
fn the_byte_form_of_version_1_never_changes() {
    let bytes = [1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80];
    assert_eq!(of([1 << 63, 2]).to_bytes(), bytes);
    let dense = of((0..300).map(|n| n << 52)).to_bytes();
    assert_eq!(dense.len(), BYTES_MAX);
    // 300 registers hold 53 (no bit is set below the index), four of them in three bytes.
    assert_eq!(dense[..5], [1, 1, 0x75, 0x5d, 0xd7]);
    assert!(dense[2 + 225..].iter().all(|&byte| byte == 0));
}

#[rstest]
#[case::empty(vec![], "it ends too early")]
#[case::version_only(vec![1], "it ends too early")]
#[case::version(vec![2, 0], "unknown version")]
#[case::kind(vec![1, 2], "unknown kind")]
#[case::torn(vec![1, 0, 7], "a torn visitor")]
#[case::twice([vec![1, 0], vec![7; 16]].concat(), "visitors out of order")]
#[case::too_many([vec![1, 0], vec![7; 8 * 257]].concat(), "more visitors than a sparse sketch holds")]
#[case::short_dense(vec![1; 1 + DENSE_BYTES], "a dense sketch of another size")]
#[case::rank([vec![1, 1], vec![0xff; DENSE_BYTES]].concat(), "a register beyond its range")]
fn bytes_that_are_no_sketch_are_refused(#[case] bytes: Vec<u8>, #[case] reason: &'static str) {
    assert_eq!(Sketch::from_bytes(&bytes), Err(SketchError(reason)));
}

#[test]
fn a_sketch_at_either_end_of_its_range_has_an_estimate() {
    let empty = Sketch::from_bytes(&[vec![1, 1], vec![0; DENSE_BYTES]].concat()).unwrap();
    assert_eq!(empty.estimate(), 0);
    let full = of((0..4_096).map(|n| n << 52));
    assert_eq!(full.estimate(), u64::MAX);
}

/// Small and large, with common visitors, so that all pairs of forms meet.
fn sketch() -> impl Strategy<Value = Sketch> {
    let sizes = prop_oneof![0..20_usize, 200..300_usize, 300..3_000_usize];
    (0..3_u64, sizes, prop::collection::vec(any::<u64>(), 0..40))
        .prop_map(|(seed, count, more)| merged(random(seed, count), &of(more)))
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_idempotent(a in sketch(), b in sketch(), c in sketch()) {
        let ab = merged(a.clone(), &b);
        prop_assert_eq!(&ab, &merged(b.clone(), &a));
        prop_assert_eq!(merged(ab.clone(), &c), merged(a.clone(), &merged(b.clone(), &c)));
        prop_assert_eq!(&merged(ab.clone(), &a), &ab);
        prop_assert_eq!(&merged(a.clone(), &a), &a);
        prop_assert_eq!(&merged(a.clone(), &Sketch::new()), &a);
    }

    #[test]
    fn merging_is_inserting_everything_in_any_order(visitors in prop::collection::vec(any::<u64>(), 0..700), split in 0.0..1.0) {
        let at = (visitors.len() as f64 * split) as usize;
        let parts = merged(of(visitors[at..].iter().copied()), &of(visitors[..at].iter().copied()));
        prop_assert_eq!(parts.to_bytes(), of(visitors.iter().rev().copied()).to_bytes());
    }

    #[test]
    fn a_sketch_is_read_back(sketch in sketch()) {
        let bytes = sketch.to_bytes();
        prop_assert!(bytes.len() <= BYTES_MAX);
        prop_assert_eq!(Sketch::from_bytes(&bytes), Ok(sketch));
    }

    #[test]
    fn any_bytes_are_a_sketch_that_writes_the_same_bytes_or_are_refused(
        kind in 0..3_u8, bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64),
            prop::collection::vec(0..0x35_u8, DENSE_BYTES),
            prop::collection::vec(any::<u8>(), DENSE_BYTES),
        ],
    ) {
        let bytes = [vec![1, kind], bytes].concat();
        if let Ok(sketch) = Sketch::from_bytes(&bytes) {
            prop_assert_eq!(sketch.to_bytes(), bytes);
            let _ = sketch.estimate();
        }
    }
}
