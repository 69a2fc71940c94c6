//! An OpenTelemetry collector (`rotel`) that keeps nothing and writes down every span that it is sent.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
};

use tempfile::TempDir;

use super::{
    Result,
    daemon::{Daemon, Recipe, find, free_port, log_of, on_a_free_port},
};

/// Not Debian's: `scripts/tools.sh` brings it.
const PACKAGE: &str = "none has it; see need_collector in scripts/tools.sh";

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    // Before the directory: dropped first.
    daemon: Daemon,
    dir: TempDir,
    grpc: SocketAddr,
    http: SocketAddr,
}

/// A span as the collector has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub trace_id: String,
    pub id: String,
    /// Empty: it is a root.
    pub parent: String,
    pub name: String,
    /// `SERVER`, `CLIENT`, `INTERNAL`.
    pub kind: String,
    pub state: String,
    pub started_ns: u64,
    pub ended_ns: u64,
    pub attributes: BTreeMap<String, String>,
}

impl Collector {
    pub fn start() -> Result<Self> {
        let program = find("rotel-agent", PACKAGE, &tool_dirs())?;
        let dir = TempDir::with_prefix("knurl-collector-")?;
        let http: SocketAddr = (Ipv4Addr::LOCALHOST, free_port()?).into();
        on_a_free_port(|port| {
            let grpc: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
            let (of_grpc, of_http) = (grpc.to_string(), http.to_string());
            let args = [
                ["start", "--disable-batching"],
                ["--exporter", "blackhole"],
                ["--debug-log", "traces"],
                ["--debug-log-verbosity", "detailed"],
                ["--otlp-grpc-endpoint", &of_grpc],
                ["--otlp-http-endpoint", &of_http],
            ];
            let args = args.concat().into_iter().map(str::to_owned).collect();
            let recipe = Recipe { program: program.clone(), args, dir: dir.path().to_owned(), owner: None, dies_by: "KILL" };
            let is_ready = move || [grpc, http].iter().all(|addr| TcpStream::connect(addr).is_ok());
            Ok((Daemon::start(recipe, is_ready)?, grpc))
        })
        .map(|(daemon, grpc)| Self { daemon, dir, grpc, http })
    }

    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Everything it has written down.
    pub fn text(&self) -> String {
        fs::read(log_of(self.dir.path())).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Every span so far, in the order in which they came.
    pub fn spans(&self) -> Vec<Received> {
        read(&self.text())
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        Ok(self.daemon.kill()?)
    }

    /// On the same ports as before.
    pub fn start_again(&mut self) -> Result<()> {
        let addrs = [self.grpc, self.http];
        self.daemon.start_again(move || addrs.iter().all(|addr| TcpStream::connect(addr).is_ok()))
    }

    /// It stands still: connections are accepted by the kernel and nobody answers.
    pub fn pause(&self) {
        self.daemon.pause();
    }

    pub fn resume(&self) {
        self.daemon.resume();
    }
}

/// Above a test's own program, where cargo builds: the tools are installed beside it.
fn tool_dirs() -> Vec<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().map(|dir| dir.join("tools/bin")).collect()
}

/// From what is written down in detail: `    Name           : GET /`, `     -> http.route: Str(/)`.
fn read(text: &str) -> Vec<Received> {
    let mut spans: Vec<Received> = Vec::new();
    for line in text.lines() {
        if line.starts_with("Span #") {
            spans.push(Received::default());
            continue;
        }
        let Some(span) = spans.last_mut() else { continue };
        // The next message begins: what it says of its sender is nobody's span.
        if line.starts_with("ResourceSpans #") {
            spans.push(Received::default());
            continue;
        }
        let line = line.trim();
        if let Some(attribute) = line.strip_prefix("-> ") {
            if let Some((key, value)) = attribute.split_once(": ") {
                let value = value.split_once('(').and_then(|(_, value)| value.strip_suffix(')')).unwrap_or(value);
                span.attributes.insert(key.to_owned(), value.to_owned());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            let value = value.trim().to_owned();
            match key.trim() {
                "Trace ID" => span.trace_id = value,
                "Parent ID" => span.parent = value,
                "ID" => span.id = value,
                "Name" => span.name = value,
                "Kind" => span.kind = value.trim_start_matches("SPAN_KIND_").to_owned(),
                "TraceState" => span.state = value,
                "Start time" => span.started_ns = value.parse().unwrap_or_default(),
                "End time" => span.ended_ns = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
    }
    spans.retain(|span| !span.id.is_empty());
    spans
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_span_is_read_as_it_is_written_down() {
        let text = "ResourceSpans #0\nResource attributes:\n     -> service.name: Str(knurl)\nSpan #0\n    Trace ID       : aa\n    Parent ID      : \
                    \n    ID             : bb\n    Name           : GET /{short_code}\n    Kind           : SPAN_KIND_SERVER\nStart time: 5\n\
                    End time: 9\nAttributes:\n     -> http.response.status_code: Int(302)\nResourceSpans #0\n     -> service.name: Str(knurl)\n";
        let spans = read(text);
        assert_eq!(spans.len(), 1);
        let span = &spans[0];
        assert_eq!((span.trace_id.as_str(), span.id.as_str(), span.parent.as_str()), ("aa", "bb", ""));
        assert_eq!((span.name.as_str(), span.kind.as_str(), span.ended_ns - span.started_ns), ("GET /{short_code}", "SERVER", 4));
        assert_eq!(span.attributes.len(), 1);
        assert_eq!(span.attributes["http.response.status_code"], "302");
    }
}
