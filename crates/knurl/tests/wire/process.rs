//! `knurl serve` as a process of its own, which can be killed, and is when nobody holds it any more.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{ChildStdout, Command, ExitStatus, Stdio},
    sync::Arc,
};

use knurl_lab::leash::{self, Leashed};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::Peer;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_knurl");

pub(crate) struct Process {
    /// Before its directory: it is gone when that is removed.
    child: Leashed,
    pub(crate) ready: serde_json::Value,
    /// Its data directory, for whoever comes after it.
    pub(crate) dir: Arc<TempDir>,
    out: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn command(dir: &Path) -> Command {
        let mut command = leash::command(BINARY);
        command.arg("serve").env("KNURL_AUTH", "open").env("KNURL_DATA_DIR", dir);
        command.env("KNURL_LISTEN", "127.0.0.1:0").env("KNURL_METRICS_LISTEN", "127.0.0.1:0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(variables: &[(&str, &str)]) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), variables)
    }

    pub(crate) fn start_in(dir: Arc<TempDir>, variables: &[(&str, &str)]) -> Self {
        let mut command = Self::command(dir.path());
        // Where a core dump may fall.
        command.stderr(Stdio::null()).current_dir(dir.path()).envs(variables.iter().copied());
        Self::run(command, dir)
    }

    /// Starts it and reads its ready line.
    pub(crate) fn run(command: Command, dir: Arc<TempDir>) -> Self {
        let mut child = leash::spawn(command).unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { child, out, ready, dir }
    }

    pub(crate) fn connect(&self) -> Peer {
        Peer::to(self.ready["listen"].as_str().unwrap().parse().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> ExitStatus {
        let mut rest = String::new();
        // The end of its output is the end of the process.
        self.out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "the ready line was all it had to say");
        self.child.wait().unwrap()
    }
}
