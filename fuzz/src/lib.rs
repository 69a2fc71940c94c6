//! What the fuzz targets share: taking structure out of a stranger's bytes, and a disk in memory.

pub mod input;
pub mod mem_disk;

pub use input::Input;
pub use mem_disk::MemDisk;
