//! The fault proxy: TCP proxies whose connections go bad on demand, with Toxiproxy's names and JSON API.
//!
//! Promised: without a toxic every byte passes unchanged in both directions; every random choice follows from the seed, the proxy's name
//! and the connection's number; a proxy that is not enabled refuses connections and keeps its port. Refused: more connections than
//! [`CONNECTIONS_MAX`] a proxy (turned away, and counted), addresses that are not the loopback's.

mod api;
mod connection;
mod lane;
mod listener;
mod set;
mod toxic;

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

pub use api::Api;
use connection::{Connection, fnv};
pub(crate) use listener::Listener;
pub use set::{Proxies, Wish};
use toxic::Cut;
pub use toxic::{Direction, Toxic, ToxicKind};

/// Each takes four threads.
pub const CONNECTIONS_MAX: usize = 1024;
pub const TOXICS_MAX: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("{0} is not an address of the loopback")]
    NotLoopback(SocketAddr),
    #[error("toxic {name}: {fault}")]
    BadToxic { name: String, fault: &'static str },
    #[error("toxic already exists")]
    ToxicExists,
    #[error("proxy already exists")]
    ProxyExists,
    #[error("{0} proxies at most")]
    TooManyProxies(usize),
    #[error("a name has 1 to {0} visible ASCII characters without a slash")]
    BadName(usize),
    #[error("a proxy takes {TOXICS_MAX} toxics at most")]
    TooManyToxics,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What has become of the connections of a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    pub accepted: u64,
    /// Ended by a toxic.
    pub cut: u64,
    /// Closed on arrival: one too many, or the upstream could not be reached.
    pub turned_away: u64,
}

#[derive(Debug, Default)]
struct State {
    acceptor: Option<JoinHandle<()>>,
    enabled: bool,
    toxics: Vec<Toxic>,
    live: BTreeMap<u64, Arc<Connection>>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    dice: [u64; 2],
    listener: Listener,
    upstream: Mutex<SocketAddr>,
    state: Mutex<State>,
    /// Connections with a thread.
    carried: AtomicUsize,
    accepted: AtomicU64,
    cut: AtomicU64,
    turned_away: AtomicU64,
}

/// One proxy. Dropped, it and its connections are gone.
#[derive(Debug)]
pub struct Proxy {
    inner: Arc<Inner>,
}

impl Proxy {
    /// On a free port of the loopback, enabled.
    pub fn start(name: &str, upstream: SocketAddr, seed: u64) -> Result<Self, ProxyError> {
        let proxy = Self::bind(name, listener::any(), upstream, seed)?;
        proxy.enable()?;
        Ok(proxy)
    }

