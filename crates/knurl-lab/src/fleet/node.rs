//! One node: it keeps its directory and its addresses over restarts, a process or a container.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::ExitStatus,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{FleetError, Housing, ask, cage::Cage, container::Container, housing::Tenant};
use crate::{dice::Dice, http::Request, kill::ledger::Audit, process::Launch};

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
    housing: Housing,
    /// From its start until it is stopped or killed.
    tenant: Option<Tenant>,
    /// Of a process, which has to be gone before.
    cage: Option<Cage>,
    /// Of a container.
    memory_bytes: Option<u64>,
    /// What was counted of containers that are gone.
    restarts: u64,
    kills_for_memory: u64,
    addr: SocketAddr,
    metrics_addr: SocketAddr,
}

impl Node {
    pub(super) fn prepare(
        number: usize,
        housing: &Housing,
        binary: &Path,
        dir: &Path,
        env: &[(String, String)],
        ports: &mut Ports,
    ) -> Result<Self, FleetError> {
        housing.directory(dir)?;
        let mut draw = || -> Result<SocketAddr, FleetError> { Ok((Ipv4Addr::LOCALHOST, ports.draw()?).into()) };
        let (addr, metrics_addr) = (draw()?, draw()?);
        let launch = Launch { binary: binary.to_owned(), dir: dir.to_owned(), env: env.to_vec(), cores: None, within: Vec::new() };
        let mut node = Self {
            number,
            launch,
            housing: housing.clone(),
            tenant: None,
            cage: None,
            memory_bytes: None,
            restarts: 0,
            kills_for_memory: 0,
            addr,
            metrics_addr,
        };
        node.set_default("KNURL_LISTEN", &addr.to_string());
        node.set_default("KNURL_METRICS_LISTEN", &metrics_addr.to_string());
        Ok(node)
    }

    /// One by itself, with nothing in front, started.
    pub fn alone(binary: &Path, dir: &Path, env: &[(String, String)]) -> Result<Self, FleetError> {
        Self::housed(&Housing::Process, binary, dir, env)
    }

    /// As [`Node::alone`]; a container has its own binary.
    pub fn housed(housing: &Housing, binary: &Path, dir: &Path, env: &[(String, String)]) -> Result<Self, FleetError> {
        let mut node = Self::prepare(1, housing, binary, dir, env, &mut Ports::new()?)?;
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

    /// From its next start on it has so much memory and no more; the kernel ends it when it takes more. Needs root.
    pub fn bound_memory(&mut self, bytes: u64) -> Result<(), FleetError> {
        match self.housing {
            Housing::Process => {
                let cage = Cage::of(bytes)?;
                self.serve_within(&["sh", "-c", &cage.within(), "sh"]);
                self.cage = Some(cage);
            }
            Housing::Container(_) => self.memory_bytes = Some(bytes),
        }
        Ok(())
    }

    /// How often the kernel has ended it because it took more than [`Node::bound_memory`].
    pub fn kills_for_memory(&self) -> u64 {
        let now = match &self.tenant {
            Some(Tenant::Container(container)) => container.kills_for_memory(),
            _ => self.cage.as_ref().map_or(0, Cage::kills),
        };
        self.kills_for_memory + now
    }

    /// A command of the product on its directory, running or not.
    pub fn command(&self, args: &[&str]) -> std::process::Command {
        self.housing.command(&self.launch, args)
    }

    /// A directory beside its data, made where it is missing, which the node and its commands may write to.
    pub fn beside(&self, name: &str) -> Result<PathBuf, FleetError> {
        let at = self.launch.dir.join(name);
        self.housing.directory(&at)?;
        Ok(at)
    }

    pub fn housing(&self) -> &Housing {
        &self.housing
    }

    /// From its next start on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.launch.env.retain(|(own, _)| own != key);
        self.launch.env.push((key.to_owned(), value.to_owned()));
    }

    /// Returns when it can redirect. A container that has [crashed](Node::crash), and of which nothing was changed since, is Docker's to start
    /// again: that is waited for. One that does not start is left to Docker too, which tries again and again.
    pub fn start(&mut self) -> Result<(), FleetError> {
        let Housing::Container(image) = self.housing.clone() else {
            self.tenant = Some(Tenant::Process(self.launch.start()?));
            return Ok(());
        };
        if self.is_running() {
            return Ok(());
        }
        let comes_back = |container: &Container| container.comes_back(&self.launch, self.memory_bytes);
        if !matches!(&self.tenant, Some(Tenant::Container(container)) if comes_back(container)) {
            self.vacate()?;
            self.tenant = Some(Tenant::Container(Container::run(&image, &self.launch, self.memory_bytes)?));
        }
        match &mut self.tenant {
            Some(Tenant::Container(container)) => container.wait_ready(self.metrics_addr),
            _ => Ok(()),
        }
    }

