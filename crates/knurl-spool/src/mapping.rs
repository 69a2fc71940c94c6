//! A file's pages as memory.
//!
//! # Promised
//! Only files that were written in full before (`prepare`, the ledger's creation) are mapped, so no store needs a new block; the file is
//! never truncated while it is mapped (nothing in this crate truncates), and it has one owner at a time (the directory lock).
#![allow(unsafe_code, reason = "a shared mapping and atomics on it cannot be expressed in safe Rust; this file holds all of it")]

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapMut, MmapOptions};

use crate::Mapping;

#[derive(Debug)]
pub(crate) struct FileMapping {
    map: MmapMut,
}

impl FileMapping {
    pub(crate) fn new(file: &File, len: usize) -> io::Result<FileMapping> {
        if file.metadata()?.len() < len as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than the mapping asked for"));
        }
        // SAFETY: the mapping is undefined behaviour only if the file shrinks (SIGBUS) or its bytes change under a live Rust reference.
        // Nothing here truncates; the directory lock keeps other writers out; this process's other accesses to the file are system
        // calls (pread, fdatasync), which take no Rust reference.
        let map = unsafe { MmapOptions::new().len(len).populate().map_mut(file)? };
        Ok(FileMapping { map })
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.map.len(), "a counter lies aligned inside its page");
        // SAFETY: in bounds and aligned (checked above; a mapping begins on a page). `&self` excludes `bytes_mut`, so every access to
        // this word while the reference lives is atomic.
        unsafe { AtomicU64::from_ptr(self.map.as_ptr().add(offset).cast_mut().cast::<u64>()) }
    }
}

impl Mapping for FileMapping {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map
    }

    fn stored(&mut self, _offset: usize, _len: usize) {}

    fn add(&self, offset: usize, n: u64) -> u64 {
        // Counters are little-endian on disk; on a big-endian machine the addition goes through a swap.
        if cfg!(target_endian = "little") {
            return self.word(offset).fetch_add(n, Ordering::Relaxed).wrapping_add(n);
        }
        let swapped = |old: u64| Some(u64::from_le(old).wrapping_add(n).to_le());
        let old = self.word(offset).fetch_update(Ordering::Relaxed, Ordering::Relaxed, swapped).unwrap_or_else(|old| old);
        u64::from_le(old).wrapping_add(n)
    }

    fn load(&self, offset: usize) -> u64 {
        u64::from_le(self.word(offset).load(Ordering::Relaxed))
    }
}
