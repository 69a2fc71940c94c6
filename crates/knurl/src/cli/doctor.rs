//! `knurl doctor`: looks at everything a start needs and says what to do. Changes nothing.

mod database;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use knurl_core::UnixMillis;
use serde::Serialize;

use super::{
    args::Global,
    failure::{Failure, chain},
    import, now,
    open::{load, runtime},
    out::Out,
    restore::{self, Lock, spool_lock},
    scratch,
};
use crate::{
    app,
    config::{Auth, Config, Serving},
    redis::Redis,
    telemetry::disk::Space,
};

/// Less than this and a start may fail in the middle.
const FREE_BYTES_MIN: u64 = 64 << 20;
/// Below this, new connections would soon be refused.
const FILES_MIN: u64 = 4_096;
/// 2025-01-01: a clock before this was never set.
const CLOCK_MIN_MS: i64 = 1_735_689_600_000;
const CLOCK_BACK_MAX_MS: i64 = 3_600_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    health: Health,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, health: Health::Ok, found: found.into(), remedy: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, health: Health::Warn, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn fail(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, health: Health::Fail, found: found.into(), remedy: Some(remedy.into()) }
    }
}

#[derive(Serialize)]
struct DoctorShape {
    health: Health,
    checks: Vec<Check>,
}

pub(super) fn run(global: &Global, out: Out) -> Result<ExitCode, Failure> {
    let loaded = load(global, Vec::new())?;
    let config = &loaded.config;
    let mut checks = vec![configuration(&loaded.notes), directory(config), space(config), open_files()];
    let serving = matches!(spool_lock(config), Lock::Held);
    checks.extend(database::checks(config, serving)?);
    checks.extend(redis(config)?);
    checks.extend(leftovers(config));
    checks.push(clock(config));
    // What the database says of it is the last word.
    if checks.iter().all(|check| check.name != "admin key") {
        checks.push(keys(config));
    }
    let server = config.serving();
    checks.extend(server.as_ref().map(runs));
    checks.push(port("listen", config.http.listen, serving));
    checks.push(port("metrics_listen", config.http.metrics_listen, serving));
    let worst = |health| checks.iter().any(|check| check.health == health);
    let health = if worst(Health::Fail) {
        Health::Fail
    } else if worst(Health::Warn) {
        Health::Warn
    } else {
        Health::Ok
    };
    let shape = DoctorShape { health, checks };
    out.show(&shape, || text(&shape))?;
    Ok(if health == Health::Fail { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn text(shape: &DoctorShape) -> String {
    let line = |check: &Check| {
        let mark = match check.health {
            Health::Ok => "ok  ",
            Health::Warn => "WARN",
            Health::Fail => "FAIL",
        };
        let remedy = check.remedy.as_ref().map(|remedy| format!("\n{:22}-> {remedy}", "")).unwrap_or_default();
        format!("{mark}  {:<15} {}{remedy}", check.name, check.found)
    };
    shape.checks.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn configuration(notes: &[String]) -> Check {
    match notes.first() {
        None => Check::ok("configuration", "every option is valid"),
        Some(note) => Check::warn("configuration", note.clone(), "unset them, or ignore this"),
    }
}

fn directory(config: &Config) -> Check {
    let dir = &config.data_dir;
    let Ok(meta) = fs::metadata(dir) else {
        return match nearest(dir).filter(|parent| is_writable(parent)) {
            Some(_) => Check::ok("data directory", format!("{} will be created", dir.display())),
            None => Check::fail(
                "data directory",
                format!("{} cannot be created", dir.display()),
                "create it, or name another with --data-dir",
            ),
        };
    };
    if !meta.is_dir() {
        return Check::fail("data directory", format!("{} is no directory", dir.display()), "name another with --data-dir");
    }
    if !is_writable(dir) {
        return Check::fail(
            "data directory",
            format!("{} cannot be written", dir.display()),
            "give it to the user knurl runs as (chown)",
        );
    }
    Check::ok("data directory", dir.display().to_string())
}

/// What a killed command has left beside the database. A command that still runs holds its own.
fn leftovers(config: &Config) -> Option<Check> {
    let database = config.sqlite_path()?;
    let dir = database.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut left = scratch::abandoned_dirs(dir, import::SCRATCH_PREFIX);
    left.extend(scratch::abandoned_copies(dir, |name| restore::is_unfinished(&database, name) || name.ends_with(".db.partial")));
    let names: Vec<_> = left.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy()).collect();
    let remedy = "the same command sweeps them when it runs again, or delete them: nothing needs them";
    (!names.is_empty()).then(|| Check::warn("leftovers", format!("of a command that was killed: {}", names.join(", ")), remedy))
}

fn is_writable(dir: &Path) -> bool {
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
}

/// The directory itself or the closest parent that is there.
fn nearest(dir: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(dir).ok()?;
    absolute.ancestors().find(|dir| dir.is_dir()).map(Path::to_owned)
}

fn space(config: &Config) -> Check {
    let space = nearest(&config.data_dir).and_then(|dir| Space::of(&dir).ok());
    let Some(Space { free_bytes: free, .. }) = space else {
        return Check::warn("free space", "cannot be read", "look at `df`");
    };
    let wanted = config.clicks.spool_bytes_max();
    let found = format!("{} MiB", free >> 20);
    if free < FREE_BYTES_MIN {
        return Check::fail(
            "free space",
            found,
            "make room: with a full disk links cannot be created and clicks are dropped (and counted)",
        );
    }
    if free < wanted {
        let wanted = wanted >> 20;
        return Check::warn(
            "free space",
            found,
            format!("the spool may grow to {wanted} MiB while the database is away; make room or lower clicks.segments_max"),
        );
    }
    Check::ok("free space", found)
}

fn open_files() -> Check {
    if let Err(refused) = app::enough_files() {
        return Check::fail(
            "open files",
            refused.to_string(),
            "raise the limit (`ulimit -n`, LimitNOFILE=): `knurl serve` does not start",
        );
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    match limit.maximum {
        Some(most) if most < FILES_MIN => Check::warn(
            "open files",
            format!("at most {most}"),
            "raise the limit (`ulimit -n`, LimitNOFILE=): each connection needs one",
        ),
        most => Check::ok("open files", most.map_or("unlimited".to_owned(), |most| format!("at most {most}"))),
    }
}

/// Its absence is no failure: everything goes on without it.
fn redis(config: &Config) -> Result<Option<Check>, Failure> {
    let Some(redis) = &config.redis else { return Ok(None) };
    let url = &redis.url;
    let check = match runtime()?.block_on(Redis::look(redis)) {
        Ok(version) => Check::ok("redis", format!("{url} answers ({version})")),
        Err(error) => Check::warn(
            "redis",
            format!("{url}: {}", chain(&error)),
            "start it or correct KNURL_REDIS_URL; until then limits are each node's own and links are not shared",
        ),
    };
    Ok(Some(check))
}

fn clock(config: &Config) -> Check {
    let now = now();
    let shown = now.to_rfc3339();
    if now.0 < CLOCK_MIN_MS {
        return Check::fail("clock", shown, "set the clock: links would expire, and clicks be counted, at the wrong time");
    }
    let written = config.sqlite_path().and_then(|path| fs::metadata(path).ok()).and_then(|meta| meta.modified().ok());
    let written_ms = written.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()).map_or(0, |at| at.as_millis() as i64);
    if written_ms > now.0 + CLOCK_BACK_MAX_MS {
        return Check::warn("clock", shown, "the database was written later than now: has the clock been set back?");
    }
    Check::ok("clock", shown)
}

fn keys(config: &Config) -> Check {
    if config.auth == Auth::Open {
        return Check::warn("admin key", "auth = open: everybody who reaches the API may change every link", "auth = \"required\"");
    }
    if config.admin_key.is_some() {
        return Check::ok("admin key", "configured");
    }
    let path = config.admin_key_path();
    let Ok(meta) = fs::metadata(&path) else {
        return Check::ok("admin key", "will be generated at the first start");
    };
    if meta.permissions().mode() & 0o077 != 0 {
        return Check::warn(
            "admin key",
            format!("{} can be read by others", path.display()),
            format!("chmod 600 {}", path.display()),
        );
    }
    Check::ok("admin key", path.display().to_string())
}

/// Its flags may have told it other addresses than the ones that are looked at next.
fn runs(server: &Serving) -> Check {
    let Serving { listen, base_url, metrics_listen, since } = server;
    let since_ms = since.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    let metrics = metrics_listen.map(|addr| format!(", metrics at {addr}")).unwrap_or_default();
    Check::ok(
        "server",
        format!("runs since {} at {listen}{metrics}; its short links begin with {}", UnixMillis(since_ms).to_rfc3339(), base_url.0),
    )
}

fn port(name: &'static str, addr: SocketAddr, serving: bool) -> Check {
    match TcpListener::bind(addr) {
        Ok(_) => Check::ok(name, format!("{addr} is free")),
        Err(_) if serving => Check::ok(name, format!("{addr} is in use; a server is running on this data directory")),
        Err(error) => {
            Check::fail(name, format!("{addr}: {error}"), format!("stop who has it (`ss -ltnp`), or choose another {name}"))
        }
    }
}
