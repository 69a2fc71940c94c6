//! Looks at the disk of the data directory every few seconds, so that one that fills is seen before it is full.
//!
//! Promised: a disk that hangs holds up this thread and nothing else: no request, no scrape, no stop.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use crate::telemetry::{Metrics, disk::Space};

const INTERVAL: Duration = Duration::from_secs(5);

/// Looks until dropped. Nobody waits for the thread: its end is the next time it wakes.
#[derive(Debug)]
pub(super) struct DiskWatch(#[expect(dead_code, reason = "dropping it is the stop")] Sender<()>);

impl DiskWatch {
    pub(super) fn start(data_dir: PathBuf, metrics: Arc<Metrics>) -> io::Result<Self> {
        Self::looking(move || Space::of(&data_dir), INTERVAL, metrics)
    }

    fn looking(
        mut look: impl FnMut() -> io::Result<Space> + Send + 'static,
        interval: Duration,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let (stop, stopped) = channel();
        std::thread::Builder::new().name("knurl-disk".into()).spawn(move || {
            loop {
                // A directory that cannot be looked at is told by whoever writes there.
                metrics.disk.seen(look().ok());
                if stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self(stop))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Unless something hangs.
    const LONG: Duration = Duration::from_secs(60);
    const OFTEN: Duration = Duration::from_millis(1);

    fn until(is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < LONG);
            std::thread::sleep(OFTEN);
        }
    }

    #[test]
    fn what_is_left_of_the_disk_is_shown_as_soon_as_it_is_known() {
        let (dir, metrics) = (tempfile::tempdir().unwrap(), Arc::new(Metrics::new()));
        let shown = |name: &str| metrics.render().lines().any(|line| line.starts_with(&format!("{name} ")));
        assert!(!shown("knurl_data_dir_free_bytes") && !shown("knurl_data_dir_size_bytes"));
        let _watch = DiskWatch::start(dir.path().to_owned(), Arc::clone(&metrics)).unwrap();
        until(|| metrics.disk.space().is_some());
        let space = metrics.disk.space().unwrap();
        assert!(0 < space.free_bytes && space.free_bytes <= space.size_bytes, "{space:?}");
        assert!(shown("knurl_data_dir_free_bytes") && shown("knurl_data_dir_size_bytes"));
    }

    #[test]
    fn a_disk_that_could_not_be_looked_at_shows_no_figure_of_before() {
        let metrics = Arc::new(Metrics::new());
        metrics.disk.seen(Some(Space { free_bytes: 1, size_bytes: 2 }));
        let _watch = DiskWatch::looking(|| Err(io::ErrorKind::NotFound.into()), LONG, Arc::clone(&metrics)).unwrap();
        until(|| metrics.disk.space().is_none());
    }

    #[test]
    fn a_disk_that_hangs_keeps_neither_a_scrape_nor_a_stop_waiting() {
        let metrics = Arc::new(Metrics::new());
        let ((hanging, hangs), (release, released)) = (channel(), channel::<()>());
        let look = move || {
            hanging.send(()).unwrap();
            // Until the test has seen enough.
            let _ = released.recv();
            Ok(Space { free_bytes: 1, size_bytes: 2 })
        };
        let watch = DiskWatch::looking(look, OFTEN, Arc::clone(&metrics)).unwrap();
        hangs.recv_timeout(LONG).unwrap();
        assert!(metrics.render().ends_with("# EOF\n"));
        drop(watch);
        drop(release);
        // The thread ends with its look: it lets go of what it held.
        assert!(hangs.recv_timeout(LONG).is_err());
        until(|| Arc::strong_count(&metrics) == 1);
    }
}
