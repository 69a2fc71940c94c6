//! Sizes and bounds of a spool.
//!
//! # Why mapped is the default
//! CPU per append of 300 bytes, page faults and system calls included, a sync every 50 ms, ext4, 2 busy cores
//! (`cargo run --release -p knurl-spool --example append_bench`, medians of 7 interleaved rounds):
//!
//! | | 1 thread | 2 threads |
//! |---|---|---|
//! | mapped | 241 ns | 246 ns |
//! | written | 983 ns | 999 ns |

/// How records reach the page cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Medium {
    /// A `memcpy` into a mapped, pre-zeroed segment. Falls back to [`Medium::Written`] where mapping is not safe (see
    /// [`crate::DirDisk`]); what was chosen is in [`crate::Recovery::medium`].
    Mapped,
    /// One `pwrite` per record.
    Written,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpoolConfig {
    /// Size of one segment file, header included.
    pub segment_bytes: u64,
    /// Bound on disk use: segment files that may exist at once, spares included.
    pub segments_max: u32,
    /// Empty segments kept ready.
    pub spares: u32,
    pub medium: Medium,
}

impl Default for SpoolConfig {
    fn default() -> Self {
        SpoolConfig { segment_bytes: 8 << 20, segments_max: 512, spares: 2, medium: Medium::Mapped }
    }
}
