//! Start in order, run, stop in reverse.
//!
//! Promised: [`App::start`] returns once redirects are served, a PostgreSQL that is away notwithstanding, or an [`AppError`] that is one sentence for the operator; [`App::stop`]
//! ends within `http.ready_drain` plus `http.drain_timeout` plus [`CLOSE_TIME`], whatever clients and disk do.
//! Refused: starting on a data directory another process has open; serving without keys on an address that is not loopback; serving where
//! so few files may be open that accepting would soon fail.

mod admin_key;
pub mod backups;
pub mod database;
mod disk;
mod fail_point;
mod last_run;
mod listeners;
mod replica;
mod sd_notify;
mod serve;
pub mod watchdog;

use std::{
    fs::DirBuilder,
    io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use knurl_core::UnixMillis;
use knurl_store::{StoreError, postgres::is_refusal, replica::Replica};

use admin_key::{AdminKey, Standing};
pub use database::Database;
use disk::DiskWatch;
use last_run::LastRun;
use listeners::HandedOver;
pub use serve::{say, serve};

pub use crate::http::accept::enough_files;
use crate::{
    clicks::{self, Clicks},
    config::{Config, ConfigError, Word},
    http::{
        HttpState, Server, accept,
        admission::Admission,
        api::once::InFlight,
        health::{self, Life, Phase},
    },
    jobs::{self, Jobs, Needs},
    limit::Limits,
    redis::Redis,
    resolve::{Resolver, Tiers},
    telemetry::Metrics,
};

/// Beyond the drain, for sealing the spool and closing the database. Both survive being cut off here.
pub const CLOSE_TIME: Duration = Duration::from_secs(5);
/// Of the drain's time, this part at the end belongs to delivering clicks.
const DELIVERY_SHARE: u32 = 4;

/// A running server. Dropping it without [`App::stop`] leaves its tasks to the runtime.
#[derive(Debug)]
pub struct App {
    addr: SocketAddr,
    metrics_addr: SocketAddr,
    admin_key: Option<String>,
    state: Arc<HttpState>,
    server: Server,
    jobs: Jobs,
    clicks: Clicks,
    replica: Option<Replica>,
    this_run: LastRun,
    _disk: Option<DiskWatch>,
    _word: Option<Word>,
}

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{what} at {path} cannot be used: {source}")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the database cannot be used: {}", chain(.0))]
    Store(#[source] StoreError),
    #[error("the database refuses us: {}; check its address, user and password (KNURL_DATABASE_URL) and what the user may do there", chain(.0))]
    Refused(#[source] StoreError),
    #[error("{}", chain(.0))]
    Clicks(#[from] clicks::StartError),
    #[error("{addr} is in use: is another knurl running? Choose another address with {option}")]
    InUse { addr: SocketAddr, option: &'static str },
    #[error("cannot listen on {addr} ({option}): {source}")]
    Listen {
        addr: SocketAddr,
        option: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the listening socket that was handed over (LISTEN_FDS) cannot be used: {0}")]
    HandedOver(#[source] io::Error),
    #[error(transparent)]
    TooFewFiles(#[from] accept::TooFewFiles),
    #[error("the runtime cannot be built: {0}")]
    Runtime(#[source] io::Error),
    #[error("stopping took longer than its deadline and was cut off; nothing acknowledged is lost")]
    StopCutOff,
}

impl AppError {
    fn of_store(error: StoreError) -> Self {
        if is_refusal(&error) { Self::Refused(error) } else { Self::Store(error) }
    }
}

impl App {
    pub async fn start(config: Config) -> Result<App, AppError> {
        Self::start_on(config, HandedOver::default()).await
    }

    /// As [`App::start`], on sockets that whoever started the process may have handed over.
    async fn start_on(mut config: Config, mut handed: HandedOver) -> Result<App, AppError> {
        handed.configure(&mut config)?;
        config.refuse_open_to_strangers()?;
        accept::enough_files()?;
        make_data_dir(&config.data_dir)?;
        let metrics = Arc::new(Metrics::new());
        metrics.traces.start(&config.telemetry).map_err(AppError::Runtime)?;
        let replica = replica::open(&config).await;
        let has_all_links = replica.as_ref().is_some_and(Replica::is_complete);
        let database = Database::open_or_away(&config, has_all_links).await.map_err(AppError::of_store)?;
        database.count_into(&metrics);
        let store = Arc::clone(&database.store);
        let admin_key = Arc::new(AdminKey::of(&config)?);
        let standing = unless_away(admin_key.register(&*store, now()).await)?;
        let clicks = clicks::start(&config.clicks, &config.spool_dir(), Arc::clone(&store), Arc::clone(&metrics)).await?;

        // Only now is it sure that no other process is on this data directory.
        metrics.run.configured.get_or_init(|| database.configured(&config));
        metrics.disk.spool_bytes_max.set(config.clicks.spool_bytes_max());
        let disk = DiskWatch::start(config.data_dir.clone(), Arc::clone(&metrics))
            .inspect_err(|error| tracing::warn!(%error, "nothing looks at the disk: it is not shown how full it is"))
            .ok();
        if database.postgres.is_none() {
            backups::watch(&config.data_dir, &metrics);
        }

        let (public, addr) = handed.public(&config)?;
        let (observed, metrics_addr) = handed.observed(&config)?;
        config.bound(addr);
        config.http.metrics_listen = metrics_addr;
        let word = config.tell_served().inspect_err(|error| {
            // A full disk must not keep redirects from being served.
            tracing::warn!(%error, "commands beside this server cannot be told its address; they may let a link lead back to it");
        });

        // Beside an embedded database it would be the slower of the two.
        let redis = config.redis.as_ref().filter(|_| database.postgres.is_some());
        let redis = redis.map(|config| Redis::start(config, Arc::clone(&metrics)));
        let shared = redis.as_ref().map(|redis| Arc::new(redis.links()) as _);
        let tiers = Tiers { replica: replica.clone(), shared, database: Arc::clone(&store) };
        let resolver = Resolver::over(tiers, &config.cache, Arc::clone(&metrics));
        let keys = database.key_ring(&config);
        if unless_away(keys.refresh(&*store).await)?.is_none() {
            tracing::warn!(
                known = keys.is_known(),
                "the database is away: the API admits the keys it admitted last, if any are kept here"
            );
        }
        metrics.on_render({
            let resolver = resolver.clone();
            move |_| resolver.measure()
        });
        let admission = Arc::new(Admission::new(&config.admission, Arc::clone(&metrics)));
        metrics.on_render({
            let admission = Arc::clone(&admission);
            move |_| admission.measure()
        });
        let limits = Limits::sharing(&config.limits, redis.as_ref().map(Redis::limits), &metrics);
        let state = Arc::new(HttpState {
            config,
            store,
            resolver,
            recorder: clicks.recorder.clone(),
            limits,
            metrics: Arc::clone(&metrics),
            keys,
            life: Life::default(),
            in_flight: InFlight::default(),
            admission,
        });
        metrics.on_render({
            let state = Arc::downgrade(&state);
            move |metrics| metrics.run.ready.set(state.upgrade().is_some_and(|state| health::is_ready(&state)).into())
        });
        let jobs = jobs::start(Needs {
            config: &state.config,
            clicks: &clicks,
            store: Arc::clone(&state.store),
            resolver: state.resolver.clone(),
            metrics: Arc::clone(&metrics),
            on_foreign_change: refresh_keys(&state, &admin_key),
            feeding: replica::feeding(&database, replica.clone()),
            redis,
        })
        .await;
        // A start that fails, or is stopped, is no run: nothing was served.
        let this_run = LastRun::begin(&state.config.data_dir, &metrics);
        let server = Server::start(&state, public, observed);
        state.life.enter(Phase::Serving);
        let admin_key = admin_key.secret().filter(|_| standing != Some(Standing::Revoked)).map(str::to_owned);
        Ok(App { addr, metrics_addr, admin_key, state, server, jobs, clicks, replica, this_run, _word: word.ok(), _disk: disk })
    }

    /// Where the API and the redirects are served; the real port where 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where `/metrics` and `/health` are served without a key.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics_addr
    }

    /// The admin key, where one is known: configured, or kept in `<data_dir>/admin.key`. `None` with `auth = open`, and where it was revoked.
    pub fn admin_key(&self) -> Option<&str> {
        self.admin_key.as_deref()
    }

    /// What the handlers share; the addresses in its config are the bound ones.
    pub fn state(&self) -> &Arc<HttpState> {
        &self.state
    }

    /// Says that it is not ready and gives balancers time to see it; stops accepting, finishes what is in flight, drains the clicks, closes
    /// spool and store.
    pub async fn stop(self) {
        self.state.life.enter(Phase::Stopping);
        let http = &self.state.config.http;
        if !http.ready_drain.is_zero() {
            self.server.leave();
            tokio::time::sleep(http.ready_drain).await;
        }
        let drain = http.drain_timeout;
        let begun = Instant::now();
        let for_delivery = drain / DELIVERY_SHARE;
        self.server.stop(drain - for_delivery).await;
        self.jobs.stop(drain.saturating_sub(begun.elapsed()).max(for_delivery)).await;
        let store = Arc::clone(&self.state.store);
        let closed = async {
            self.clicks.stop().await;
            store.close().await;
            if let Some(replica) = self.replica {
                replica.close().await;
            }
        };
        let (closed, ()) = tokio::join!(tokio::time::timeout(CLOSE_TIME, closed), self.state.metrics.traces.stop());
        if closed.is_ok() {
            self.this_run.end();
        } else {
            tracing::error!(
                "spool and database could not be closed in time and are left as after a crash: nothing acknowledged is lost"
            );
        }
    }
}

/// `None`: the database is away, which is no reason not to start. What does not pass by itself is one.
fn unless_away<T>(done: Result<T, StoreError>) -> Result<Option<T>, AppError> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.is_transient() => Ok(None),
        Err(error) => Err(AppError::Store(error)),
    }
}

/// What is done when somebody else changed the database, and at the first contact with it: the key that waited is registered, then everybody
/// who was admitted or revoked elsewhere is known.
fn refresh_keys(
    state: &Arc<HttpState>,
    admin_key: &Arc<AdminKey>,
) -> Arc<dyn Fn() -> futures_util::future::BoxFuture<'static, Result<(), StoreError>> + Send + Sync> {
    let (state, admin_key) = (Arc::clone(state), Arc::clone(admin_key));
    Arc::new(move || {
        let (state, admin_key) = (Arc::clone(&state), Arc::clone(&admin_key));
        Box::pin(async move {
            admin_key.register(&*state.store, now()).await?;
            state.keys.refresh(&*state.store).await.map(drop)
        })
    })
}

/// Only ours to read: it holds visitors' user agents and the admin key. An existing directory keeps the mode its owner gave it.
fn make_data_dir(path: &Path) -> Result<(), AppError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| AppError::Io {
        what: "the data directory",
        path: path.to_owned(),
        source,
    })
}

fn now() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// One line for the operator: the sentence and its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}
