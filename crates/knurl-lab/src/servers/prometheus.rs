//! Prometheus, with the rules and targets it is given, and what it says of them.
//!
//! Promised: it scrapes and evaluates at the pace it is told; an answer that is an error of Prometheus is an [`ServerError::Failed`] with its
//! words. Refused: anything on a disk that outlives it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    Result, ServerError,
    daemon::{Daemon, Recipe, find, on_a_free_port},
};
use crate::http::{Connection, Request};

const PACKAGE: &str = "prometheus";

/// One address of a job; `/metrics` is asked for.
#[derive(Clone, Debug)]
pub struct Target {
    pub job: String,
    pub addr: SocketAddr,
    /// Beside `job` and `instance`.
    pub labels: Vec<(String, String)>,
}

impl Target {
    pub fn of(job: &str, addr: SocketAddr) -> Self {
        Self { job: job.to_owned(), addr, labels: Vec::new() }
    }
}

#[derive(Clone, Debug)]
pub struct PrometheusSetup {
    /// Files, or patterns of them: `…/deploy/prometheus/rules/*.yml`.
    pub rules: Vec<PathBuf>,
    pub targets: Vec<Target>,
    pub scrape_every: Duration,
    pub evaluate_every: Duration,
    /// Who is told of alerts. Then it scrapes itself too, as the job `prometheus`: whether it could tell is one of its own figures.
    pub alertmanager: Option<SocketAddr>,
    /// Of the loopback; `None`: any free one.
    pub port: Option<u16>,
}

impl Default for PrometheusSetup {
    /// What drills are promised: both every five seconds.
    fn default() -> Self {
        let every = Duration::from_secs(5);
        Self { rules: Vec::new(), targets: Vec::new(), scrape_every: every, evaluate_every: every, alertmanager: None, port: None }
    }
}

impl PrometheusSetup {
    fn config(&self, me: SocketAddr) -> String {
        let ms = |every: Duration| format!("{}ms", every.as_millis().max(1));
        let (scrape, evaluate) = (ms(self.scrape_every), ms(self.evaluate_every));
        let mut text = format!(
            "global: {{ scrape_interval: {scrape}, scrape_timeout: {scrape}, evaluation_interval: {evaluate} }}\nrule_files:\n"
        );
        for file in &self.rules {
            let _ = writeln!(text, "  - {}", quoted(&file.display().to_string()));
        }
        if let Some(addr) = self.alertmanager {
            let _ = writeln!(text, "alerting:\n  alertmanagers:\n    - static_configs: [{{ targets: ['{addr}'] }}]");
        }
        text.push_str("scrape_configs:\n");
        let mut jobs: BTreeMap<&str, Vec<&Target>> = BTreeMap::new();
        let itself = Target::of("prometheus", me);
        for target in self.targets.iter().chain(self.alertmanager.map(|_| &itself)) {
            jobs.entry(&target.job).or_default().push(target);
        }
        for (job, targets) in jobs {
            let _ = writeln!(text, "  - job_name: {}\n    static_configs:", quoted(job));
            for target in targets {
                let _ = writeln!(text, "      - targets: ['{}']", target.addr);
                if !target.labels.is_empty() {
                    let labels: Vec<String> =
                        target.labels.iter().map(|(name, value)| format!("{name}: {}", quoted(value))).collect();
                    let _ = writeln!(text, "        labels: {{ {} }}", labels.join(", "));
                }
            }
        }
        text
    }
}

/// As YAML takes anything.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// One series and its value at one time.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The name too, as `__name__`.
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// One series over time.
#[derive(Clone, Debug)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    /// Seconds since 1970, and the value then.
    pub points: Vec<(f64, f64)>,
}

/// An alert whose expression is true now.
#[derive(Clone, Debug)]
pub struct ActiveAlert {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Otherwise it waits for its `for` to pass.
    pub firing: bool,
    /// Since when its expression is true, in seconds since 1970. A firing one fires `for` later.
    pub active_at_s: f64,
    pub value: f64,
}

