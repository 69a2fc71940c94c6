//! One data directory and what runs on it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use knurl::{
    clicks::{self, Clicks, Drain, Recorded, StartError, audit::Audit, drain::Stepped},
    config::{ClicksConfig, Config},
    telemetry::Metrics,
};
use knurl_core::{Click, LinkId, UnixMillis, UserId, click::Purpose};
use knurl_spool::OpenError;
use knurl_store::{
    Store,
    faulty::FaultyStore,
    sqlite::{SqliteOptions, SqliteStore},
};
use tempfile::TempDir;

use super::faulty_disk::FaultyDisk;

/// No wait in these tests is longer, unless something hangs.
pub(crate) const HANG: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) config: Config,
    pub(crate) store: FaultyStore,
    pub(crate) disk: FaultyDisk,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) lost: Arc<AtomicBool>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// Small segments, so that a test passes over several.
    pub(crate) fn with(change: impl FnOnce(&mut ClicksConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
        config.clicks.segment_bytes = 64 << 10;
        config.clicks.segments_max = 64;
        // A slow machine prepares the next small segment late; only the tests of a full spool want drops.
        config.clicks.full_wait = HANG;
        change(&mut config.clicks);
        let sqlite = SqliteStore::open(&dir.path().join("knurl.db"), &SqliteOptions::default()).unwrap();
        rusqlite::Connection::open(dir.path().join("knurl.db")).unwrap().execute_batch(LINKS).unwrap();
        let disk = FaultyDisk::new(&config.spool_dir());
        Self {
            config,
            store: FaultyStore::new(Arc::new(sqlite)),
            disk,
            metrics: Arc::new(Metrics::new()),
            lost: Arc::default(),
            dir,
        }
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    pub(crate) fn spool_dir(&self) -> PathBuf {
        self.config.spool_dir()
    }

    /// On the faulty disk. A drain that was cut off may still be reading on another thread, and so hold the spool a moment longer.
    pub(crate) async fn start(&self) -> Clicks {
        let begun = Instant::now();
        loop {
            let lost = Arc::clone(&self.lost);
            let on_lost: clicks::OnLost = Arc::new(move || lost.store(true, Ordering::SeqCst));
            let (disk, metrics) = (Arc::new(self.disk.clone()), Arc::clone(&self.metrics));
            match clicks::start_on(disk, &self.config.clicks, self.store(), metrics, on_lost).await {
                Err(StartError::Spool(OpenError::Locked)) if begun.elapsed() < HANG => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                started => return started.unwrap(),
            }
        }
    }

    pub(crate) async fn audit(&self) -> Audit {
        clicks::audit::audit(&self.store, &self.spool_dir()).await.unwrap()
    }

    /// The law holds, and these are its figures.
    pub(crate) async fn assert_holds(&self, answered: u64, delivered: u64, dropped: u64) {
        let audit = self.audit().await;
        assert!(audit.holds(), "{audit:?}");
        assert_eq!((audit.answered, audit.delivered, audit.dropped), (answered, delivered, dropped), "{audit:?}");
        assert_eq!(audit.rolled_up, delivered, "{audit:?}");
    }
}

/// Those that [`click`] names, and one for a click that is to be refused.
const LINKS: &str = "insert into links (id, short_code, twin, target, is_active, status, owner, created_at, updated_at, version) \
                     select value, 'knurl42', value, 'https://example.org/somewhere', 1, 302, 1, 0, 0, 1 from json_each('[1, 2, 3, 666]')";

/// The `n`-th click: told apart by its visitor.
pub(crate) fn click(n: u64) -> Click<'static> {
    Click {
        link_id: LinkId(1 + (n % 3).cast_signed()),
        owner: Some(UserId(1)),
        at: UnixMillis(1_770_000_000_000 + n.cast_signed()),
        visitor: n,
        purpose: Purpose::Visit,
        short_code: "knurl42",
        target: "https://example.org/somewhere",
        referrer: Some(b"https://news.example/today"),
        user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    }
}

/// How many of them were kept.
pub(crate) async fn record(clicks: &Clicks, range: std::ops::Range<u64>) -> u64 {
    let mut kept = 0;
    for n in range {
        kept += u64::from(clicks.recorder.record(&click(n)).await == Recorded::Kept);
    }
    kept
}

/// Steps until there is nothing more. Failures are not expected.
pub(crate) async fn drain_all(drain: &mut Drain) {
    loop {
        match drain.step().await {
            Stepped::More => {}
            Stepped::CaughtUp => return,
            Stepped::Failed { .. } => panic!("the drain failed"),
        }
    }
}

/// Waits for something that another task or thread brings about.
pub(crate) async fn until(what: &str, mut true_at_last: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(HANG, async {
        while !true_at_last() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} never came true");
}
