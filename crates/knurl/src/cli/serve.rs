//! `knurl serve`: the [`crate::app`], and a welcome for people.

use std::{net::SocketAddr, process::ExitCode};

use super::{
    args::Global,
    failure::Failure,
    open::{Flag, load},
};
use crate::{app, config::Config};

#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    /// Serve the API without keys, on loopback addresses only
    #[arg(long)]
    open: bool,
    /// Let --open serve an address that is not loopback
    #[arg(long)]
    open_anyway: bool,
    /// Print how to go on, for people
    #[arg(long)]
    welcome: bool,
    /// The address that answers redirects and the API
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// The address that answers /metrics
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<String>,
    /// What short links begin with
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// What an answered click has survived: `process` or `power`
    #[arg(long)]
    durability: Option<String>,
}

pub(super) fn run(global: &Global, args: &ServeArgs) -> Result<ExitCode, Failure> {
    let loaded = load(global, flags(args))?;
    loaded.config.refuse_open_to_strangers()?;
    let config = loaded.config.clone();
    app::serve(loaded.config, |app| {
        // Logging is set up by now.
        loaded.notes.iter().for_each(|note| tracing::warn!("{note}"));
        if args.welcome {
            app::say(&welcome(&config, app.addr(), app.metrics_addr(), app.admin_key()));
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn flags(args: &ServeArgs) -> Vec<Flag> {
    let mut flags: Vec<Flag> = Vec::new();
    if args.open {
        flags.push(("auth", "open".into(), "--open"));
    }
    if args.open_anyway {
        flags.push(("open_anyway", "true".into(), "--open-anyway"));
    }
    let texts = [
        ("listen", &args.listen, "--listen"),
        ("metrics_listen", &args.metrics_listen, "--metrics-listen"),
        ("base_url", &args.base_url, "--base-url"),
        ("durability", &args.durability, "--durability"),
    ];
    flags.extend(texts.into_iter().filter_map(|(key, text, flag)| Some((key, text.clone()?, flag))));
    flags
}

/// Each line can be pasted as it stands.
fn welcome(config: &Config, addr: SocketAddr, metrics_addr: SocketAddr, admin_key: Option<&str>) -> String {
    let mut bound = config.clone();
    bound.bound(addr);
    let base = &bound.base_url.0;
    let auth = admin_key.map(|key| format!(" \\\n     -H 'Authorization: Bearer {key}'")).unwrap_or_default();
    let key = match admin_key {
        Some(key) => format!("Your admin key is {key}\n(kept in {}).", config.admin_key_path().display()),
        None => "The API asks for no key: everybody on this machine may use it.".to_owned(),
    };
    let data_dir = config.data_dir.canonicalize().unwrap_or_else(|_| config.data_dir.clone());
    let kept = match config.sqlite_path() {
        Some(_) => "Everything is kept in",
        None => "Links and counts are kept in PostgreSQL, clicks on their way to it in",
    };
    format!(
        "
Hello! Knurl is serving at {base}

{key}

Shorten something (paste this into another terminal):

  curl -s {base}/shorten \\
     -H 'Content-Type: application/json'{auth} \\
     -d '{{\"url\":\"https://www.rust-lang.org/\",\"custom_code\":\"rust\",\"find_if_exists\":true}}'

Follow it (a GET; `curl -I` asks for the head only, which is answered but is no click), then look at its clicks:

  curl -i {base}/rust
  {knurl} --data-dir {dir} link stats rust

{kept} {dir}; metrics are at http://{metrics_addr}/metrics.
Stop with Ctrl-C. Nothing answered is lost, not even by kill -9: try it.
",
        knurl = std::env::current_exe().unwrap_or_else(|_| "knurl".into()).display(),
        dir = data_dir.display(),
    )
}
