//! Exporters: what asks a server that knows nothing of Prometheus, and answers for it. The ones that production has.

use std::net::{SocketAddr, TcpStream};

use tempfile::TempDir;

use super::{
    Result,
    daemon::{Daemon, Recipe, find, on_a_free_port},
};

/// A running exporter.
#[derive(Debug)]
pub struct Exporter {
    // Before the directory: dropped first.
    daemon: Daemon,
    _dir: TempDir,
    addr: SocketAddr,
}

impl Exporter {
    /// Of an nginx, by its status page: `unix:PATH:/stub_status`, or a URL. The page has to answer when it starts.
    pub fn of_nginx(status: &str) -> Result<Self> {
        Self::start("prometheus-nginx-exporter", |addr| {
            vec![format!("-nginx.scrape-uri={status}"), format!("-web.listen-address={addr}")]
        })
    }

    /// Of a Redis: `redis://127.0.0.1:6379`.
    pub fn of_redis(url: &str) -> Result<Self> {
        Self::start("prometheus-redis-exporter", |addr| vec![format!("-redis.addr={url}"), format!("-web.listen-address={addr}")])
    }

    fn start(name: &'static str, args: impl Fn(SocketAddr) -> Vec<String>) -> Result<Self> {
        let program = find(name, name, &[])?;
        let dir = TempDir::with_prefix("knurl-exporter-")?;
        let (daemon, addr) = on_a_free_port(|port| {
            let addr = SocketAddr::from(([127, 0, 0, 1], port));
            let recipe =
                Recipe { program: program.clone(), args: args(addr), dir: dir.path().to_owned(), owner: None, dies_by: "KILL" };
            Ok((Daemon::start(recipe, move || TcpStream::connect(addr).is_ok())?, addr))
        })?;
        Ok(Self { daemon, _dir: dir, addr })
    }

    /// Where `/metrics` is.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.pid()
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        Ok(self.daemon.kill()?)
    }

    /// At the same address.
    pub fn start_again(&mut self) -> Result<()> {
        let addr = self.addr;
        self.daemon.start_again(move || TcpStream::connect(addr).is_ok())
    }
}
