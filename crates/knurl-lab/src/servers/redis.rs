//! Redis: in memory only, unless its settings say otherwise.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    Result, ServerError,
    daemon::{Daemon, Recipe, find, on_a_free_port},
};

const PACKAGE: &str = "redis-server";

/// A running Redis.
#[derive(Debug)]
pub struct Redis {
    // Before the directory: dropped first.
    daemon: Daemon,
    dir: TempDir,
    port: u16,
}

impl Redis {
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// `settings` as on the command line: `["--maxmemory", "2mb"]`.
    pub fn start_with(settings: &[&str]) -> Result<Self> {
        let program = find("redis-server", PACKAGE, &[])?;
        let dir = TempDir::with_prefix("knurl-redis-")?;
        on_a_free_port(|port| {
            let text = port.to_string();
            let at = dir.path().display().to_string();
            let own =
                ["--port", &text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", &at, "--daemonize", "no"];
            let recipe = Recipe {
                program: program.clone(),
                args: own.iter().chain(settings).map(|arg| (*arg).to_owned()).collect(),
                dir: dir.path().to_owned(),
                owner: None,
                dies_by: "KILL",
            };
            Ok((Daemon::start(recipe, move || answers(port))?, port))
        })
        .map(|(daemon, port)| Self { daemon, dir, port })
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.pid()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// One command through redis-cli; its answer as that prints it.
    pub fn command(&self, args: &[&str]) -> Result<String> {
        cli(self.port, args)
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        Ok(self.daemon.kill()?)
    }

    pub fn stop(&mut self) -> Result<()> {
        Ok(self.daemon.stop(Signal::TERM)?)
    }

    /// On the same port as before; empty, unless its settings keep what it had.
    pub fn start_again(&mut self) -> Result<()> {
        let port = self.port;
        self.daemon.start_again(move || answers(port))
    }

    pub fn pause(&self) {
        self.daemon.pause();
    }

    pub fn resume(&self) {
        self.daemon.resume();
    }
}

pub(super) fn cli(port: u16, args: &[&str]) -> Result<String> {
    let program = find("redis-cli", "redis-tools", &[])?;
    let mut cli = Command::new(&program);
    cli.args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(args);
    let out = cli.output().map_err(|source| ServerError::Spawn { program, source })?;
    if !out.status.success() {
        let words = String::from_utf8_lossy(&out.stderr).trim().to_owned();
        return Err(ServerError::Failed { program: "redis-cli".to_owned(), words });
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim_end().to_owned())
}

/// An error counts: a server that asks for a password is there.
pub(super) fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut first = [0];
        stream.read_exact(&mut first)?;
        Ok(matches!(first, [b'+' | b'-']))
    };
    ask().unwrap_or(false)
}
