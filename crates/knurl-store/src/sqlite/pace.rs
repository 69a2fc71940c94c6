//! Where point reads run: on the thread that asks while the file is in the system's memory, on blocking threads while the disk has to be
//! waited for.
//!
//! Promised: while reads wait for the disk, no more than the first few hold up the threads that serve others; while they do not, they are
//! spared the hop (5 to 7 us for the read, some 38 us for the way to another thread and back). A read that was slow because its thread
//! was not scheduled is no reason.

use std::{
    cell::Cell,
    fs::File,
    io::Read,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

/// A read that took longer is asked whether it waited for the disk. A warm one takes 5 to 7 us.
const SLOW: Duration = Duration::from_micros(250);
/// So many reads in a row must not have waited before they run where they are asked for again.
const QUICK_IN_A_ROW: u32 = 64;

/// Shared by all who read one file.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Reads to go until the disk is believed to be out of the way; 0: it is.
    to_go: AtomicU32,
}

impl Pace {
    pub(super) fn waits_for_disk(&self) -> bool {
        self.to_go.load(Relaxed) > 0
    }

    /// Told of every read, on the thread that did it.
    pub(super) fn took(&self, time: Duration) {
        self.judge(time > SLOW && this_thread_has_read());
    }

    pub(super) fn judge(&self, waited: bool) {
        if waited {
            self.to_go.store(QUICK_IN_A_ROW, Relaxed);
        } else if self.waits_for_disk() {
            // Two at once may both see the last one: below zero it does not go.
            let _ = self.to_go.fetch_update(Relaxed, Relaxed, |to_go| to_go.checked_sub(1));
        }
    }
}

thread_local! {
    static BYTES_READ: Cell<u64> = const { Cell::new(0) };
}

/// Whether this thread fetched anything from a disk since it last asked here, mapped pages included. Where the system does not tell, it did.
fn this_thread_has_read() -> bool {
    match bytes_read() {
        Some(bytes) => BYTES_READ.replace(bytes) != bytes,
        None => true,
    }
}

/// `read_bytes` of proc(5), `/proc/pid/io`.
fn bytes_read() -> Option<u64> {
    let mut text = [0; 512];
    let length = File::open("/proc/thread-self/io").ok()?.read(&mut text).ok()?;
    let text = std::str::from_utf8(&text[..length]).ok()?;
    text.lines().find_map(|line| line.strip_prefix("read_bytes: "))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wait_sends_reads_away_until_many_have_not_waited() {
        let pace = Pace::default();
        assert!(!pace.waits_for_disk());
        pace.judge(true);
        for _ in 0..QUICK_IN_A_ROW {
            assert!(pace.waits_for_disk());
            pace.judge(false);
        }
        assert!(!pace.waits_for_disk());
        pace.judge(false);
        assert!(!pace.waits_for_disk(), "it must not go below zero");
        pace.judge(true);
        pace.judge(false);
        pace.judge(true);
        for _ in 1..QUICK_IN_A_ROW {
            pace.judge(false);
        }
        assert!(pace.waits_for_disk(), "they count in a row");
    }

    #[test]
    fn a_quick_read_is_not_looked_into() {
        let pace = Pace::default();
        BYTES_READ.set(u64::MAX);
        pace.took(SLOW);
        assert_eq!(BYTES_READ.get(), u64::MAX);
        assert!(!pace.waits_for_disk());
    }

    #[test]
    fn a_slow_read_is_the_disks_where_this_thread_has_read_something_since() {
        // Where the system does not count, every slow read is the disk's, which the second half cannot be shown then.
        let Some(bytes) = bytes_read() else { return assert!(this_thread_has_read()) };
        BYTES_READ.set(bytes.wrapping_add(4096));
        assert!(this_thread_has_read());
        assert_eq!(bytes_read(), Some(BYTES_READ.get()), "nothing was read meanwhile");
        assert!(!this_thread_has_read());
    }
}
