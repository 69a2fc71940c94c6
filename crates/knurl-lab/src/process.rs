//! Process: the product as a child process, started, asked, killed and watched from outside.
//!
//! Promised: a started server has printed its ready line; dropping a [`Server`] kills it and waits, and it ends when the process that started
//! it is killed, so that no run leaves one behind.
//! Its log goes to `server.log` beside the data directory, so that a finding can be looked into afterwards.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::leash::{self, Leashed};

/// A start that takes longer has failed. Generous: the machine may be doing anything.
pub const READY_WITHIN: Duration = Duration::from_secs(60);
/// From SIGTERM to the end.
const STOP_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(2);

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("cannot run {path}: {source}")]
    Spawn { path: PathBuf, source: io::Error },
    #[error("the server ended before it was ready ({status}); its last words: {words}")]
    EndedEarly { status: ExitStatus, words: String },
    #[error("the server was not ready within {within:?}; its last words: {words}")]
    NotReady { within: Duration, words: String },
    #[error("the first line on standard output is not the ready line: {0}")]
    NotAReadyLine(String),
    #[error("the server did not end within {0:?} of SIGTERM")]
    WouldNotStop(Duration),
    #[error("no knurl binary: set KNURL_BIN, or build one (cargo build -p knurl --features failpoints); looked at {0}")]
    NoBinary(PathBuf),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How to start the product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    pub binary: PathBuf,
    /// Holds `data/` and `server.log`.
    pub dir: PathBuf,
    pub env: Vec<(String, String)>,
    /// Pin to these cores, as taskset writes them.
    pub cores: Option<String>,
    /// Commands in front of it that become it (`prlimit --nofile=64`).
    pub within: Vec<String>,
}

/// What a server is started with where its launch does not say otherwise.
pub(crate) const SERVE_ENV: [(&str, &str); 3] =
    [("KNURL_AUTH", "open"), ("KNURL_LISTEN", "127.0.0.1:0"), ("KNURL_METRICS_LISTEN", "127.0.0.1:0")];

impl Launch {
    /// Where servers of this launch write their log, one after the other.
    pub fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// A command of the product on the same data directory, with nothing inherited that would configure it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = match &self.cores {
            Some(cores) => {
                let mut pinned = leash::command("taskset");
                pinned.args(["-c", cores]).arg(&self.binary);
                pinned
            }
            None => match self.within.split_first().filter(|_| args == ["serve"]) {
                Some((first, others)) => {
                    let mut within = leash::command(first);
                    within.args(others).arg(&self.binary);
                    within
                }
                None => leash::command(&self.binary),
            },
        };
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("KNURL_") {
                command.env_remove(key);
            }
        }
        command.args(args).current_dir(&self.dir).env("KNURL_DATA_DIR", self.data_dir()).stdin(Stdio::null());
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }

    /// The server, not yet ready.
    pub fn spawn(&self) -> Result<Server, ProcessError> {
        let log = self.log();
        let mut serve = self.command(&["serve"]);
        for (key, value) in SERVE_ENV {
            if !self.env.iter().any(|(own, _)| own == key) {
                serve.env(key, value);
            }
        }
        serve.stdout(Stdio::piped()).stderr(File::options().create(true).append(true).open(&log)?);
        let spawned = leash::spawn(serve);
        let mut child = spawned.map_err(|source| ProcessError::Spawn { path: self.binary.clone(), source })?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("a piped child has a standard output"))?;
        let (say, lines) = mpsc::sync_channel(LINES_MAX);
        // Ends with the child: its standard output is closed then.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Later lines are for people; a full channel or a gone receiver loses nothing.
                let _ = say.try_send(line);
            }
        });
        Ok(Server { child, lines, log, addr: None, metrics_addr: None })
    }

    /// The server, ready.
    pub fn start(&self) -> Result<Server, ProcessError> {
        let mut server = self.spawn()?;
        server.wait_ready()?;
        Ok(server)
    }
}

/// Only the first line matters.
const LINES_MAX: usize = 16;

#[derive(Debug)]
pub struct Server {
    child: Leashed,
    lines: mpsc::Receiver<String>,
    log: PathBuf,
    addr: Option<SocketAddr>,
    metrics_addr: Option<SocketAddr>,
}

impl Server {
    pub fn wait_ready(&mut self) -> Result<(), ProcessError> {
        let line = match self.lines.recv_timeout(READY_WITHIN) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                return Err(ProcessError::NotReady { within: READY_WITHIN, words: last_words(&self.log) });
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(ProcessError::EndedEarly { status: self.child.wait()?, words: last_words(&self.log) });
            }
        };
        let ready: serde_json::Value = serde_json::from_str(&line).map_err(|_| ProcessError::NotAReadyLine(line.clone()))?;
        let addr = |key: &str| ready.get(key).and_then(serde_json::Value::as_str).and_then(|text| text.parse().ok());
        if ready.get("event").and_then(serde_json::Value::as_str) != Some("ready") {
            return Err(ProcessError::NotAReadyLine(line));
        }
        self.addr = addr("listen");
        self.metrics_addr = addr("metrics_listen");
        if self.addr.is_none() { Err(ProcessError::NotAReadyLine(line)) } else { Ok(()) }
    }

    /// Where it listens; known once it is ready.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw);
        pid.map_or(Ok(()), |pid| rustix::process::kill_process(pid, signal).map_err(io::Error::from))
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::TERM)?;
        self.ended_within(STOP_WITHIN)?.ok_or(ProcessError::WouldNotStop(STOP_WITHIN))
    }

    /// `None`: still running.
    pub fn ended_within(&mut self, within: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(POLL);
        }
    }
}

const LAST_WORDS_BYTES: usize = 1000;

fn last_words(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LAST_WORDS_BYTES)..]).trim().to_owned()
}

/// Whether it died of SIGKILL (ours, or its own at a fail point).
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

/// `KNURL_BIN`, else `knurl` beside the running program or one directory up (a test program stands in `deps/`).
pub fn find_binary() -> Result<PathBuf, ProcessError> {
    if let Some(path) = std::env::var_os("KNURL_BIN") {
        return Ok(PathBuf::from(path));
    }
    let me = std::env::current_exe()?;
    let beside = me.with_file_name("knurl");
    let above = me.parent().and_then(Path::parent).map(|dir| dir.join("knurl"));
    [Some(beside.clone()), above].into_iter().flatten().find(|path| path.is_file()).ok_or(ProcessError::NoBinary(beside))
}
