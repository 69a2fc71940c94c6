//! One record on disk: `check u16 | len u16 | seq u32 | sum u32 | payload`, little-endian. `sum` is half of the payload's XXH3, which a page of
//! random bytes matches once in four thousand million times: a third of what a CRC-32 of a few hundred bytes takes.
//!
//! # Promised
//! - Decoding is total: any bytes give a [`Decoded`], never a panic.
//! - Both `check` and `sum` are keyed by the spool's identity, the segment's number and the record's full sequence, so neither stale
//!   bytes of another segment nor a frame smuggled inside a record's payload is taken for a record.
//!
//! # Refused
//! Secrecy. The key keeps accidents and strangers (who never see the identity) out; it is no cipher.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

pub(crate) const FRAME_HEADER_BYTES: usize = 12;
/// Length is a u16 and frames stay within 64 KiB, so one read-ahead window always holds a whole frame.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 10;

#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameKey {
    mix: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    Record {
        seq: u64,
        len: usize,
    },
    /// The space was never written.
    Blank,
    /// Anything else.
    Damaged,
    /// A plausible header whose frame reaches beyond the bytes given.
    Short,
}

impl FrameKey {
    pub(crate) fn new(spool_id: u128, segment: u64) -> FrameKey {
        FrameKey { mix: mix64(spool_id as u64 ^ mix64((spool_id >> 64) as u64 ^ mix64(segment))) }
    }

    /// Writes the header of a frame whose payload is already in place behind it. The caller has checked the length.
    pub(crate) fn seal(&self, frame: &mut [u8], seq: u64) {
        debug_assert!(frame.len() <= FRAME_BYTES_MAX);
        let len = (frame.len() - FRAME_HEADER_BYTES) as u16;
        let (check, sum) = self.sign(seq, len, &frame[FRAME_HEADER_BYTES..]);
        frame[0..2].copy_from_slice(&check.to_le_bytes());
        frame[2..4].copy_from_slice(&len.to_le_bytes());
        frame[4..8].copy_from_slice(&(seq as u32).to_le_bytes());
        frame[8..12].copy_from_slice(&sum.to_le_bytes());
    }

    /// The frame at the beginning of `bytes`, if its sequence lies in `seqs` (shorter than 2^32).
    pub(crate) fn decode(&self, bytes: &[u8], seqs: &Range<u64>) -> Decoded {
        let Some((header, rest)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
            return if bytes.iter().all(|&byte| byte == 0) { Decoded::Blank } else { Decoded::Damaged };
        };
        let [check_0, check_1, len_0, len_1, s0, s1, s2, s3, c0, c1, c2, c3] = *header;
        let check = u16::from_le_bytes([check_0, check_1]);
        if check == 0 {
            return if header.iter().all(|&byte| byte == 0) { Decoded::Blank } else { Decoded::Damaged };
        }
        let len = u16::from_le_bytes([len_0, len_1]);
        let ahead = u32::from_le_bytes([s0, s1, s2, s3]).wrapping_sub(seqs.start as u32);
        let Some(seq) = seqs.start.checked_add(u64::from(ahead)) else { return Decoded::Damaged };
        let mixed = self.mixed(seq, len);
        if seq >= seqs.end || check != check_of(mixed) {
            return Decoded::Damaged;
        }
        let Some(payload) = rest.get(..usize::from(len)) else { return Decoded::Short };
        if sum_of(mixed, payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Decoded::Damaged;
        }
        Decoded::Record { seq, len: usize::from(len) }
    }

    fn sign(&self, seq: u64, len: u16, payload: &[u8]) -> (u16, u32) {
        let mixed = self.mixed(seq, len);
        (check_of(mixed), sum_of(mixed, payload))
    }

    fn mixed(&self, seq: u64, len: u16) -> u64 {
        mix64(self.mix ^ seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (u64::from(len) << 48))
    }
}

/// Never zero, so that a frame never begins like blank space.
fn check_of(mixed: u64) -> u16 {
    (mixed >> 48) as u16 | 1
}

fn sum_of(mixed: u64, payload: &[u8]) -> u32 {
    xxh3_64(payload) as u32 ^ mixed as u32
}

/// The finaliser of splitmix64.
fn mix64(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(key: &FrameKey, seq: u64, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; FRAME_HEADER_BYTES];
        frame.extend_from_slice(payload);
        key.seal(&mut frame, seq);
        frame
    }

    fn is_record(decoded: Decoded) -> bool {
        matches!(decoded, Decoded::Record { .. })
    }

    proptest! {
        #[test]
        fn any_bytes_decode_to_something_and_random_ones_never_to_a_record(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            id: u128, segment: u64, from: u64, len in 0..1_u64 << 31,
        ) {
            let decoded = FrameKey::new(id, segment).decode(&bytes, &(from..from.saturating_add(len)));
            prop_assert!(!is_record(decoded), "{:?}", decoded);
        }

        #[test]
        fn a_frame_decodes_to_its_record_wherever_the_expected_sequence_stands(
            payload in proptest::collection::vec(any::<u8>(), 0..600),
            id: u128, segment: u64, seq in 0..u64::MAX - 1, behind in 0..1_u64 << 31, rest in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let key = FrameKey::new(id, segment);
            let mut bytes = frame(&key, seq, &payload);
            bytes.extend_from_slice(&rest);
            let seqs = seq.saturating_sub(behind)..seq + 1;
            prop_assert_eq!(key.decode(&bytes, &seqs), Decoded::Record { seq, len: payload.len() });
            prop_assert_eq!(key.decode(&bytes, &(seqs.start..seq)), Decoded::Damaged);
            prop_assert_eq!(&bytes[FRAME_HEADER_BYTES..][..payload.len()], &payload);
        }

        #[test]
        fn a_frame_of_another_spool_segment_or_sequence_is_not_a_record(
            payload in proptest::collection::vec(any::<u8>(), 0..200), id: u128, segment: u64, seq: u32, other in 1..u64::MAX,
        ) {
            let seq = u64::from(seq);
            let bytes = frame(&FrameKey::new(id, segment), seq, &payload);
            let seqs = seq..seq + 1;
            for key in [FrameKey::new(id ^ u128::from(other), segment), FrameKey::new(id, segment ^ other)] {
                prop_assert!(!is_record(key.decode(&bytes, &seqs)));
            }
            // The same low half of the sequence, 2^32 records later.
            let later = seq + (1 << 32);
            prop_assert!(!is_record(FrameKey::new(id, segment).decode(&bytes, &(later..later + 1))));
        }

        #[test]
        fn a_frame_cut_short_is_not_a_record(payload in proptest::collection::vec(any::<u8>(), 1..200), seq: u32, cut in 0.0..1.0_f64) {
            let key = FrameKey::new(7, 1);
            let bytes = frame(&key, seq.into(), &payload);
            let cut = (bytes.len() as f64 * cut) as usize;
            let decoded = key.decode(&bytes[..cut], &(u64::from(seq)..u64::from(seq) + 1));
            prop_assert!(!is_record(decoded));
        }
    }

    #[test]
    fn every_single_flipped_bit_is_noticed() {
        let key = FrameKey::new(0xfeed, 3);
        let bytes = frame(&key, 41, &[0x5a; 100]);
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_record(key.decode(&bytes, &(41..42))), "bit {bit}");
        }
    }
}