    /// SIGTERM, and waits: what a deployment does.
    pub fn stop(&mut self) -> Result<(), FleetError> {
        let Some(tenant) = &mut self.tenant else { return Ok(()) };
        if matches!(tenant, Tenant::Container(container) if container.is_killed()) {
            return self.vacate();
        }
        let status = tenant.stop();
        self.vacate()?;
        let status = status?;
        if status.success() { Ok(()) } else { Err(self.ended_badly(status)) }
    }

    /// SIGKILL, and waits: as somebody wishes it, and nobody starts it again. A container stays where it is until then: Docker could.
    pub fn kill(&mut self) -> Result<(), FleetError> {
        match &mut self.tenant {
            Some(Tenant::Process(server)) => {
                server.kill()?;
                self.tenant = None;
            }
            Some(Tenant::Container(container)) => container.kill()?,
            None => {}
        }
        Ok(())
    }

    /// SIGKILL, and waits: as a crash is, and whoever supervises it starts it again. Of a process that is [`Stage::supervise`](crate::drill::Stage::supervise),
    /// of a container Docker.
    pub fn crash(&mut self) -> Result<(), FleetError> {
        self.tenant.as_mut().map_or(Ok(()), Tenant::crash)
    }

    /// Nothing of the tenant is left but its words and what was counted.
    fn vacate(&mut self) -> Result<(), FleetError> {
        if let Some(Tenant::Container(container)) = self.tenant.take() {
            self.restarts += container.restarts();
            self.kills_for_memory += container.kills_for_memory();
            container.leave_words()?;
        }
        Ok(())
    }

    /// How often Docker has started it again by itself; `None`: it is no container.
    pub fn restarts(&self) -> Option<u64> {
        let now = |tenant: &Tenant| if let Tenant::Container(container) = tenant { container.restarts() } else { 0 };
        matches!(self.housing, Housing::Container(_)).then(|| self.restarts + self.tenant.as_ref().map_or(0, now))
    }

    fn ended_badly(&self, status: ExitStatus) -> FleetError {
        FleetError::Unexpected { asked: format!("SIGTERM of node {}", self.number), status: 0, body: status.to_string() }
    }

    /// Of its process; `None` while it is stopped or killed.
    pub fn pid(&self) -> Option<u32> {
        self.tenant.as_ref().map(Tenant::pid).filter(|pid| *pid != 0)
    }

    /// Nothing where it does not run.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        let pid = if self.is_running() { self.pid() } else { None };
        let pid = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        pid.map_or(Ok(()), |pid| kill_process(pid, signal).map_err(io::Error::from))
    }

    pub fn is_running(&mut self) -> bool {
        self.tenant.as_mut().is_some_and(Tenant::is_running)
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

    /// Of a process; a container's is there once the container is gone.
    pub fn log(&self) -> PathBuf {
        self.launch.log()
    }

    /// A sample of its exposition, by its whole name with labels; 0 where it is absent.
    pub fn metric(&self, sample: &str) -> Result<f64, FleetError> {
        metric(self.metrics_addr, sample)
    }

    /// Everything that it has logged, over all its starts.
    pub fn words(&self) -> String {
        let mut words = fs::read_to_string(self.log()).unwrap_or_default();
        if let Some(Tenant::Container(container)) = &self.tenant {
            words.push_str(&container.words());
        }
        words
    }

    /// What its log says of threads that panicked.
    pub fn panics(&self) -> Vec<String> {
        let log = self.words();
        log.lines().filter(|line| line.contains("panicked")).map(str::to_owned).collect()
    }

    /// `knurl audit --json` on its directory, running or not.
    pub fn audit(&self) -> Result<Audit, FleetError> {
        let output = self.command(&["audit", "--json"]).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let parsed = if output.status.success() { serde_json::from_str(&said).ok() } else { None };
        parsed.ok_or_else(|| FleetError::Audit {
            node: self.number,
            words: format!("{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr)),
        })
    }
}
