//! One node: a process that keeps its directory and its addresses over restarts.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::ExitStatus,
};

use super::{FleetError, ask};
use crate::{
    dice::Dice,
    http::Request,
    kill::ledger::Audit,
    process::{Launch, Server},
};

/// Ports that are nobody's by chance: below those the kernel gives to outgoing connections, one of which could take a node's port while
/// the node restarts.
#[derive(Debug)]
pub(super) struct Ports {
    dice: Dice,
    ephemeral_from: u16,
}

const PORTS_FROM: u16 = 10_000;
const PORT_TRIES: u32 = 1_000;

impl Ports {
    pub(super) fn new() -> io::Result<Self> {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
        let ephemeral_from = range.split_whitespace().next().and_then(|port| port.parse().ok()).unwrap_or(32_768);
        // Chance that no seed has to repeat: two fleets at once should not meet.
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(Self { dice: Dice::new(since.as_nanos() as u64, &[u64::from(std::process::id())]), ephemeral_from })
    }

    fn draw(&mut self) -> Result<u16, FleetError> {
        let span = u64::from(self.ephemeral_from.saturating_sub(PORTS_FROM).max(1));
        (0..PORT_TRIES)
            .map(|_| PORTS_FROM.saturating_add(self.dice.below(span) as u16))
            .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
            .ok_or(FleetError::NoPort)
    }
}

/// A sample of the exposition at this address, by its whole name with labels; 0 where it is absent.
pub fn metric(metrics_addr: SocketAddr, sample: &str) -> Result<f64, FleetError> {
    let answer = ask(metrics_addr, &Request::get("/metrics"), 200)?;
    let text = String::from_utf8_lossy(answer.body.as_deref().unwrap_or_default()).into_owned();
    let line = text.lines().find(|line| line.strip_prefix(sample).is_some_and(|rest| rest.starts_with(' ')));
    Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0))
}

#[derive(Debug)]
pub struct Node {
    /// From 1.
    pub number: usize,
    launch: Launch,
    server: Option<Server>,
    addr: SocketAddr,
    metrics_addr: SocketAddr,
}

impl Node {
    pub(super) fn prepare(
        number: usize,
        binary: &Path,
        dir: &Path,
        env: &[(String, String)],
        ports: &mut Ports,
    ) -> Result<Self, FleetError> {
        fs::create_dir_all(dir)?;
        let mut draw = || -> Result<SocketAddr, FleetError> { Ok((Ipv4Addr::LOCALHOST, ports.draw()?).into()) };
        let (addr, metrics_addr) = (draw()?, draw()?);
        let launch = Launch { binary: binary.to_owned(), dir: dir.to_owned(), env: env.to_vec(), cores: None, within: Vec::new() };
        let mut node = Self { number, launch, server: None, addr, metrics_addr };
        node.set_default("KNURL_LISTEN", &addr.to_string());
        node.set_default("KNURL_METRICS_LISTEN", &metrics_addr.to_string());
        Ok(node)
    }

    /// One by itself, with nothing in front, started.
    pub fn alone(binary: &Path, dir: &Path, env: &[(String, String)]) -> Result<Self, FleetError> {
        let mut node = Self::prepare(1, binary, dir, env, &mut Ports::new()?)?;
        node.start()?;
        Ok(node)
    }

    pub(super) fn set_default(&mut self, key: &str, value: &str) {
        if self.launch.env.iter().all(|(own, _)| own != key) {
            self.set(key, value);
        }
    }

    /// From its next start on; `None`: to those of the process that starts it.
    pub(super) fn pin_to(&mut self, cores: Option<String>) {
        self.launch.cores = cores;
    }

    /// Served within these commands, each of which becomes the next one, from its next start on.
    pub fn serve_within(&mut self, commands: &[&str]) {
        self.launch.within = commands.iter().map(|word| (*word).to_owned()).collect();
    }

    /// From its next start on as before [`Node::set`].
    pub fn unset(&mut self, key: &str) {
        self.launch.env.retain(|(own, _)| own != key);
    }

    /// A command of the product on its directory, running or not.
    pub fn command(&self, args: &[&str]) -> std::process::Command {
        self.launch.command(args)
    }

    /// From its next start on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.launch.env.retain(|(own, _)| own != key);
        self.launch.env.push((key.to_owned(), value.to_owned()));
    }

    /// Returns when it has printed its ready line.
    pub fn start(&mut self) -> Result<(), FleetError> {
        self.server = Some(self.launch.start()?);
        Ok(())
    }

    /// SIGTERM, and waits: what a deployment does.
    pub fn stop(&mut self) -> Result<(), FleetError> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let status = server.stop()?;
        if status.success() { Ok(()) } else { Err(self.ended_badly(status)) }
    }

    /// SIGKILL, and waits.
    pub fn kill(&mut self) -> Result<(), FleetError> {
        if let Some(mut server) = self.server.take() {
            server.kill()?;
        }
        Ok(())
    }

    fn ended_badly(&self, status: ExitStatus) -> FleetError {
        FleetError::Unexpected { asked: format!("SIGTERM of node {}", self.number), status: 0, body: status.to_string() }
    }

    /// The running process; `None` while stopped.
    pub fn server(&mut self) -> Option<&mut Server> {
        self.server.as_mut()
    }

    pub fn is_running(&mut self) -> bool {
        self.server.as_mut().is_some_and(|server| matches!(server.ended_within(std::time::Duration::ZERO), Ok(None)))
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics_addr
    }

    pub fn data_dir(&self) -> PathBuf {
        self.launch.data_dir()
    }

    pub fn log(&self) -> PathBuf {
        self.launch.log()
    }

    /// A sample of its exposition, by its whole name with labels; 0 where it is absent.
    pub fn metric(&self, sample: &str) -> Result<f64, FleetError> {
        metric(self.metrics_addr, sample)
    }

    /// What its log says of threads that panicked.
    pub fn panics(&self) -> Vec<String> {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().filter(|line| line.contains("panicked")).map(str::to_owned).collect()
    }

    /// `knurl audit --json` on its directory, running or not.
    pub fn audit(&self) -> Result<Audit, FleetError> {
        let output = self.launch.command(&["audit", "--json"]).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let parsed = if output.status.success() { serde_json::from_str(&said).ok() } else { None };
        parsed.ok_or_else(|| FleetError::Audit {
            node: self.number,
            words: format!("{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr)),
        })
    }
}
