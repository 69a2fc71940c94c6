//! The canary: a link of this node's own, clicked over its own address like anybody's, whose click has to show in the roll-ups.
//!
//! Statistics that stop silently are the classic failure of shorteners: every part says that it is well, and nothing is counted. This
//! looks at the whole way, from the socket to the count, and at nothing in between. Promised: a step is short, so that a stop waits for
//! none; the canary's link is this data directory's own, so that another node's clicks are no proof. What has failed is logged once.

use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use knurl_core::{
    LinkId, ShortCode, Target,
    link::{DEFAULT_DOMAIN, NewLink, RedirectStatus},
};
use knurl_store::{Store, StoreError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{
    Clock,
    supervisor::{Job, Pause},
};
use crate::{
    resolve::Resolver,
    telemetry::{Metrics, clicks::Faint},
};

/// For the database, and for the answer to a click, each.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// From the click to the roll-up. All being well it takes a drain's interval.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Of the answer, enough for its status.
const HEAD_BYTES: usize = 12;
/// Never asked for: RFC 2606 keeps it from leading anywhere.
const TARGET: &str = "http://canary.invalid/";

pub(super) struct CanaryJob {
    link: LinkOf,
    addr: SocketAddr,
    interval: Duration,
    metrics: Arc<Metrics>,
    flight: Flight,
    is_well: bool,
}

#[derive(Clone, Copy)]
enum Flight {
    /// Listening has only begun.
    Hatching,
    Perched,
    Flying {
        clicked: Instant,
        total_before: u64,
    },
}

#[derive(Debug, thiserror::Error)]
enum CanaryError {
    #[error("its link could not be made or looked at")]
    Store(#[from] StoreError),
    #[error("the database did not answer in time")]
    Silent,
    #[error("its link was deleted, or its code is somebody else's")]
    NoLink,
    #[error("its click could not be sent")]
    Io(#[from] io::Error),
    #[error("its click was answered {0:?}")]
    Answered(String),
    #[error("its click is not in the roll-ups after {0:?}")]
    NotSeen(Duration),
}

impl CanaryError {
    fn at(&self) -> Faint {
        match self {
            Self::Store(_) | Self::Silent | Self::NoLink => Faint::Link,
            Self::Io(_) | Self::Answered(_) => Faint::Click,
            Self::NotSeen(_) => Faint::RollUp,
        }
    }
}

impl CanaryJob {
    pub(super) fn new(link: LinkOf, addr: SocketAddr, interval: Duration, metrics: Arc<Metrics>) -> Self {
        Self { link, addr: reachable(addr), interval, metrics, flight: Flight::Hatching, is_well: true }
    }

    async fn fly(&mut self) -> Result<Pause, CanaryError> {
        let total_before = self.link.clicks().await?;
        let clicked = Instant::now();
        let status = timeout(ANSWER_MAX, click(self.addr, self.link.code.as_str())).await;
        let status = status.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if status != "HTTP/1.1 302" {
            return Err(CanaryError::Answered(status));
        }
        self.flight = Flight::Flying { clicked, total_before };
        Ok(Pause::For(LOOK_EVERY))
    }

    async fn look(&mut self, clicked: Instant, total_before: u64) -> Result<Pause, CanaryError> {
        let waited = clicked.elapsed();
        match self.link.clicks().await {
            Ok(total) if total > total_before => {
                self.metrics.canary.seen(clicked.elapsed());
                if !self.is_well {
                    tracing::info!(after = ?waited, "the canary's click is in the roll-ups again");
                }
                self.is_well = true;
                Ok(self.perch(waited))
            }
            _ if waited > SEEN_WITHIN => Err(CanaryError::NotSeen(waited)),
            // A database that is away is what it is looked for.
            _ => Ok(Pause::For(LOOK_EVERY)),
        }
    }

    fn perch(&mut self, flown: Duration) -> Pause {
        self.flight = Flight::Perched;
        Pause::For(self.interval.saturating_sub(flown).max(LOOK_EVERY))
    }
}

impl Job for CanaryJob {
    const NAME: &'static str = "canary";

    async fn step(&mut self) -> Pause {
        let (stepped, flown) = match self.flight {
            Flight::Hatching => (Ok(self.perch(Duration::ZERO)), Duration::ZERO),
            Flight::Perched => (self.fly().await, Duration::ZERO),
            Flight::Flying { clicked, total_before } => (self.look(clicked, total_before).await, clicked.elapsed()),
        };
        stepped.unwrap_or_else(|error| {
            self.metrics.canary.failed(error.at());
            if self.is_well {
                tracing::error!(error = &error as &dyn Error, "the canary's click was not counted: statistics may have stopped");
            }
            self.is_well = false;
            // It may have been removed: the next time it is looked for anew.
            self.link.id = None;
            self.perch(flown)
        })
    }
}

/// The link that this data directory's canary clicks.
pub(super) struct LinkOf {
    code: ShortCode,
    id: Option<LinkId>,
    store: Arc<dyn Store>,
    resolver: Resolver,
    clock: Clock,
}

impl fmt::Debug for LinkOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkOf").field("code", &self.code).finish_non_exhaustive()
    }
}

impl LinkOf {
    pub(super) fn new(spool: u128, store: Arc<dyn Store>, resolver: Resolver, clock: Clock) -> Self {
        let text = format!("canary-{:08x}", spool >> 96);
        #[expect(clippy::expect_used, reason = "letters, digits and a hyphen, 15 of them")]
        let code = ShortCode::parse(&text).expect("a short code");
        Self { code, id: None, store, resolver, clock }
    }

    /// How many of its clicks the roll-ups hold; made where there is none.
    async fn clicks(&mut self) -> Result<u64, CanaryError> {
        let id = match self.id {
            Some(id) => id,
            None => in_time(self.find_or_make()).await?,
        };
        self.id = Some(id);
        let store = Arc::clone(&self.store);
        let totals = in_time(async move { Ok(store.link_totals(&[id]).await?) }).await?;
        Ok(totals.get(&id).map_or(0, |total| total.total))
    }

    async fn find_or_make(&self) -> Result<LinkId, CanaryError> {
        if let Some(link) = self.store.link_by_code(DEFAULT_DOMAIN, &self.code).await? {
            return Ok(link.id);
        }
        let new = NewLink {
            domain: DEFAULT_DOMAIN.to_owned(),
            short_code: self.code.clone(),
            target: Target::verbatim(TARGET).map_err(|_| CanaryError::NoLink)?,
            title: Some("Knurl's canary".to_owned()),
            is_active: true,
            status: RedirectStatus::Found302,
            owner: None,
            expires_at: None,
        };
        match self.store.create_link(new, (self.clock)()).await {
            Ok(link) => {
                self.resolver.created(self.code.as_str());
                Ok(link.id)
            }
            Err(StoreError::Conflict(_)) => Err(CanaryError::NoLink),
            Err(error) => Err(error.into()),
        }
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, CanaryError>>) -> Result<T, CanaryError> {
    timeout(ANSWER_MAX, asked).await.unwrap_or(Err(CanaryError::Silent))
}

/// Where "all addresses" is listened on, the loopback one is among them.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// One GET on a connection of its own; version and status of the answer.
async fn click(addr: SocketAddr, code: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET /{code} HTTP/1.1\r\nHost: {addr}\r\nUser-Agent: knurl-canary\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; HEAD_BYTES];
    stream.read_exact(&mut head).await?;
    Ok(String::from_utf8_lossy(&head).into_owned())
}
