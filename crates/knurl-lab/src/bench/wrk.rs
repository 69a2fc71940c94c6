//! wrk: the load, from Debian's package, and what it reports.

use std::{net::SocketAddr, path::Path, process::Command};

use super::{
    BenchError, Rig,
    machine::{self, CpuTime},
};

/// What browsers send; a click's record holds it.
const USER_AGENT: &str =
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

#[derive(Clone, Debug)]
pub(super) struct WrkRun {
    pub(super) requests: f64,
    pub(super) per_second: f64,
    pub(super) p99_us: f64,
    pub(super) cpu: CpuTime,
}

impl WrkRun {
    pub(super) fn cpu_us(&self) -> f64 {
        self.cpu.whole_us / self.requests
    }
}

/// One run against `addr`, with the CPU time `pid` spent meanwhile. `script` with its environment, else GET `path` again and again.
pub(super) fn run(
    rig: &Rig,
    addr: SocketAddr,
    pid: u32,
    path: &str,
    script: Option<(&Path, &[(&str, &str)])>,
) -> Result<WrkRun, BenchError> {
    let mut command = Command::new("wrk");
    command.args(["-t1", "--latency", "-H", USER_AGENT]);
    command.arg(format!("-c{}", rig.connections)).arg(format!("-d{}s", rig.seconds));
    if let Some((script, env)) = script {
        command.arg("-s").arg(script).envs(env.iter().copied());
    }
    command.arg(format!("http://{addr}{path}"));
    let before = machine::cpu_time(pid)?;
    let output = command.output().map_err(|error| BenchError::Run("wrk", error))?;
    let cpu = machine::cpu_time(pid)?.since(&before);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (requests, per_second, p99_us) = parse(&said).map_err(|said| BenchError::Failed { what: "wrk", said })?;
    Ok(WrkRun { requests, per_second, p99_us, cpu })
}

/// Requests, requests a second, 99th percentile in microseconds; the whole text where something in it is wrong.
fn parse(said: &str) -> Result<(f64, f64, f64), String> {
    let wrong = ["Non-2xx or 3xx responses", "Socket errors"].iter().any(|bad| said.contains(bad));
    let requests = said.lines().find_map(|line| line.split_once(" requests in ")?.0.trim().parse().ok());
    let per_second = said.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
    let p99 = said.lines().find_map(|line| latency_us(line.trim().strip_prefix("99%")?.trim()));
    match (wrong, requests, per_second, p99) {
        (false, Some(requests), Some(per_second), Some(p99)) => Ok((requests, per_second, p99)),
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
    }
}
