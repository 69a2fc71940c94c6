//! Any bytes are a sketch that writes the same bytes, or refused; merging is a union in any order.
#![no_main]

use knurl_core::sketch::{BYTES_MAX, Sketch};
use knurl_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fn union(one: &Sketch, other: &Sketch) -> Sketch {
    let mut union = one.clone();
    union.merge(other);
    union
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (mode, repeat) = (input.u8(), input.u8());
    let mut read = Sketch::new();
    if mode & 1 == 0 {
        // A dense one is 3 KiB: longer than the fuzzer likes, so it is filled up.
        let mut bytes = vec![1, mode >> 1 & 1];
        bytes.extend(input.rest());
        if mode & 4 != 0 {
            bytes.resize(BYTES_MAX, repeat % 53);
        }
        let Ok(sketch) = Sketch::from_bytes(&bytes) else { return };
        assert_eq!(sketch.to_bytes(), bytes);
        read = sketch;
    }
    let mut parts = [Sketch::new(), Sketch::new()];
    let mut at = 0_u64;
    while !input.is_empty() {
        let visitor = input.u64();
        for spread in 0..=u64::from(repeat) {
            parts[(at & 1) as usize].insert(visitor.wrapping_add(spread.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        }
        at += 1;
    }
    let [one, other] = &parts;
    let all = union(&union(one, other), &read);
    assert_eq!(all, union(&union(&read, other), one));
    assert_eq!(all, union(&all, other));
    assert_eq!(Sketch::from_bytes(&all.to_bytes()), Ok(all.clone()));
    assert!(all.to_bytes().len() <= BYTES_MAX);
    // An estimate never falls when visitors come; from exact to estimated it may, where the hashes are as uneven as these.
    let is_dense = |sketch: &Sketch| sketch.to_bytes()[1] == 1;
    assert!(!is_dense(one) || all.estimate() >= one.estimate());
    assert!(is_dense(&all) || all.estimate() >= one.estimate());
});
