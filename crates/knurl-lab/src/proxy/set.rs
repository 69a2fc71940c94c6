//! Proxies by name: what the API lists, and what a harness with several of them holds.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{Proxy, ProxyError, listener};

const PROXIES_MAX: usize = 256;
const NAME_CHARS_MAX: usize = 64;

/// A proxy as a client asks for it; what is absent stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Wish {
    pub name: String,
    pub listen: Option<SocketAddr>,
    pub upstream: Option<SocketAddr>,
    pub enabled: Option<bool>,
}

#[derive(Debug)]
pub struct Proxies {
    seed: u64,
    by_name: Mutex<BTreeMap<String, Arc<Proxy>>>,
}

impl Proxies {
    pub fn new(seed: u64) -> Self {
        Self { seed, by_name: Mutex::default() }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Proxy>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, name: &str) -> Option<Arc<Proxy>> {
        self.locked().get(name).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Proxy>> {
        self.locked().values().cloned().collect()
    }

    /// Enabled, unless the wish says otherwise.
    pub fn create(&self, wish: &Wish, upstream: SocketAddr) -> Result<Arc<Proxy>, ProxyError> {
        let is_name = |c: char| c.is_ascii_graphic() && c != '/';
        if wish.name.is_empty() || wish.name.len() > NAME_CHARS_MAX || !wish.name.chars().all(is_name) {
            return Err(ProxyError::BadName(NAME_CHARS_MAX));
        }
        let mut by_name = self.locked();
        if by_name.contains_key(&wish.name) {
            return Err(ProxyError::ProxyExists);
        }
        if by_name.len() >= PROXIES_MAX {
            return Err(ProxyError::TooManyProxies(PROXIES_MAX));
        }
        let proxy = Arc::new(Proxy::bind(&wish.name, wish.listen.unwrap_or_else(listener::any), upstream, self.seed)?);
        if wish.enabled.unwrap_or(true) {
            proxy.enable()?;
        }
        by_name.insert(wish.name.clone(), Arc::clone(&proxy));
        Ok(proxy)
    }

    /// Changes the upstream and whether it is enabled; where it listens stays.
    pub fn change(proxy: &Proxy, wish: &Wish) -> Result<(), ProxyError> {
        if let Some(upstream) = wish.upstream {
            proxy.set_upstream(upstream)?;
        }
        match wish.enabled {
            Some(true) => proxy.enable(),
            Some(false) => {
                proxy.disable();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// False: there is none of this name.
    pub fn remove(&self, name: &str) -> bool {
        let removed = self.locked().remove(name);
        // Disabled outside the lock: it waits for its acceptor.
        removed.iter().for_each(|proxy| proxy.disable());
        removed.is_some()
    }

    /// All enabled, no toxic left.
    pub fn reset(&self) -> Result<(), ProxyError> {
        self.all().iter().try_for_each(|proxy| proxy.heal())
    }
}
