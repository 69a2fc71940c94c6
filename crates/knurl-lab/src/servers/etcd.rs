//! etcd: one member, which Patroni asks who leads.

use std::net::{Ipv4Addr, SocketAddr};

use tempfile::TempDir;

use super::{
    Result,
    daemon::{Daemon, Recipe, find, on_free_ports},
};
use crate::http::{Connection, Request};

#[derive(Debug)]
pub(super) struct Etcd {
    // Before the directory: dropped first.
    _daemon: Daemon,
    _dir: TempDir,
    pub(super) addr: SocketAddr,
}

impl Etcd {
    pub(super) fn start() -> Result<Self> {
        let program = find("etcd", "etcd-server", &[])?;
        let dir = TempDir::with_prefix("knurl-etcd-")?;
        on_free_ports(|[for_clients, for_peers]| {
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, for_clients));
            let (url, peers) = (format!("http://{addr}"), format!("http://127.0.0.1:{for_peers}"));
            let cluster = format!("lab={peers}");
            let args = [
                ["--name", "lab"],
                ["--data-dir", "data"],
                ["--listen-client-urls", &url],
                ["--advertise-client-urls", &url],
                ["--listen-peer-urls", &peers],
                ["--initial-advertise-peer-urls", &peers],
                ["--initial-cluster", &cluster],
            ];
            let recipe = Recipe {
                program: program.clone(),
                args: args.concat().into_iter().map(str::to_owned).collect(),
                dir: dir.path().to_owned(),
                owner: None,
                dies_by: "KILL",
            };
            Ok((Daemon::start(recipe, move || is_healthy(addr))?, addr))
        })
        .map(|(daemon, addr)| Self { _daemon: daemon, _dir: dir, addr })
    }
}

fn is_healthy(addr: SocketAddr) -> bool {
    let ask = || Connection::open(addr).ok()?.ask(&Request::get("/health")).ok();
    ask().is_some_and(|answer| answer.status == 200)
}
