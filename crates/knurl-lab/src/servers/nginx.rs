//! nginx, with a configuration that is given.

use std::{
    fs,
    net::{Ipv4Addr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    Result,
    daemon::{Daemon, Recipe, find, on_a_free_port},
};

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    // Before the directory: dropped first.
    daemon: Daemon,
    dir: TempDir,
    port: u16,
}

impl Nginx {
    /// `config` is asked for the whole text of nginx.conf, given the port to listen on and the directory it may write to (which is where
    /// relative paths lead; `pid` must be set to a path in it). It is ready when the port accepts.
    pub fn start(config: impl Fn(u16, &Path) -> String) -> Result<Self> {
        Self::start_on(0, |port, dir| Ok(config(port, dir)))
    }

    /// As [`Nginx::start`]; on this port, where it is not 0.
    pub fn start_on(port: u16, config: impl Fn(u16, &Path) -> Result<String>) -> Result<Self> {
        let program = find("nginx", "nginx", &[PathBuf::from("/usr/sbin")])?;
        let dir = TempDir::with_prefix("knurl-nginx-")?;
        // Workers may run as somebody else.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        let start = |port| {
            fs::write(dir.path().join("nginx.conf"), config(port, dir.path())?)?;
            let at = dir.path().display().to_string();
            let args = ["-p", &at, "-c", "nginx.conf", "-e", "server.log", "-g", "daemon off;"].map(str::to_owned).to_vec();
            // Fast shutdown, workers included.
            let recipe = Recipe { program: program.clone(), args, dir: dir.path().to_owned(), owner: None, dies_by: "TERM" };
            Ok((Daemon::start(recipe, move || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())?, port))
        };
        let (daemon, port) = if port == 0 { on_a_free_port(start)? } else { start(port)? };
        Ok(Self { daemon, dir, port })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its logs are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The master process, for signals such as HUP.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.pid()
    }

    /// On the same port, with what is in its directory.
    pub fn start_again(&mut self) -> Result<()> {
        let port = self.port;
        self.daemon.start_again(move || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
    }

    pub fn stop(&mut self) -> Result<()> {
        Ok(self.daemon.stop(Signal::QUIT)?)
    }
}
