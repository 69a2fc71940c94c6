//! Whether the run before this one was stopped or just ended: `run` in the data directory says so.
//!
//! Promised: what is written has the same length every time, in place, so that a full disk does not make a stop look like a crash.
//! Where the file cannot be read or written there is a line in the log, and the server serves. Refused: judging why it ended.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use crate::telemetry::Metrics;

const NAME: &str = "run";
const RUNNING: &str = "running";
const STOPPED: &str = "stopped";

/// This run, which is the last one to whoever starts next.
#[derive(Debug)]
pub(super) struct LastRun {
    /// `None`: there is no telling.
    file: Option<File>,
    unclean_ends: u64,
}

impl LastRun {
    /// To be called when no other process can be on this data directory.
    pub(super) fn begin(data_dir: &Path, metrics: &Metrics) -> Self {
        match Self::of(data_dir) {
            Ok((mut this, was_unclean)) => {
                metrics.run.last_unclean.set(u64::from(was_unclean));
                metrics.run.unclean_ends.set(this.unclean_ends);
                if was_unclean {
                    tracing::warn!(unclean_ends = this.unclean_ends, "the last run was not stopped: it crashed or was killed");
                }
                this.write(RUNNING);
                this
            }
            Err(error) => {
                tracing::warn!(%error, "whether the last run was stopped cannot be told");
                Self { file: None, unclean_ends: 0 }
            }
        }
    }

    /// Stopped, and everything closed.
    pub(super) fn end(mut self) {
        self.write(STOPPED);
    }

    fn of(data_dir: &Path) -> io::Result<(Self, bool)> {
        let path = data_dir.join(NAME);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut text = String::new();
        // What is no text is not ours, or damaged: as good as nothing.
        let _ = file.read_to_string(&mut text);
        let mut words = text.split_ascii_whitespace();
        let was_unclean = words.next() == Some(RUNNING);
        let before: u64 = words.next().and_then(|number| number.parse().ok()).unwrap_or(0);
        Ok((Self { file: Some(file), unclean_ends: before.saturating_add(u64::from(was_unclean)) }, was_unclean))
    }

    fn write(&mut self, word: &str) {
        let Some(file) = &mut self.file else { return };
        let line = format!("{word} {:020}\n", self.unclean_ends);
        let written = file.rewind().and_then(|()| file.write_all(line.as_bytes())).and_then(|()| file.sync_data());
        if let Err(error) = written {
            tracing::warn!(%error, "whether this run is stopped in the end cannot be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(dir: &Path) -> (LastRun, (u64, u64)) {
        let metrics = Metrics::new();
        let run = LastRun::begin(dir, &metrics);
        let seen = (metrics.run.last_unclean.get(), metrics.run.unclean_ends.get());
        (run, seen)
    }

    #[test]
    fn runs_that_were_not_stopped_are_counted_and_one_that_was_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (run, seen) = begin(dir.path());
        assert_eq!(seen, (0, 0), "nobody ran before");
        run.end();
        let (run, seen) = begin(dir.path());
        assert_eq!(seen, (0, 0));
        drop(run);
        let (run, seen) = begin(dir.path());
        assert_eq!(seen, (1, 1));
        drop(run);
        let (run, seen) = begin(dir.path());
        assert_eq!(seen, (1, 2));
        run.end();
        assert_eq!(begin(dir.path()).1, (0, 2));
    }

    #[test]
    fn a_file_of_nonsense_is_no_crash() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), [0xff; 100]).unwrap();
        assert_eq!(begin(dir.path()).1, (0, 0));
        std::fs::remove_file(dir.path().join(NAME)).unwrap();
        std::fs::create_dir(dir.path().join(NAME)).unwrap();
        begin(dir.path()).0.end();
    }
}
