//! `knurl-lab fleet`: a whole fleet to play with, until Ctrl-C.
//!
//! Promised: what it prints can be pasted as it stands; Ctrl-C (or SIGTERM) stops nodes, front and databases in that order, and nothing is left
//! behind; a second one ends at once. Refused: keeping anything. It is a place to try things, not one to live in.

use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::{Backing, Fleet, FleetError, FleetSpec, Node};
use crate::{process, servers::PostgresSetup};

#[derive(Clone, Debug, clap::Args)]
pub struct FleetArgs {
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=16))]
    pub nodes: u64,
    /// Of nginx, on 127.0.0.1; 0: any free one
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Without Redis: limits are each node's own, and more questions reach PostgreSQL
    #[arg(long)]
    pub no_redis: bool,
    /// The binary [default: KNURL_BIN, or knurl beside this program]
    #[arg(long)]
    pub knurl: Option<PathBuf>,
    /// Say where everything is as one line of JSON
    #[arg(long)]
    pub json: bool,
}

const KEY_BYTES: usize = 16;

/// Runs until it is told to stop.
pub fn run(args: &FleetArgs) -> Result<(), FleetError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // From here on a signal no longer ends us before everything else has ended.
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let binary = args.knurl.clone().map_or_else(process::find_binary, Ok)?.canonicalize()?;
    let key = random_key()?;
    // What is acknowledged has been synced, as in production.
    let mut spec =
        FleetSpec::new(binary, args.nodes as usize, Backing::Postgres(PostgresSetup { fsync: true, settings: Vec::new() }));
    spec.redis = !args.no_redis;
    spec.front.port = args.port;
    spec.env = [("KNURL_AUTH", "required"), ("KNURL_ADMIN_KEY", key.as_str())]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec();
    if !args.json {
        eprintln!("starting PostgreSQL{}, {} nodes and nginx …", if args.no_redis { "" } else { ", Redis" }, args.nodes);
    }
    let fleet = Fleet::start(&spec)?;
    if args.json {
        println!("{}", places(&fleet, &key));
    } else {
        println!("{}", welcome(&fleet, &key));
    }
    runtime.block_on(async {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    });
    eprintln!("\nstopping: nodes finish what they have begun and deliver their clicks; once more to end at once");
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        });
        // Whatever was started ends with us.
        std::process::exit(130);
    });
    fleet.stop()
}

fn random_key() -> std::io::Result<String> {
    let mut bytes = [0; KEY_BYTES];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes.iter().fold("knurl_".to_owned(), |key, byte| format!("{key}{byte:02x}")))
}

fn places(fleet: &Fleet, key: &str) -> Value {
    let node = |node: &Node| json!({ "listen": node.addr(), "metrics_listen": node.metrics_addr(), "log": node.log() });
    json!({
        "event": "ready",
        "url": format!("http://{}", fleet.addr()),
        "admin_key": key,
        "nodes": fleet.nodes.iter().map(node).collect::<Vec<_>>(),
        "postgres": fleet.postgres.as_ref().map(crate::servers::Postgres::url),
        "redis": fleet.redis.as_ref().map(crate::servers::Redis::url),
        "dir": fleet.dir(),
        "front_dir": fleet.front.dir(),
    })
}

fn welcome(fleet: &Fleet, key: &str) -> String {
    let url = format!("http://{}", fleet.addr());
    let mut rows = vec![("short links".to_owned(), url.clone()), ("admin key".to_owned(), key.to_owned())];
    for node in &fleet.nodes {
        rows.push((
            format!("node {}", node.number),
            format!("http://{}  metrics http://{}/metrics", node.addr(), node.metrics_addr()),
        ));
    }
    rows.extend(fleet.postgres.as_ref().map(|postgres| ("PostgreSQL".to_owned(), postgres.url())));
    rows.extend(fleet.redis.as_ref().map(|redis| ("Redis".to_owned(), redis.url())));
    rows.push(("logs of nodes".to_owned(), fleet.dir().join("node-*/server.log").display().to_string()));
    rows.push(("log of nginx".to_owned(), super::front::access_log(&fleet.front).display().to_string()));
    let table: String = rows.iter().map(|(name, value)| format!("  {name:<14} {value}\n")).collect();
    let stats = fleet.nodes.last().map(|node| format!("http://{}", node.addr())).unwrap_or_default();
    format!(
        "
A fleet of Knurl is serving at {url}

{table}
Shorten something (paste this into another terminal; any node makes it, every node knows it):

  curl -s {url}/shorten \\
     -H 'Content-Type: application/json' \\
     -H 'Authorization: Bearer {key}' \\
     -d '{{\"url\":\"https://www.rust-lang.org/\",\"custom_code\":\"rust\",\"find_if_exists\":true}}'

Follow it (a GET: asking for the head only is no click), then look at its clicks, here on the last node:

  curl -i {url}/rust
  curl -s '{stats}/urls?short_code=rust' -H 'Authorization: Bearer {key}'

Try to break it: kill -9 a node (it stays away), stop PostgreSQL with kill -STOP, look at what redirects do.
Ctrl-C stops everything and removes all of it.
"
    )
}