/// A rule as Prometheus has read it.
#[derive(Clone, Debug)]
pub struct Rule {
    pub name: String,
    pub query: String,
    /// Otherwise it records.
    pub alerts: bool,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// Its `for`.
    pub for_s: f64,
}

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    // Before the directory: dropped first.
    daemon: Daemon,
    dir: TempDir,
    addr: SocketAddr,
}

impl Prometheus {
    pub fn start(setup: &PrometheusSetup) -> Result<Self> {
        let program = find("prometheus", PACKAGE, &[])?;
        let dir = TempDir::with_prefix("knurl-prometheus-")?;
        let start_at = |port: u16| {
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            fs::write(dir.path().join("prometheus.yml"), setup.config(addr))?;
            let args = [
                "--config.file=prometheus.yml".to_owned(),
                "--storage.tsdb.path=tsdb".to_owned(),
                "--log.level=warn".to_owned(),
                // As in compose.prod.yaml.
                "--enable-feature=exemplar-storage".to_owned(),
                // An alert that fires before the Alertmanager is known is told only when it is told again.
                "--rules.alert.resend-delay=2s".to_owned(),
                format!("--web.listen-address={addr}"),
            ];
            let recipe =
                Recipe { program: program.clone(), args: args.to_vec(), dir: dir.path().to_owned(), owner: None, dies_by: "KILL" };
            Ok((Daemon::start(recipe, move || is_ready(addr))?, addr))
        };
        let (daemon, addr) = match setup.port {
            // Another one that listens there already would answer that it is ready.
            Some(port) => {
                TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop).map_err(ServerError::from).and_then(|()| start_at(port))?
            }
            None => on_a_free_port(start_at)?,
        };
        Ok(Self { daemon, dir, addr })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What the expression is now; a scalar comes as one sample without labels.
    pub fn query(&self, expression: &str) -> Result<Vec<Sample>> {
        let answer = self.ask(&format!("/api/v1/query?query={}", percent_encoded(expression)))?;
        let result = &answer["result"];
        if answer["resultType"] == "scalar" {
            return Ok(vec![Sample { labels: BTreeMap::new(), value: point(result).1 }]);
        }
        Ok(list(result).iter().map(|of| Sample { labels: labels(&of["metric"]), value: point(&of["value"]).1 }).collect())
    }

    /// What it was between two times (seconds since 1970).
    pub fn query_range(&self, expression: &str, from_s: f64, to_s: f64, step_s: f64) -> Result<Vec<Series>> {
        let expression = percent_encoded(expression);
        let answer = self.ask(&format!("/api/v1/query_range?query={expression}&start={from_s}&end={to_s}&step={step_s}"))?;
        let series = |of: &Value| Series { labels: labels(&of["metric"]), points: list(&of["values"]).iter().map(point).collect() };
        Ok(list(&answer["result"]).iter().map(series).collect())
    }

    /// Labels of the exemplars, kept between two times (seconds since 1970), of the series that the expression is made of.
    pub fn exemplars(&self, expression: &str, from_s: f64, to_s: f64) -> Result<Vec<BTreeMap<String, String>>> {
        let expression = percent_encoded(expression);
        let answer = self.ask(&format!("/api/v1/query_exemplars?query={expression}&start={from_s}&end={to_s}"))?;
        Ok(list(&answer).iter().flat_map(|series| list(&series["exemplars"])).map(|of| labels(&of["labels"])).collect())
    }

