//! One daemon as our child: found, started, frozen, killed with all its own children.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Result, ServerError};
use crate::leash;

/// A start that takes longer has failed. Generous: the machine may be doing anything.
const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);
/// Of a log, what an error shows.
const WORDS_BYTES: u64 = 2_000;

/// How to run one program; used again at every start.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) dir: PathBuf,
    /// Who it runs as where we are root and it refuses that.
    pub(super) owner: Option<(u32, u32)>,
    /// What it is sent when we die; one that makes it take its children along.
    pub(super) dies_by: &'static str,
}

#[derive(Debug)]
pub(super) struct Daemon {
    recipe: Recipe,
    child: Option<Child>,
}

impl Daemon {
    /// Starts it and waits until `is_ready`.
    pub(super) fn start(recipe: Recipe, is_ready: impl Fn() -> bool) -> Result<Self> {
        let mut daemon = Self { recipe, child: None };
        daemon.start_again(is_ready)?;
        Ok(daemon)
    }

    pub(super) fn start_again(&mut self, is_ready: impl Fn() -> bool) -> Result<()> {
        self.kill()?;
        let program = self.recipe.program.display().to_string();
        let child = self.child.insert(spawn(&self.recipe)?);
        let begun = Instant::now();
        loop {
            if child.try_wait()?.is_some() {
                self.child = None;
                return Err(ServerError::Failed { program, words: self.words() });
            }
            if is_ready() {
                return Ok(());
            }
            if begun.elapsed() > READY_WITHIN {
                let words = self.words();
                self.kill()?;
                return Err(ServerError::NotReady { program, within_s: READY_WITHIN.as_secs(), words });
            }
            thread::sleep(POLL);
        }
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// SIGKILL, to it and all its children at once: what a power cut does, but for the page cache.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        // Frozen first, so that it makes no more children while we look for them.
        signal(child.id(), Signal::STOP);
        let family = descendants(child.id());
        child.kill()?;
        family.iter().for_each(|pid| signal(*pid, Signal::KILL));
        child.wait()?;
        while family.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists() && !is_zombie(*pid)) {
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Sends `by` and waits; killed where that takes longer than a start may.
    pub(super) fn stop(&mut self, by: Signal) -> io::Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        signal(child.id(), by);
        let begun = Instant::now();
        while child.try_wait()?.is_none() {
            if begun.elapsed() > READY_WITHIN {
                return self.kill();
            }
            thread::sleep(POLL);
        }
        self.child = None;
        Ok(())
    }

    /// It and its children stand still: connections are accepted by the kernel and nobody answers.
    pub(super) fn pause(&self) {
        self.signal_all(Signal::STOP);
    }

    pub(super) fn resume(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, what: Signal) {
        if let Some(pid) = self.pid() {
            signal_family(pid, what);
        }
    }

    pub(super) fn words(&self) -> String {
        last_words(&log_of(&self.recipe.dir))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

pub(super) fn log_of(dir: &Path) -> PathBuf {
    dir.join("server.log")
}

/// The program on PATH or in one of `also`.
pub(super) fn find(program: &'static str, package: &'static str, also: &[PathBuf]) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = also.iter().cloned().chain(std::env::split_paths(&path)).map(|dir| dir.join(program)).find(|path| path.is_file());
    found.ok_or(ServerError::Missing { program, package })
}

/// A port that nobody listens on now. Somebody may take it before the server does: then the start fails and says so.
pub(super) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// So many at once, each another one.
pub(super) fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Tries other ports where a start fails: another process may have taken the one we saw free.
pub(super) fn on_a_free_port<T>(start: impl Fn(u16) -> Result<T>) -> Result<T> {
    on_free_ports(|[port]| start(port))
}

/// As [`on_a_free_port`], of a server that takes several.
pub(super) fn on_free_ports<T, const N: usize>(start: impl Fn([u16; N]) -> Result<T>) -> Result<T> {
    const TRIES: u32 = 5;
    let mut tried = 0;
    loop {
        tried += 1;
        match start(free_ports()?) {
            Err(ServerError::Failed { words, .. }) if tried < TRIES && words.to_lowercase().contains("in use") => {}
            started => return started,
        }
    }
}

/// It gives up root where it must, and ends when we do.
pub(super) fn command(recipe: &Recipe) -> Command {
    let of = |(uid, gid)| vec![format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()];
    let mut command = leash::signalled(recipe.dies_by, &recipe.owner.map_or_else(Vec::new, of), &recipe.program);
    command.args(&recipe.args).current_dir(&recipe.dir).stdin(Stdio::null()).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C.UTF-8");
    command
}

fn spawn(recipe: &Recipe) -> Result<Child> {
    let log = File::options().create(true).append(true).open(log_of(&recipe.dir))?;
    let mut command = command(recipe);
    command.stdout(log.try_clone()?).stderr(log);
    leash::spawn_for_life(command).map_err(|source| ServerError::Spawn { program: recipe.program.clone(), source })
}

/// Children, their children and so on. PostgreSQL's and nginx's are in sessions of their own, so a process group would not do.
pub(crate) fn descendants(of: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut family = vec![of];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    family.split_off(1)
}

/// Fields after the name, which stands in brackets and may hold anything: state, parent, …
fn stat(pid: u32) -> Option<Vec<String>> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(line.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.get(1)?.parse().ok()
}

fn is_zombie(pid: u32) -> bool {
    stat(pid).is_none_or(|fields| fields.first().is_some_and(|state| state == "Z"))
}

/// As [`Daemon::kill`], of a process that a daemon has started and that is no child of it.
pub(super) fn kill_family(pid: u32) {
    signal(pid, Signal::STOP);
    let family = [descendants(pid), vec![pid]].concat();
    family.iter().for_each(|pid| signal(*pid, Signal::KILL));
    while family.iter().any(|pid| !is_zombie(*pid)) {
        thread::sleep(POLL);
    }
}

fn signal_family(pid: u32, what: Signal) {
    signal(pid, what);
    descendants(pid).into_iter().for_each(|pid| signal(pid, what));
}

fn signal(pid: u32, what: Signal) {
    // Gone already is as good.
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, what);
    }
}

fn last_words(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(WORDS_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_else(|error| format!("(its log cannot be read: {error})"))
}
