//! CPU nanoseconds per append (page faults and system calls included), both media, 1 and 2 threads, a syncer every 50 ms: `cargo run --release -p knurl-spool --example append_bench [dir]`.
//!
//! A round appends a fixed number of records of 300 bytes (a click with a long user agent); the worker prepares and releases meanwhile.
//! Rounds alternate between the media so that a busy machine hits both; the median and the best are printed.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use knurl_spool::{AppendError, DirDisk, Medium, Spool, SpoolConfig};

const RECORD_BYTES: usize = 300;
const RECORDS: usize = 400_000;
const ROUNDS: usize = 7;
const SYNC_INTERVAL: Duration = Duration::from_millis(50);

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args_os().nth(1).map_or_else(|| std::env::temp_dir().join("knurl-append-bench"), PathBuf::from);
    println!("{RECORDS} records of {RECORD_BYTES} bytes a round, {ROUNDS} rounds, in {}", dir.display());
    for threads in [1, 2] {
        let (mut mapped, mut written) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            mapped.push(round(&dir, Medium::Mapped, threads)?);
            written.push(round(&dir, Medium::Written, threads)?);
        }
        for (name, mut figures) in [("mapped", mapped), ("written", written)] {
            figures.sort_by(|a, b| a.ns.total_cmp(&b.ns));
            let (best, median) = (&figures[0], &figures[ROUNDS / 2]);
            println!(
                "{threads} thread(s) {name:8} {:6.0} ns/append median, {:6.0} best; waits for a segment {}",
                median.ns, best.ns, median.waits
            );
        }
    }
    Ok(())
}

struct Figure {
    ns: f64,
    waits: u64,
}

fn round(dir: &PathBuf, medium: Medium, threads: usize) -> Result<Figure, Box<dyn Error>> {
    let disk = Arc::new(DirDisk::new(dir)?);
    let (spool, _) = Spool::open(disk, SpoolConfig { medium, spares: 4, ..SpoolConfig::default() }, None)?;
    spool.prepare()?;
    let (spool, done) = (&spool, &AtomicBool::new(false));
    let record = &[0x5a_u8; RECORD_BYTES];
    let figure = thread::scope(|scope| {
        let syncer = scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                thread::sleep(SYNC_INTERVAL);
                spool.sync().map_err(|error| error.to_string())?;
            }
            Ok::<_, String>(())
        });
        let preparer = scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                spool.prepare().map_err(|error| error.to_string())?;
                spool.release(spool.durable()).map_err(|error| error.to_string())?;
                thread::sleep(Duration::from_millis(1));
            }
            Ok::<_, String>(())
        });
        let appenders: Vec<_> = (0..threads).map(|_| scope.spawn(move || append(spool, record, RECORDS / threads))).collect();
        let mut figure = Figure { ns: 0.0, waits: 0 };
        for appender in appenders {
            let (busy, waits) = appender.join().map_err(|_| "an appender panicked")??;
            figure.ns += busy as f64 / RECORDS as f64;
            figure.waits += waits;
        }
        done.store(true, Ordering::Relaxed);
        syncer.join().map_err(|_| "the syncer panicked")??;
        preparer.join().map_err(|_| "the preparer panicked")??;
        Ok::<_, Box<dyn Error>>(figure)
    })?;
    std::fs::remove_dir_all(dir)?;
    Ok(figure)
}

/// CPU time of the appending thread, and how often it had to wait for a segment.
fn append(spool: &Spool, record: &[u8], records: usize) -> Result<(u64, u64), String> {
    let mut waits = 0;
    let start = thread_cpu_ns()?;
    for _ in 0..records {
        loop {
            match spool.append_with(record.len(), |slice| slice.copy_from_slice(record)) {
                Ok(_) => break,
                Err(AppendError::NoSegment) => {
                    thread::sleep(Duration::from_millis(1));
                    waits += 1;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
    Ok((thread_cpu_ns()? - start, waits))
}

/// On a machine that does other things too, the clock on the wall measures those.
fn thread_cpu_ns() -> Result<u64, String> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").map_err(|error| error.to_string())?;
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).ok_or_else(|| "no CPU time in schedstat".into())
}
