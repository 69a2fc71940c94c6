//! Load: as many connections as asked for, each with one request in flight, on a running server.
//!
//! Promised: counts only answers that arrived, and says how many were not the expected ones. Bounded by time. wrk is the better tool for
//! plain redirects; this one can create in bulk and choose links by popularity.

use std::{
    fmt,
    net::SocketAddr,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};

use crate::{
    dice::Dice,
    http::{Connection, Request, Unanswered},
    zipf::Zipf,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LoadKind {
    /// GET /{code}
    Redirect,
    /// POST /urls, one link each
    Create,
    /// POST /urls/bulk
    Bulk,
}

#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    pub kind: LoadKind,
    #[arg(long)]
    pub addr: SocketAddr,
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub connections: u64,
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// Redirects: a file with one short code a line, most popular first
    #[arg(long)]
    pub codes: Option<PathBuf>,
    /// Redirects: the exponent of popularity (0: all alike)
    #[arg(long, default_value_t = 1.0)]
    pub zipf: f64,
    /// Bulk: links in one request
    #[arg(long, default_value_t = 1000)]
    pub rows: u64,
    /// Bulk: the owner of the links
    #[arg(long, default_value_t = 1)]
    pub user: u64,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("redirects need --codes FILE with at least one short code")]
    NoCodes,
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    #[error("a client panicked")]
    Client,
}

#[derive(Clone, Debug, Default)]
pub struct LoadReport {
    pub requests: u64,
    /// Answers with another status than the expected one.
    pub unexpected: u64,
    /// What the first of them said.
    pub first_unexpected: Option<String>,
    pub links: u64,
    pub seconds: f64,
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, unexpected, links, seconds, .. } = self;
        write!(f, "{requests} answers in {seconds:.2} s: {:.0} a second", *requests as f64 / seconds)?;
        if *links > 0 {
            write!(f, ", {:.0} links a second", *links as f64 / seconds)?;
        }
        write!(f, "; {unexpected} unexpected")?;
        self.first_unexpected.iter().try_for_each(|said| write!(f, ", the first: {said}"))
    }
}

/// Of an unexpected answer.
const SAID_CHARS_MAX: usize = 400;

struct Plan<'a> {
    args: &'a LoadArgs,
    codes: &'a [String],
    zipf: Option<Zipf>,
    until: Instant,
}

/// The path, the body, the status to come, and the links made by it.
fn next(plan: &Plan<'_>, dice: &mut Dice) -> (&'static str, String, Option<String>, u16, u64) {
    let target = |dice: &mut Dice| format!(r#"{{"original_url":"https://load.example/{:016x}"}}"#, dice.throw());
    match plan.args.kind {
        LoadKind::Redirect => {
            let rank = match &plan.zipf {
                Some(zipf) => zipf.draw(dice),
                None => dice.below(plan.codes.len() as u64),
            };
            ("GET", format!("/{}", plan.codes[rank as usize]), None, 302, 0)
        }
        LoadKind::Create => ("POST", "/shorten".to_owned(), Some(target(dice)), 201, 1),
        LoadKind::Bulk => {
            let mut row =
                || format!(r#"{{"user_id":{},"original_url":"https://load.example/{:016x}"}}"#, plan.args.user, dice.throw());
            let rows: Vec<String> = (0..plan.args.rows).map(|_| row()).collect();
            ("POST", "/urls/bulk".to_owned(), Some(format!("[{}]", rows.join(","))), 201, plan.args.rows)
        }
    }
}

fn client(plan: &Plan<'_>, number: u64) -> Result<LoadReport, LoadError> {
    let mut dice = Dice::new(plan.args.seed, &[number]);
    let mut connection = Connection::open(plan.args.addr)?;
    let mut report = LoadReport::default();
    while Instant::now() < plan.until {
        let (method, path, body, expected, links) = next(plan, &mut dice);
        let answer = connection.ask(&Request::of(method, &path, body.as_deref()))?;
        report.requests += 1;
        if answer.status == expected {
            report.links += links;
            continue;
        }
        report.unexpected += 1;
        if report.first_unexpected.is_none() {
            let body = String::from_utf8_lossy(answer.body.as_deref().unwrap_or_default()).into_owned();
            report.first_unexpected =
                Some(format!("{method} {path}: {} {}", answer.status, body.chars().take(SAID_CHARS_MAX).collect::<String>()));
        }
    }
    Ok(report)
}

pub fn run(args: &LoadArgs) -> Result<LoadReport, LoadError> {
    let codes: Vec<String> = match &args.codes {
        Some(path) => std::fs::read_to_string(path)?.lines().map(str::to_owned).collect(),
        None => Vec::new(),
    };
    if args.kind == LoadKind::Redirect && codes.is_empty() {
        return Err(LoadError::NoCodes);
    }
    let zipf = (args.zipf > 0.0).then(|| Zipf::new(codes.len().max(1) as u64, args.zipf));
    let began = Instant::now();
    let plan = Plan { args, codes: &codes, zipf, until: began + Duration::from_secs(args.seconds) };
    let reports = thread::scope(|scope| {
        let clients: Vec<_> = (0..args.connections)
            .map(|number| {
                let plan = &plan;
                scope.spawn(move || client(plan, number))
            })
            .collect();
        clients.into_iter().map(|client| client.join().map_err(|_| LoadError::Client)?).collect::<Result<Vec<_>, LoadError>>()
    })?;
    let mut whole = LoadReport { seconds: began.elapsed().as_secs_f64(), ..LoadReport::default() };
    for report in reports {
        whole.requests += report.requests;
        whole.unexpected += report.unexpected;
        whole.links += report.links;
        whole.first_unexpected = whole.first_unexpected.or(report.first_unexpected);
    }
    Ok(whole)
}
