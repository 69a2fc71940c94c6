//! Alertmanager, with a configuration that is given, and the alerts it knows.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    Result, ServerError,
    daemon::{Daemon, Recipe, find, on_a_free_port},
    prometheus::{is_ready, labels, run_tool, unix_seconds},
};
use crate::http::{Connection, Request};

const PACKAGE: &str = "prometheus-alertmanager";

/// An alert it was told of and that has not ended.
#[derive(Clone, Debug)]
pub struct KnownAlert {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Seconds since 1970.
    pub starts_at_s: f64,
    /// Whom it goes to.
    pub receivers: Vec<String>,
    /// Another alert that fires mutes it.
    pub inhibited: bool,
}

/// A running Alertmanager.
#[derive(Debug)]
pub struct Alertmanager {
    // Before the directory: dropped first.
    daemon: Daemon,
    dir: TempDir,
    addr: SocketAddr,
}

impl Alertmanager {
    /// `config`: the whole text of `alertmanager.yml`.
    pub fn start(config: &str) -> Result<Self> {
        let program = find("prometheus-alertmanager", PACKAGE, &[])?;
        let dir = TempDir::with_prefix("knurl-alertmanager-")?;
        fs::write(dir.path().join("alertmanager.yml"), config)?;
        on_a_free_port(|port| {
            let addr = SocketAddr::from(([127, 0, 0, 1], port));
            let args = [
                "--config.file=alertmanager.yml".to_owned(),
                "--storage.path=state".to_owned(),
                // No gossip: there is one of it.
                "--cluster.listen-address=".to_owned(),
                "--log.level=warn".to_owned(),
                format!("--web.listen-address={addr}"),
            ];
            let recipe =
                Recipe { program: program.clone(), args: args.to_vec(), dir: dir.path().to_owned(), owner: None, dies_by: "KILL" };
            Ok((Daemon::start(recipe, move || is_ready(addr))?, addr))
        })
        .map(|(daemon, addr)| Self { daemon, dir, addr })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn alerts(&self) -> Result<Vec<KnownAlert>> {
        let failed = |words: String| ServerError::Failed { program: "prometheus-alertmanager".to_owned(), words };
        let request = Request::get("/api/v2/alerts");
        let answer = Connection::open(self.addr)?.ask(&request).map_err(|error| failed(error.to_string()))?;
        let json = answer.json().ok_or_else(|| failed(format!("{} answered {}", request.path, answer.status)))?;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let known = json.as_array().into_iter().flatten().map(|of| {
            let labels = labels(&of["labels"]);
            let receivers = of["receivers"].as_array().into_iter().flatten();
            KnownAlert {
                name: labels.get("alertname").cloned().unwrap_or_default(),
                labels,
                starts_at_s: of["startsAt"].as_str().and_then(unix_seconds).unwrap_or(f64::NAN),
                receivers: receivers.filter_map(|receiver| text(&receiver["name"])).collect(),
                inhibited: of["status"]["inhibitedBy"].as_array().is_some_and(|by| !by.is_empty()),
            }
        });
        Ok(known.collect())
    }

    pub fn stop(&mut self) -> Result<()> {
        Ok(self.daemon.stop(Signal::TERM)?)
    }
}

/// `amtool` with these arguments, in this directory. What it says, where it says that all is well.
pub fn amtool(dir: &Path, args: &[&str]) -> Result<String> {
    run_tool("amtool", PACKAGE, dir, args, "")
}
