//! Start in order, run, stop in reverse.
//!
//! Promised: [`App::start`] returns once redirects are served, or an [`AppError`] that is one sentence for the operator; [`App::stop`]
//! ends within `http.drain_timeout` plus the time the store needs to close, whatever the clients do.
//! Refused: starting on a data directory another process has open; serving without keys on an address that is not loopback.

use std::net::SocketAddr;

use crate::config::Config;

/// A running server. Dropping it without [`App::stop`] leaves its tasks to the runtime.
#[derive(Debug)]
pub struct App {
    addr: SocketAddr,
    metrics_addr: SocketAddr,
    admin_key: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("{0}")]
    Config(String),
}

impl App {
    pub async fn start(_config: Config) -> Result<App, AppError> {
        todo!("app")
    }

    /// Where the API and the redirects are served; the real port where 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where `/metrics` and `/health` are served without a key.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics_addr
    }

    /// The admin key, where one is known: configured, or kept in `<data_dir>/admin.key`. `None` with `auth = open`.
    pub fn admin_key(&self) -> Option<&str> {
        self.admin_key.as_deref()
    }

    /// Stops accepting, finishes what is in flight, drains the clicks, closes spool and store.
    pub async fn stop(self) {
        todo!("app")
    }
}

/// `knurl serve`: builds the runtime, starts the [`App`], prints the ready line to standard output, calls `on_ready` (the CLI's
/// `--welcome`), runs until SIGTERM or SIGINT and stops. Blocks. A second signal ends the process at once.
pub fn serve(_config: Config, _on_ready: impl FnOnce(&App)) -> Result<(), AppError> {
    todo!("app")
}