    /// Not enabled yet.
    pub fn bind(name: &str, listen: SocketAddr, upstream: SocketAddr, seed: u64) -> Result<Self, ProxyError> {
        if let Some(stranger) = [listen, upstream].into_iter().find(|addr| !addr.ip().is_loopback()) {
            return Err(ProxyError::NotLoopback(stranger));
        }
        let inner = Inner {
            name: name.to_owned(),
            dice: [seed, fnv(name)],
            listener: Listener::bind(listen)?,
            upstream: Mutex::new(upstream),
            state: Mutex::default(),
            carried: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub fn name(&self) -> &str {
        &self.inner.name
    }

    pub fn addr(&self) -> SocketAddr {
        self.inner.listener.addr()
    }

    pub fn upstream(&self) -> SocketAddr {
        *self.inner.upstream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For connections to come.
    pub fn set_upstream(&self, upstream: SocketAddr) -> Result<(), ProxyError> {
        if !upstream.ip().is_loopback() {
            return Err(ProxyError::NotLoopback(upstream));
        }
        *self.inner.upstream.lock().unwrap_or_else(PoisonError::into_inner) = upstream;
        Ok(())
    }

    pub fn is_enabled(&self) -> bool {
        self.inner.locked().enabled
    }

    pub fn enable(&self) -> Result<(), ProxyError> {
        let mut state = self.inner.locked();
        if state.enabled {
            return Ok(());
        }
        self.inner.listener.open()?;
        state.enabled = true;
        let inner = Arc::clone(&self.inner);
        state.acceptor = Some(thread::Builder::new().name(format!("proxy-{}", self.name())).spawn(move || accept(&inner))?);
        Ok(())
    }

    /// `down`: connections are refused, live ones closed.
    pub fn disable(&self) {
        let mut state = self.inner.locked();
        state.enabled = false;
        self.inner.listener.shut();
        let acceptor = state.acceptor.take();
        drop(state);
        // It panicked: then it accepts no more either.
        acceptor.map(JoinHandle::join);
        self.end_all(Cut::Close);
    }

    /// Every live connection, once.
    pub fn reset_connections(&self) {
        self.end_all(Cut::Reset);
    }

    fn end_all(&self, how: Cut) {
        let live: Vec<_> = self.inner.locked().live.values().cloned().collect();
        live.iter().for_each(|connection| connection.cut(how));
    }

    pub fn toxics(&self) -> Vec<Toxic> {
        self.inner.locked().toxics.clone()
    }

    /// Applies to live connections too. A toxic without a name gets its default one.
    pub fn add(&self, mut toxic: Toxic) -> Result<Toxic, ProxyError> {
        if toxic.name.is_empty() {
            toxic.name = toxic.default_name();
        }
        if let Some(fault) = toxic.fault() {
            return Err(ProxyError::BadToxic { name: toxic.name, fault });
        }
        let mut state = self.inner.locked();
        if state.toxics.iter().any(|other| other.name == toxic.name) {
            return Err(ProxyError::ToxicExists);
        }
        if state.toxics.len() >= TOXICS_MAX {
            return Err(ProxyError::TooManyToxics);
        }
        state.toxics.push(toxic.clone());
        state.tell();
        Ok(toxic)
    }

    /// `None`: there is none of this name.
    pub fn replace(&self, name: &str, toxic: Toxic) -> Result<Option<Toxic>, ProxyError> {
        if let Some(fault) = toxic.fault() {
            return Err(ProxyError::BadToxic { name: name.to_owned(), fault });
        }
        let mut state = self.inner.locked();
        let Some(old) = state.toxics.iter_mut().find(|old| old.name == name) else { return Ok(None) };
        *old = Toxic { name: name.to_owned(), ..toxic };
        let new = old.clone();
        state.tell();
        Ok(Some(new))
    }

    pub fn remove(&self, name: &str) -> bool {
        let mut state = self.inner.locked();
        let before = state.toxics.len();
        state.toxics.retain(|toxic| toxic.name != name);
        state.tell();
        state.toxics.len() < before
    }

    /// Enabled and without a toxic.
    pub fn heal(&self) -> Result<(), ProxyError> {
        let mut state = self.inner.locked();
        state.toxics.clear();
        state.tell();
        drop(state);
        self.enable()
    }

    pub fn fates(&self) -> Fates {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Fates { accepted: of(&self.inner.accepted), cut: of(&self.inner.cut), turned_away: of(&self.inner.turned_away) }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.disable();
    }
}

impl State {
    fn tell(&self) {
        self.live.values().for_each(|connection| connection.set(&self.toxics));
    }
}

impl Inner {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(inner: &Arc<Inner>) {
    while let Ok(client) = inner.listener.accept() {
        let number = inner.accepted.fetch_add(1, Ordering::Relaxed);
        if !inner.locked().enabled {
            return;
        }
        let is_full = inner.carried.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX;
        let carrier = Arc::clone(inner);
        let carry = move || {
            carry(&carrier, client, number);
            carrier.carried.fetch_sub(1, Ordering::Relaxed);
        };
        // The client is dropped with the closure then, and sees an end.
        if is_full || thread::Builder::new().name(format!("proxied-{number}")).spawn(carry).is_err() {
            inner.carried.fetch_sub(1, Ordering::Relaxed);
            inner.turned_away.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// From connecting to the upstream to the end.
fn carry(inner: &Inner, client: TcpStream, number: u64) {
    let upstream = *inner.upstream.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(connection) = Connection::open(client, upstream, number, inner.dice) else {
        inner.turned_away.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let connection = Arc::new(connection);
    let mut state = inner.locked();
    if !state.enabled {
        return;
    }
    connection.set(&state.toxics);
    state.live.insert(number, Arc::clone(&connection));
    drop(state);
    connection.run(&|| {
        inner.cut.fetch_add(1, Ordering::Relaxed);
    });
    inner.locked().live.remove(&number);
}
