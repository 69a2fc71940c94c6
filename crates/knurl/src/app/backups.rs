//! What became of the backups: `knurl backup` leaves a note in the data directory, and the server shows it to whoever watches.
//!
//! Promised: a backup never fails because its note could not be left; the note is whole or not there. Without one, age is counted from
//! when a server first looked for it.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use knurl_core::UnixMillis;
use serde::{Deserialize, Serialize};

use super::now;
use crate::telemetry::Metrics;

const NAME: &str = "backup.json";
/// Some hundred bytes; whatever is larger is not ours.
const BYTES_MAX: u64 = 4 << 10;

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// From when on there could have been one.
    since_s: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    succeeded_s: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_s: Option<i64>,
}

impl Note {
    fn age_ms(&self, now: UnixMillis) -> u64 {
        let last_s = self.succeeded_s.unwrap_or(self.since_s);
        u64::try_from(now.0.saturating_sub(last_s.saturating_mul(1_000))).unwrap_or(0)
    }

    fn last_failed(&self) -> bool {
        self.failed_s.is_some_and(|failed| self.succeeded_s.is_none_or(|succeeded| failed > succeeded))
    }
}

/// Leaves word of a backup that was made, or was not.
pub fn note(data_dir: &Path, made: bool, now: UnixMillis) {
    let now_s = now.0.div_euclid(1_000);
    let mut note = read(data_dir).unwrap_or(Note { since_s: now_s, ..Note::default() });
    if made {
        note.succeeded_s = Some(now_s);
        // Within the same second the later word is right.
        note.failed_s = note.failed_s.filter(|failed| *failed < now_s);
    } else {
        note.failed_s = Some(now_s.max(note.succeeded_s.map_or(now_s, |succeeded| succeeded + 1)));
    }
    if let Err(error) = write(data_dir, &note) {
        tracing::warn!(%error, "the server cannot be told of this backup");
    }
}

/// Shows the note at every scrape.
pub(super) fn watch(data_dir: &Path, metrics: &Metrics) {
    let since = Note { since_s: now().0.div_euclid(1_000), ..Note::default() };
    if read(data_dir).is_none()
        && let Err(error) = write(data_dir, &since)
    {
        tracing::warn!(%error, "since when there could be a backup cannot be kept: its age counts from this start");
    }
    let data_dir = data_dir.to_owned();
    metrics.on_render(move |metrics| {
        let (note, shown) = (read(&data_dir).unwrap_or(since), &metrics.backup);
        shown.age_ms.set(note.age_ms(now()));
        shown.last_failed.set(u64::from(note.last_failed()));
        shown.is_known.set(1);
    });
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(NAME)
}

/// `None`: there is none, or none that is understood.
fn read(data_dir: &Path) -> Option<Note> {
    let path = path(data_dir);
    if fs::metadata(&path).ok()?.len() > BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&fs::read(&path).ok()?).ok()
}

fn write(data_dir: &Path, note: &Note) -> io::Result<()> {
    let path = path(data_dir);
    let new = path.with_extension("json.new");
    // Whoever makes the backup may be somebody else than the server; there are only times in it.
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&new)?;
    file.write_all(&serde_json::to_vec(note)?)?;
    drop(file);
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(metrics: &std::sync::Arc<Metrics>) -> (bool, u64) {
        metrics.render();
        (metrics.backup.last_failed.get() == 1, metrics.backup.age_ms.get() / 1_000)
    }

    #[test]
    fn the_server_shows_the_last_backup_and_whether_the_last_try_made_one() {
        let (dir, metrics) = (tempfile::tempdir().unwrap(), std::sync::Arc::new(Metrics::new()));
        let dir = dir.path();
        watch(dir, &metrics);
        assert!(!shown(&metrics).0, "none was tried");
        let ago = |s: i64| UnixMillis(now().0 - s * 1_000);
        note(dir, true, ago(7_200));
        let (failed, age) = shown(&metrics);
        assert!(!failed && (7_200..7_260).contains(&age), "{age}");
        note(dir, false, ago(3_600));
        let (failed, age) = shown(&metrics);
        assert!(failed && (7_200..7_260).contains(&age), "the one before still stands: {age}");
        note(dir, true, ago(60));
        assert!(!shown(&metrics).0);
        note(dir, false, ago(60));
        assert!(shown(&metrics).0, "in the same second the later word counts");
        fs::write(path(dir), "nonsense").unwrap();
        assert!(!shown(&metrics).0);
    }
}
