//! Address space for what is remembered: zeroes until written, a page taken from the system when it is first touched.
//!
//! Promised: no page is taken before it is used; every word may be read while another thread writes it (the reader then checks whether
//! what it read belongs together); huge pages where the system gives them to those who ask, because links are looked up at random and
//! each of them would otherwise cost a walk through the page tables.
#![allow(unsafe_code, reason = "atomics on a mapping cannot be expressed in safe Rust; this file holds all of it")]

use std::{
    io,
    ops::Deref,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use memmap2::{MmapMut, MmapOptions};

pub(super) const WORD_BYTES: usize = 8;

#[derive(Debug)]
pub(super) struct Words {
    map: MmapMut,
}

impl Words {
    pub(super) fn map(words: usize) -> io::Result<Self> {
        let bytes = words.checked_mul(WORD_BYTES).ok_or(io::ErrorKind::OutOfMemory)?;
        // Not reserved: a bound larger than the memory there is must not keep the server from starting.
        let map = MmapOptions::new().len(bytes).no_reserve_swap().map_anon()?;
        // A kernel built without huge pages refuses, and all is as it would be without.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self { map })
    }

    /// A word that somebody may be writing: whole, but perhaps not of a piece with its neighbours. 0 beyond the end.
    pub(super) fn load(&self, at: usize) -> u64 {
        self.get(at).map_or(0, |word| word.load(Relaxed))
    }

    pub(super) fn store(&self, at: usize, word: u64) {
        self[at].store(word, Relaxed);
    }

    /// So many bytes from this word on, in an allocation of exactly their length; zeroes where there are no words.
    pub(super) fn bytes(&self, first: usize, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        let words = self.get(first..first + len.div_ceil(WORD_BYTES)).unwrap_or_default();
        let (whole, rest) = out.as_chunks_mut::<WORD_BYTES>();
        for (bytes, word) in whole.iter_mut().zip(words) {
            *bytes = word.load(Relaxed).to_le_bytes();
        }
        if let (false, Some(last)) = (rest.is_empty(), words.last()) {
            rest.copy_from_slice(&last.load(Relaxed).to_le_bytes()[..rest.len()]);
        }
        out
    }
}

impl Deref for Words {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is private, readable and writable, lives as long as `self`, begins on a page and is a whole number of
        // words long; zeroed bytes are valid atomics, and nobody accesses it but through this slice.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast::<AtomicU64>(), self.map.len() / WORD_BYTES) }
    }
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
impl Words {
    /// Bytes of physical memory behind the mapping, as the kernel counts them.
    pub(super) fn resident_bytes(&self) -> u64 {
        use std::os::unix::fs::FileExt;
        const PRESENT: u64 = 1 << 63;
        let page = rustix::param::page_size();
        let mut entries = vec![0; self.map.len().div_ceil(page) * 8];
        let first = (self.map.as_ptr() as usize / page * 8) as u64;
        std::fs::File::open("/proc/self/pagemap").unwrap().read_exact_at(&mut entries, first).unwrap();
        let present = entries.chunks_exact(8).filter(|entry| u64::from_ne_bytes((*entry).try_into().unwrap()) & PRESENT != 0);
        (present.count() * page) as u64
    }
}
