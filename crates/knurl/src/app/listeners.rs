//! The listening sockets: bound here, or handed over by whoever started us.
//!
//! Promised: a socket that a supervisor holds (systemd's socket activation: `LISTEN_FDS` from descriptor 3 on) is used instead of binding
//! one; the first is for redirects and API, a second one for metrics. The kernel queues connections on it while we are away, so that
//! a restart of this node refuses nobody.
//! Refused: what is no listening TCP socket, and more than two of them.

use std::{io, net::SocketAddr};

use listenfd::ListenFd;

use super::AppError;
use crate::{config::Config, http::accept};

/// What was handed over, in its order.
#[derive(Debug, Default)]
pub(super) struct HandedOver {
    public: Option<std::net::TcpListener>,
    observed: Option<std::net::TcpListener>,
}

impl HandedOver {
    /// What the environment says was meant for this process, and no other.
    pub(super) fn take() -> Result<Self, AppError> {
        let mut handed = ListenFd::from_env();
        if handed.len() > 2 {
            let count = format!("{} of them, where at most two have a meaning", handed.len());
            return Err(AppError::HandedOver(io::Error::other(count)));
        }
        let mut next = |at: usize| if at < handed.len() { handed.take_tcp_listener(at) } else { Ok(None) };
        Ok(Self { public: next(0).map_err(AppError::HandedOver)?, observed: next(1).map_err(AppError::HandedOver)? })
    }

    /// Their addresses take the place of the configured ones.
    pub(super) fn configure(&self, config: &mut Config) -> Result<(), AppError> {
        let addr = |listener: &std::net::TcpListener| listener.local_addr().map_err(AppError::HandedOver);
        if let Some(public) = &self.public {
            config.http.listen = addr(public)?;
        }
        if let Some(observed) = &self.observed {
            config.http.metrics_listen = addr(observed)?;
        }
        Ok(())
    }

    pub(super) fn public(&mut self, config: &Config) -> Result<(accept::Listener, SocketAddr), AppError> {
        listener(self.public.take(), config.http.listen, "KNURL_LISTEN")
    }

    pub(super) fn observed(&mut self, config: &Config) -> Result<(accept::Listener, SocketAddr), AppError> {
        listener(self.observed.take(), config.http.metrics_listen, "KNURL_METRICS_LISTEN")
    }
}

fn listener(
    handed: Option<std::net::TcpListener>,
    addr: SocketAddr,
    option: &'static str,
) -> Result<(accept::Listener, SocketAddr), AppError> {
    if let Some(handed) = handed {
        let listener = accept::Listener::handed_over(handed).map_err(AppError::HandedOver)?;
        return Ok((listener, addr));
    }
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => AppError::InUse { addr, option },
        _ => AppError::Listen { addr, option, source },
    };
    let listener = accept::listen(addr).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener.into(), bound))
}
