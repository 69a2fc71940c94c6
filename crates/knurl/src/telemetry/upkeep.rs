//! What is done besides serving: memory kept, jobs, backups, log lines and spans.

use super::{
    counters::{Counter, Gauge},
    table::{self, Encoded, Out},
};

#[derive(Debug, Default)]
pub struct CacheMetrics {
    pub links: Gauge,
    pub bytes: Gauge,
    pub negative: Gauge,
    /// Everything was dropped because somebody else changed the database.
    pub forgotten: Counter,
}

impl CacheMetrics {
    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        table::CACHE_LINKS.gauge(out, self.links.get() as f64)?;
        table::CACHE_BYTES.gauge(out, self.bytes.get() as f64)?;
        table::CACHE_NEGATIVE.gauge(out, self.negative.get() as f64)?;
        table::CACHE_FORGOTTEN.count(out, self.forgotten.get())
    }
}

#[derive(Debug, Default)]
pub struct JobMetrics {
    /// Panics of background jobs, each restarted.
    pub panics: Counter,
    /// Steps that failed and are tried again, the drain's apart.
    pub errors: Counter,
}

#[derive(Debug, Default)]
pub struct LogMetrics {
    /// Lines that were not written because standard error took them too slowly.
    pub dropped: Counter,
}

/// Of an embedded database; copied from the file that `knurl backup` leaves. Without one there is no series.
#[derive(Debug, Default)]
pub struct BackupMetrics {
    pub is_known: Gauge,
    pub age_ms: Gauge,
    pub last_failed: Gauge,
}

impl BackupMetrics {
    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        if self.is_known.get() == 0 {
            table::BACKUP_AGE.of(out)?;
            table::BACKUP_LAST_FAILED.of(out)?;
            return Ok(());
        }
        table::BACKUP_AGE.gauge(out, self.age_ms.get() as f64 / 1e3)?;
        table::BACKUP_LAST_FAILED.gauge(out, self.last_failed.get() as f64)
    }
}
