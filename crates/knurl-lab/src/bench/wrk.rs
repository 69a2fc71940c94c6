//! wrk: the load, from Debian's package, and what it reports.

use std::{
    io::Read as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use super::{
    BenchError, Rig,
    machine::{self, CpuTime, Spent},
};
use crate::leash::{self, Leashed};

/// What browsers send; a click's record holds it.
const USER_AGENT: &str =
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
const HEAD_SCRIPT: &str = "wrk.method = \"HEAD\"\n";

/// What is asked for: one path again and again, or what a script says.
#[derive(Clone, Debug)]
pub(super) struct Load {
    path: String,
    script: Option<PathBuf>,
    env: Vec<(&'static str, String)>,
}

impl Load {
    pub(super) fn get(path: &str) -> Self {
        Self { path: path.to_owned(), script: None, env: Vec::new() }
    }

    pub(super) fn head(rig: &Rig, path: &str) -> Result<Self, BenchError> {
        let script = rig.dir.path().join("head.lua");
        std::fs::write(&script, HEAD_SCRIPT)?;
        Ok(Self::script(path, &script, Vec::new()))
    }

    pub(super) fn script(path: &str, script: &Path, env: Vec<(&'static str, String)>) -> Self {
        Self { path: path.to_owned(), script: Some(script.to_owned()), env }
    }
}

#[derive(Clone, Debug)]
pub(super) struct WrkRun {
    pub(super) requests: f64,
    pub(super) per_second: f64,
    pub(super) p99_us: f64,
    /// Of the processes watched, in their order.
    pub(super) spent: Vec<Spent>,
}

impl WrkRun {
    /// Of the process watched first.
    pub(super) fn cpu_us(&self) -> f64 {
        self.cpu_us_of(0)
    }

    pub(super) fn cpu_us_of(&self, watched: usize) -> f64 {
        self.spent.get(watched).map_or(f64::NAN, |spent| spent.whole_us) / self.requests
    }
}

/// A load that is under way, and what the processes watched had used before.
#[derive(Debug)]
pub(super) struct Running {
    child: Leashed,
    watched: Vec<(u32, CpuTime)>,
}

pub(super) fn start(rig: &Rig, addr: SocketAddr, load: &Load, connections: u64, watched: &[u32]) -> Result<Running, BenchError> {
    let watched = watched.iter().map(|&pid| Ok((pid, machine::cpu_time(pid)?))).collect::<Result<_, BenchError>>()?;
    let mut command = leash::command("wrk");
    command.args(["-t1", "--latency", "-H", USER_AGENT]);
    command.arg(format!("-c{connections}")).arg(format!("-d{}s", rig.seconds));
    if let Some(script) = &load.script {
        command.arg("-s").arg(script).envs(load.env.iter().map(|(key, value)| (key, value)));
    }
    command.arg(format!("http://{addr}{}", load.path)).stdin(Stdio::null()).stdout(Stdio::piped());
    let child = leash::spawn(command).map_err(|error| BenchError::Run("wrk", error))?;
    Ok(Running { child, watched })
}

impl Running {
    pub(super) fn wait(mut self) -> Result<Answered, BenchError> {
        let mut said = String::new();
        if let Some(mut out) = self.child.stdout.take() {
            out.read_to_string(&mut said).map_err(|error| BenchError::Run("wrk", error))?;
        }
        self.child.wait().map_err(|error| BenchError::Run("wrk", error))?;
        let (requests, per_second, p99_us) = parse(&said).map_err(|said| BenchError::Failed { what: "wrk", said })?;
        Ok(Answered { requests, per_second, p99_us, watched: self.watched })
    }
}

/// A load that is over; what it has left behind may still be worked on.
#[derive(Debug)]
pub(super) struct Answered {
    requests: f64,
    per_second: f64,
    p99_us: f64,
    watched: Vec<(u32, CpuTime)>,
}

impl Answered {
    /// With what the processes have used until now.
    pub(super) fn settle(self) -> Result<WrkRun, BenchError> {
        let Self { requests, per_second, p99_us, watched } = self;
        let since = |(pid, before): &(u32, CpuTime)| Ok(machine::cpu_time(*pid)?.since(before));
        let spent = watched.iter().map(since).collect::<Result<_, BenchError>>()?;
        Ok(WrkRun { requests, per_second, p99_us, spent })
    }
}

/// One load by itself, and what the processes used until its end.
pub(super) fn run(rig: &Rig, addr: SocketAddr, load: &Load, connections: u64, watched: &[u32]) -> Result<WrkRun, BenchError> {
    start(rig, addr, load, connections, watched)?.wait()?.settle()
}

/// Requests, requests a second, 99th percentile in microseconds; the whole text where something in it is wrong.
fn parse(said: &str) -> Result<(f64, f64, f64), String> {
    let wrong = ["Non-2xx or 3xx responses", "Socket errors"].iter().any(|bad| said.contains(bad));
    let requests = said.lines().find_map(|line| line.split_once(" requests in ")?.0.trim().parse().ok());
    let per_second = said.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
    let p99 = said.lines().find_map(|line| latency_us(line.trim().strip_prefix("99%")?.trim()));
    match (wrong, requests, per_second, p99) {
        (false, Some(requests), Some(per_second), Some(p99)) if requests > 0.0 => Ok((requests, per_second, p99)),
        _ => Err(said.to_owned()),
    }
}

/// `612.00us`, `1.20ms`, `3.00s`.
fn latency_us(text: &str) -> Option<f64> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 1s test @ http://127.0.0.1:8080/\n  Latency Distribution\n     50%  585.00us\n     99%    1.20ms\n  104857 requests in 1.00s, 20.00MB read\nRequests/sec: 104790.12\nTransfer/sec:     20.00MB\n";

    #[test]
    fn a_clean_run_is_read() {
        assert_eq!(parse(SAID), Ok((104_857.0, 104_790.12, 1200.0)));
    }

    #[test]
    fn a_run_with_wrong_answers_is_no_figure() {
        assert!(parse(&format!("{SAID}  Non-2xx or 3xx responses: 5\n")).is_err());
        assert!(parse("").is_err());
        assert!(parse(&SAID.replace("104857 requests", "0 requests")).is_err());
    }
}
