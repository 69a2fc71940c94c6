//! Chance for what must not come together: pauses before another try, the order in a table. For nothing that must not be guessed.
//!
//! Promised: drawn anew in each thread, unless [`seed_this_thread`] has said from what; then the same seed gives the same numbers, which is
//! how a simulation repeats itself. Codes, keys and salts come from the system's generator and never from here.

use std::cell::Cell;

thread_local! {
    static STATE: Cell<u64> = Cell::new(rand::random());
}

/// This thread's numbers follow from `seed` from here on.
pub fn seed_this_thread(seed: u64) {
    STATE.set(seed);
}

/// The next number (splitmix64).
pub fn number() -> u64 {
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// As [`number`], half as long.
pub fn small() -> u32 {
    (number() >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_threads_do_not_repeat_each_other() {
        seed_this_thread(7);
        let first: Vec<u64> = (0..5).map(|_| number()).collect();
        seed_this_thread(7);
        assert_eq!(first, (0..5).map(|_| number()).collect::<Vec<_>>());
        let others: Vec<u64> = (0..2).map(|_| std::thread::spawn(number).join().unwrap()).collect();
        assert!(others[0] != others[1] && !first.contains(&others[0]));
    }
}
