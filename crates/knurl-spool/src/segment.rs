//! A segment file: a header in a sector of its own, then frames, then zeros.
//!
//! The header is written when a segment is put to use, not when it is prepared: a prepared one is all zeros. It is a convenience, not the
//! truth: a segment whose header was lost is still read by its frames, which carry everything but the sequence they start from.

use crate::frame::FrameKey;

/// One sector, so that a torn first record cannot take the header along.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 512;
/// Smallest useful segment: the header and some records.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 4 << 10;
/// Offsets in a resynchronising scan and a zeroing step stay affordable.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 256 << 20;

const MAGIC: [u8; 8] = *b"knurlseg";
/// 2: frames are summed with XXH3 (1, of no release, was CRC-32).
const VERSION: u32 = 2;
const ENCODED_BYTES: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) spool_id: u128,
    pub(crate) number: u64,
    pub(crate) first_seq: u64,
    /// The segment before it, and where its valid part ends; beyond that it was abandoned (or never written).
    pub(crate) previous: (u64, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderState {
    Valid(SegmentHeader),
    /// Prepared, never used; or used and the header lost.
    Blank,
    Damaged,
    /// Intact, of a version that is not ours.
    Version(u32),
}

/// What is known of a segment that holds (or may hold) records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentMeta {
    pub(crate) number: u64,
    pub(crate) first_seq: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; ENCODED_BYTES] {
        let mut out = [0; ENCODED_BYTES];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..28].copy_from_slice(&self.spool_id.to_le_bytes());
        out[28..36].copy_from_slice(&self.number.to_le_bytes());
        out[36..44].copy_from_slice(&self.first_seq.to_le_bytes());
        out[44..52].copy_from_slice(&self.previous.0.to_le_bytes());
        out[52..60].copy_from_slice(&self.previous.1.to_le_bytes());
        let crc = crc32fast::hash(&out[..60]);
        out[60..64].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> HeaderState {
        let Some(header) = bytes.first_chunk::<ENCODED_BYTES>() else {
            return if bytes.iter().all(|&byte| byte == 0) { HeaderState::Blank } else { HeaderState::Damaged };
        };
        if header.iter().all(|&byte| byte == 0) {
            return HeaderState::Blank;
        }
        if header[..8] != MAGIC || u32_at(header, 60) != crc32fast::hash(&header[..60]) {
            return HeaderState::Damaged;
        }
        if u32_at(header, 8) != VERSION {
            return HeaderState::Version(u32_at(header, 8));
        }
        HeaderState::Valid(SegmentHeader {
            spool_id: u128::from(u64_at(header, 12)) | (u128::from(u64_at(header, 20)) << 64),
            number: u64_at(header, 28),
            first_seq: u64_at(header, 36),
            previous: (u64_at(header, 44), u64_at(header, 52)),
        })
    }
}

pub(crate) fn file_name(number: u64) -> String {
    format!("{number:020}.seg")
}

pub(crate) fn file_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

pub(crate) fn key(spool_id: u128, number: u64) -> FrameKey {
    FrameKey::new(spool_id, number)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}
