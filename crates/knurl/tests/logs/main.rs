//! What a node writes of itself: every line an object with the ids of its request, nothing of anybody's secrets, and never at a visitor's cost.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod blocked;
mod canaries;
mod keys;
#[path = "../wire/mod.rs"]
mod wire;

use std::{path::Path, process::Command, sync::Arc};

use knurl_lab::leash;
use serde_json::Value;
use tempfile::TempDir;
use wire::{
    Answer, LONG, Peer,
    process::{BINARY, Process},
};

/// Its log goes to `log`, as JSON.
fn command(dir: &Path, log: std::process::Stdio, variables: &[(&str, &str)]) -> Command {
    let mut command = Process::command(dir);
    command.current_dir(dir).stderr(log).env("KNURL_LOG_FORMAT", "json").envs(variables.iter().copied());
    command
}

fn start(dir: &Arc<TempDir>, log: std::process::Stdio, variables: &[(&str, &str)]) -> Process {
    Process::run(command(dir.path(), log, variables), Arc::clone(dir))
}

/// A command beside the server, by the same variables: what it says.
fn said(dir: &Path, variables: &[(&str, &str)], args: &[&str]) -> String {
    let mut command = leash::command(BINARY);
    command.args(args).current_dir(dir).env("KNURL_DATA_DIR", dir).envs(variables.iter().copied());
    let ran = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&ran.stdout), text(&ran.stderr))
}

/// The lines of a log, each an object.
fn lines(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// On a connection of its own.
fn ask(process: &Process, request: &str) -> Answer {
    ask_at(process.ready["listen"].as_str().unwrap(), request)
}

fn ask_at(addr: &str, request: &str) -> Answer {
    let mut peer = Peer::to(addr.parse().unwrap());
    peer.send(request.as_bytes());
    peer.answer().unwrap_or_else(|| panic!("no answer to {request:?}"))
}

fn metrics(process: &Process) -> String {
    let accept = "accept: application/openmetrics-text\r\n";
    ask_at(process.ready["metrics_listen"].as_str().unwrap(), &format!("GET /metrics HTTP/1.1\r\nhost: t\r\n{accept}\r\n")).body
}
