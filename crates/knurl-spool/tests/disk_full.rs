//! A disk that is really full. Where mounting is not allowed the same is played on the simulated disk.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use knurl_spool::sim::SimDisk;
use knurl_spool::{AppendError, DirDisk, Disk, Medium, Position, Spool, SpoolConfig};
use rstest::rstest;

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

fn mount(dir: &Path) -> Option<Mounted<'_>> {
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(dir).output();
    mounted.is_ok_and(|output| output.status.success()).then_some(Mounted(dir))
}

const CONFIG: SpoolConfig = SpoolConfig { segment_bytes: 64 << 10, segments_max: 64, spares: 2, medium: Medium::Mapped };

/// Appends until refused; what was appended is there, prepared space can be written to its end, and released space can be used again.
fn fill_up_and_recover(disk: Arc<dyn Disk>, medium: Medium) {
    let (spool, recovery) = Spool::open(disk.clone(), SpoolConfig { medium, ..CONFIG }, None).unwrap();
    assert_eq!(recovery.medium, medium);
    let mut appended = 0_u64;
    let mut failures = 0;
    loop {
        // A full disk is an error of `prepare`, and of nothing else.
        if let Err(error) = spool.prepare() {
            assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
            failures += 1;
        }
        match spool.append(&appended.to_le_bytes().repeat(100)) {
            Ok(_) => appended += 1,
            Err(AppendError::NoSegment) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(failures > 0);
    spool.count_dropped(1);
    assert_eq!(spool.sync().unwrap().seq, appended);
    drop(spool);

    // A restart on the full disk keeps everything and, without room for a segment, refuses only new records.
    let (spool, _) = Spool::open(disk, SpoolConfig { medium, ..CONFIG }, None).unwrap();
    let mut from = Position::default();
    while from.seq < appended {
        let batch = spool.read(from, 100_000).unwrap();
        assert_eq!(batch.skipped, 0);
        for (n, record) in (from.seq..).zip(batch.records()) {
            assert_eq!(record, n.to_le_bytes().repeat(100));
        }
        from = batch.next;
    }
    assert!(spool.release(from).unwrap() > 0);
    assert!(spool.prepare().unwrap().ready > 0);
    assert_eq!(spool.append(b"there is room again").unwrap().seq, appended + 1);
}

#[rstest]
fn a_full_disk_refuses_segments_and_never_kills_the_process(#[values(Medium::Mapped, Medium::Written)] medium: Medium) {
    let dir = tempfile::tempdir().unwrap();
    // Mounting takes root; the simulated disk below is the test of record, this one would die of SIGBUS if the promise were broken.
    match mount(dir.path()) {
        Some(_mounted) => fill_up_and_recover(Arc::new(DirDisk::new(dir.path()).unwrap()), medium),
        None => fill_up_and_recover(Arc::new(SimDisk::new(4).with_capacity(1 << 20)), medium),
    }
}

#[rstest]
fn a_simulated_full_disk_refuses_segments_and_nothing_else(#[values(Medium::Mapped, Medium::Written)] medium: Medium) {
    fill_up_and_recover(Arc::new(SimDisk::new(3).with_capacity(1 << 20)), medium);
}