    /// Pending ones too.
    pub fn alerts(&self) -> Result<Vec<ActiveAlert>> {
        let answer = self.ask("/api/v1/alerts")?;
        let alert = |of: &Value| {
            let labels = labels(&of["labels"]);
            ActiveAlert {
                name: labels.get("alertname").cloned().unwrap_or_default(),
                labels,
                firing: of["state"] == "firing",
                active_at_s: of["activeAt"].as_str().and_then(unix_seconds).unwrap_or(f64::NAN),
                value: of["value"].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN),
            }
        };
        Ok(list(&answer["alerts"]).iter().map(alert).collect())
    }

    /// Those of the rules it was given, in their order.
    pub fn rules(&self) -> Result<Vec<Rule>> {
        let answer = self.ask("/api/v1/rules")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rule = |of: &Value| Rule {
            name: text(&of["name"]),
            query: text(&of["query"]),
            alerts: of["type"] == "alerting",
            labels: labels(&of["labels"]),
            annotations: labels(&of["annotations"]),
            for_s: of["duration"].as_f64().unwrap_or(0.0),
        };
        Ok(list(&answer["groups"]).iter().flat_map(|group| list(&group["rules"])).map(rule).collect())
    }

    /// Those that fire now.
    pub fn firing(&self) -> Result<Vec<ActiveAlert>> {
        Ok(self.alerts()?.into_iter().filter(|alert| alert.firing).collect())
    }

    pub fn stop(&mut self) -> Result<()> {
        Ok(self.daemon.stop(Signal::TERM)?)
    }

    fn ask(&self, path: &str) -> Result<Value> {
        let failed = |words: String| ServerError::Failed { program: "prometheus".to_owned(), words };
        let answer = Connection::open(self.addr)?.ask(&Request::get(path)).map_err(|error| failed(format!("{path}: {error}")))?;
        match answer.json() {
            Some(mut json) if json["status"] == "success" => Ok(json["data"].take()),
            Some(json) => Err(failed(format!("{path}: {}", json["error"].as_str().unwrap_or_default()))),
            None => Err(failed(format!("{path}: {}", answer.status))),
        }
    }
}

/// `promtool` with these arguments, in this directory; its standard input is this text. What it says, where it says that all is well.
pub fn promtool(dir: &Path, args: &[&str], input: &str) -> Result<String> {
    run_tool("promtool", PACKAGE, dir, args, input)
}

/// A tool that comes with a server, run to its end.
pub(super) fn run_tool(name: &'static str, package: &'static str, dir: &Path, args: &[&str], input: &str) -> Result<String> {
    let program = find(name, package, &[])?;
    let work = TempDir::with_prefix("knurl-tool-")?;
    let stdin = work.path().join("stdin");
    fs::write(&stdin, input)?;
    let mut tool = Command::new(&program);
    tool.args(args).current_dir(dir).stdin(File::open(&stdin)?);
    let out = tool.output().map_err(|source| ServerError::Spawn { program, source })?;
    let words = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)).trim().to_owned();
    if out.status.success() { Ok(words) } else { Err(ServerError::Failed { program: format!("{name} {}", args.join(" ")), words }) }
}

/// Alertmanager is asked the same.
pub(super) fn is_ready(addr: SocketAddr) -> bool {
    let ask = || Connection::open(addr).ok()?.ask(&Request::get("/-/ready")).ok();
    ask().is_some_and(|answer| answer.status == 200)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn labels(value: &Value) -> BTreeMap<String, String> {
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    value.as_object().into_iter().flatten().filter_map(text).collect()
}

/// `[seconds, "value"]`.
fn point(value: &Value) -> (f64, f64) {
    let parsed = value[1].as_str().and_then(|text| text.parse().ok());
    (value[0].as_f64().unwrap_or(f64::NAN), parsed.unwrap_or(f64::NAN))
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Of RFC 3339 in UTC, as Go writes it: any number of digits after the point.
pub(super) fn unix_seconds(text: &str) -> Option<f64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let (hour, minute): (i64, i64) = (time.next()?.parse().ok()?, time.next()?.parse().ok()?);
    let second: f64 = time.next()?.parse().ok()?;
    // Years begin in March, so that a leap day is a year's last; 719 468 days are from then of year 0 to 1970.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some((days * 86_400 + hour * 3_600 + minute * 60) as f64 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_go_writes_them_are_understood() {
        assert_eq!(unix_seconds("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(unix_seconds("2024-02-29T12:00:00.5Z"), Some(1_709_208_000.5));
        assert_eq!(unix_seconds("2026-11-26T12:49:00.123456789Z").map(f64::floor), Some(1_795_697_340.0));
        assert_eq!(unix_seconds("yesterday"), None);
    }

    #[test]
    fn an_expression_survives_its_way_in_a_path() {
        assert_eq!(percent_encoded("up{a=\"b\"}+1"), "up%7Ba%3D%22b%22%7D%2B1");
    }
}
