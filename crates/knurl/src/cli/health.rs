//! `knurl health`: asks the server on this machine how it is, for supervisors that can only run a program.
//!
//! Promised: a word within [`PATIENCE`], whatever the server does; exit code 0 only where the server itself said that it is well. Opens
//! neither database nor spool, so it may run every second beside a server under load.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;

use super::{args::Global, failure::Failure, open::load, out::Out};

/// Of connecting, asking and reading together. A server that takes longer to say a word that asks nobody is not well.
const PATIENCE: Duration = Duration::from_secs(3);
/// The answer is some hundred bytes, with its header.
const ANSWER_BYTES_MAX: u64 = 16 << 10;

#[derive(Debug, clap::Args)]
pub(super) struct HealthArgs {
    /// Ask only whether it answers at all (`/livez`), not whether it can redirect (`/readyz`)
    #[arg(long)]
    live: bool,
}

#[derive(Serialize)]
struct HealthShape {
    healthy: bool,
    address: SocketAddr,
    /// What the server said; null where it said nothing that could be read.
    answer: Value,
}

pub(super) fn run(global: &Global, out: Out, args: &HealthArgs) -> Result<ExitCode, Failure> {
    let address = reachable(load(global, Vec::new())?.config.observed_at());
    let path = if args.live { "/livez" } else { "/readyz" };
    let answer = ask(address, path).map_err(|error| Failure::failed(format!("{address} does not answer: {error}")))?;
    let (status, body) = parted(&answer).ok_or_else(|| Failure::failed(format!("{address} does not speak as knurl does")))?;
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    let healthy = status == 200;
    let words = ["status", "detail"].iter().filter_map(|key| answer[key].as_str()).collect::<Vec<_>>().join(": ");
    let shape = HealthShape { healthy, address, answer };
    out.show(&shape, || format!("{}: {address} answers {status} {words}", if healthy { "healthy" } else { "NOT healthy" }))?;
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Who listens on all addresses is reached on loopback.
fn reachable(listened: SocketAddr) -> SocketAddr {
    let ip = match listened.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listened.port())
}

fn ask(address: SocketAddr, path: &str) -> io::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut piece = [0; 2048];
    loop {
        // Each read has what is left of the whole, so that an answer that drips is given up, too.
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        stream.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
        let read = stream.read(&mut piece)?;
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&piece[..read]);
        if answer.len() as u64 > ANSWER_BYTES_MAX {
            return Err(io::Error::other("its answer is too long"));
        }
    }
    String::from_utf8(answer).map_err(io::Error::other)
}

/// `HTTP/1.1 200 OK … \r\n\r\n{…}` -> (200, `{…}`). With `Connection: close` and a length the body is the rest.
fn parted(answer: &str) -> Option<(u16, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        assert_eq!(parted("HTTP/1.1 200 OK\r\na: b\r\n\r\n{}"), Some((200, "{}")));
        assert_eq!(parted("HTTP/1.1 503 x\r\n\r\n"), Some((503, "")));
        for nonsense in ["", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 2", "HTTP/1.1 twohundred\r\n\r\n"] {
            assert_eq!(parted(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn who_listens_on_all_addresses_is_asked_on_loopback() {
        let asked = |listened: &str| reachable(listened.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:9091"), "127.0.0.1:9091");
        assert_eq!(asked("[::]:9091"), "[::1]:9091");
        assert_eq!(asked("10.0.0.11:9091"), "10.0.0.11:9091");
    }
}
