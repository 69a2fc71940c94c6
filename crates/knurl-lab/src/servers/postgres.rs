//! PostgreSQL: a cluster of its own for each [`Postgres`], copied from a template that is made once.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    Result, ServerError,
    daemon::{Daemon, Recipe, command, find, on_a_free_port},
};
use crate::leash;

pub(super) const USER: &str = "knurl";
pub(super) const PASSWORD: &str = "loopback-only";
pub(super) const DATABASE: &str = "knurl";

#[derive(Clone, Debug, Default)]
pub struct PostgresSetup {
    /// Survive a kill of the whole machine, not of the server alone: for promises about durability. Otherwise fsync is off.
    pub fsync: bool,
    /// `name=value`, as on the server's command line.
    pub settings: Vec<String>,
}

/// A running PostgreSQL with one user and one empty database.
#[derive(Debug)]
pub struct Postgres {
    // Before the directory: dropped first.
    daemon: Daemon,
    dir: TempDir,
    port: u16,
    programs: PathBuf,
}

impl Postgres {
    pub fn start() -> Result<Self> {
        Self::start_with(&PostgresSetup::default())
    }

    pub fn start_with(setup: &PostgresSetup) -> Result<Self> {
        let programs = programs()?;
        let owner = owner()?;
        let dir = TempDir::with_prefix("knurl-postgres-")?;
        let data = dir.path().join("data");
        copy_tree(&template(&programs, owner)?, &data)?;
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700))?;
        give_to(dir.path(), owner)?;
        on_a_free_port(|port| {
            let recipe = Recipe {
                program: programs.join("postgres"),
                args: args_of(setup, dir.path(), port),
                dir: dir.path().to_owned(),
                owner,
                // Immediate shutdown, children included.
                dies_by: "QUIT",
            };
            let data = data.clone();
            Ok((Daemon::start(recipe, move || says_ready(&data))?, port))
        })
        .map(|(daemon, port)| Self { daemon, dir, port, programs })
    }

    pub fn url(&self) -> String {
        self.url_through(self.port)
    }

    /// As [`Postgres::url`], by way of a proxy on this port of the loopback.
    pub fn url_through(&self, port: u16) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.pid()
    }

    /// The directory of the cluster.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Runs SQL through psql; rows come back unaligned, columns separated by `|`.
    pub fn sql(&self, sql: &str) -> Result<String> {
        self.sql_in(DATABASE, sql)
    }

    /// As [`Postgres::sql`], in another database of the server.
    pub fn sql_in(&self, database: &str, sql: &str) -> Result<String> {
        psql(&self.programs, &self.url_of(database), sql)
    }

    /// psql that says this to the server until it is done, for [`crate::leash::spawn`].
    pub fn client(&self, sql: &str) -> std::process::Command {
        let mut psql = leash::command(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-c", sql, &self.url()]);
        psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        psql
    }

    /// Another server that follows this one and takes no writes until it is promoted (`select pg_promote()`).
    pub fn standby(&self) -> Result<Self> {
        let owner = owner()?;
        let dir = TempDir::with_prefix("knurl-standby-")?;
        give_to(dir.path(), owner)?;
        let data = dir.path().join("data");
        let to = data.display().to_string();
        let args = ["-D", &to, "-R", "-X", "stream", "-c", "fast", "-d", &self.url()].map(str::to_owned).to_vec();
        let copies =
            Recipe { program: self.programs.join("pg_basebackup"), args, dir: dir.path().to_owned(), owner, dies_by: "KILL" };
        run(&copies)?;
        on_a_free_port(|port| {
            let recipe = Recipe {
                program: self.programs.join("postgres"),
                args: args_of(&PostgresSetup::default(), dir.path(), port),
                dir: dir.path().to_owned(),
                owner,
                dies_by: "QUIT",
            };
            let data = data.clone();
            Ok((Daemon::start(recipe, move || says_standby(&data))?, port))
        })
        .map(|(daemon, port)| Self { daemon, dir, port, programs: self.programs.clone() })
    }

    /// A new, empty database in the same server; its URL.
    pub fn database(&self, name: &str) -> Result<String> {
        self.sql(&format!("create database {name}"))?;
        Ok(self.url_of(name))
    }

    /// Of a database of the server.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// SIGKILL, to all of it.
    pub fn kill(&mut self) -> Result<()> {
        Ok(self.daemon.kill()?)
    }

    /// Fast shutdown: sessions are ended, everything is written.
    pub fn stop(&mut self) -> Result<()> {
        Ok(self.daemon.stop(Signal::INT)?)
    }

    /// On the same port and data as before.
    pub fn start_again(&mut self) -> Result<()> {
        let data = self.data_dir();
        // Left behind by a kill: its line of readiness is of the process before.
        let _ = fs::remove_file(data.join("postmaster.pid"));
        self.daemon.start_again(move || says_ready(&data))
    }

    pub fn pause(&self) {
        self.daemon.pause();
    }

    pub fn resume(&self) {
        self.daemon.resume();
    }
}

/// Rows unaligned, columns separated by `|`.
impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        give_back(&self.data_dir());
    }
}

/// Of a server that was killed the kernel keeps a small segment of shared memory (System V's), of which there may be 4096 until it is started again:
/// some suites later none could be had. The seventh line of the server's file names it.
pub(super) fn give_back(data: &Path) {
    let Some(id) = segment(data) else { return };
    let _ = std::process::Command::new("ipcrm").args(["-m", &id]).stdin(Stdio::null()).stderr(Stdio::null()).status();
}

fn segment(data: &Path) -> Option<String> {
    let said = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    Some(said.lines().nth(6)?.split_whitespace().nth(1)?.to_owned())
}

pub(super) fn psql(programs: &Path, url: &str, sql: &str) -> Result<String> {
    let program = programs.join("psql");
    let mut psql = std::process::Command::new(&program);
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, url]).stdin(Stdio::null());
    let out = psql.output().map_err(|source| ServerError::Spawn { program: program.clone(), source })?;
    if !out.status.success() {
        let words = String::from_utf8_lossy(&out.stderr).trim().to_owned();
        return Err(ServerError::Failed { program: "psql".to_owned(), words });
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim_end().to_owned())
}

fn args_of(setup: &PostgresSetup, dir: &Path, port: u16) -> Vec<String> {
    let mut settings = vec![
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        format!("unix_socket_directories={}", dir.display()),
        "max_connections=200".to_owned(),
        "shared_buffers=64MB".to_owned(),
        "max_wal_size=1GB".to_owned(),
    ];
    if !setup.fsync {
        settings.extend(["fsync=off", "full_page_writes=off"].map(str::to_owned));
    }
    settings.extend(setup.settings.iter().cloned());
    let mut args = vec!["-D".to_owned(), dir.join("data").display().to_string()];
    args.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
    args
}

/// The server keeps its state in the last line of this file: "starting", then "ready".
fn says_ready(data: &Path) -> bool {
    fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|text| text.lines().nth(7).is_some_and(|line| line.trim() == "ready"))
}

/// As [`says_ready`], of one that follows another.
fn says_standby(data: &Path) -> bool {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    text.lines().nth(7).is_some_and(|line| matches!(line.trim(), "ready" | "standby"))
}

/// Debian keeps each version's programs in a directory of its own: the newest. Elsewhere they are on PATH.
pub(super) fn programs() -> Result<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin"))))
        .collect();
    versions.sort();
    let newest_first: Vec<PathBuf> = versions.into_iter().rev().map(|(_, bin)| bin).collect();
    let server = find("postgres", "postgresql", &newest_first)?;
    Ok(server.parent().map(Path::to_owned).unwrap_or_default())
}

/// PostgreSQL refuses root: then it runs as its package's user, or as nobody.
pub(super) fn owner() -> io::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let ids_of = |name: &str| {
        let mut fields =
            users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?.into_iter();
        Some((fields.nth(2)?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let ids = ids_of("postgres").or_else(|| ids_of("nobody"));
    ids.map(Some).ok_or_else(|| io::Error::other("PostgreSQL refuses root, and there is neither a user postgres nor nobody"))
}

/// A cluster as initdb leaves it, kept beside the build and made by whoever comes first.
fn template(programs: &Path, owner: Option<(u32, u32)>) -> Result<PathBuf> {
    let version = programs.display().to_string().replace('/', "-");
    let kept = cache_dir()?.join(format!("postgres{version}"));
    if kept.exists() {
        return Ok(kept);
    }
    let made = TempDir::with_prefix("knurl-initdb-")?;
    fs::write(made.path().join("password"), PASSWORD)?;
    give_to(made.path(), owner)?;
    let to = |name: &str| made.path().join(name).display().to_string();
    let (data, password) = (to("data"), to("password"));
    let args =
        ["-D", &data, "-U", USER, "--pwfile", &password, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"];
    let recipe = Recipe {
        program: programs.join("initdb"),
        args: args.map(str::to_owned).to_vec(),
        dir: made.path().to_owned(),
        owner,
        dies_by: "KILL",
    };
    run(&recipe)?;
    // The database of the tests' name, made where nobody has to wait for it.
    let recipe = Recipe {
        program: programs.join("postgres"),
        args: ["--single", "-D", &data, "postgres"].map(str::to_owned).to_vec(),
        ..recipe
    };
    run_on(&recipe, &format!("create database {DATABASE}\n"))?;
    // Whole or not there: a rename. Who comes second throws its own away.
    let beside = TempDir::with_prefix_in("initdb-", cache_dir()?)?;
    copy_tree(&made.path().join("data"), &beside.path().join("data"))?;
    match fs::rename(beside.path().join("data"), &kept) {
        Err(error) if !kept.exists() => Err(error.into()),
        _ => Ok(kept),
    }
}

fn run(recipe: &Recipe) -> Result<()> {
    run_on(recipe, "")
}

fn run_on(recipe: &Recipe, input: &str) -> Result<()> {
    let given = recipe.dir.join("input");
    fs::write(&given, input)?;
    let out = command(recipe)
        .stdin(fs::File::open(&given)?)
        .output()
        .map_err(|source| ServerError::Spawn { program: recipe.program.clone(), source })?;
    if out.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).trim().to_owned();
    Err(ServerError::Failed { program: recipe.program.display().to_string(), words })
}

/// `servers/` in the target directory that this program was built into; else in the system's temporary directory.
fn cache_dir() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    // Not by its CACHEDIR.TAG: who makes the directory before cargo does leaves none.
    let built_in = program.ancestors().find(|dir| dir.join(".fingerprint").exists()).and_then(Path::parent);
    let dir = built_in.map_or_else(std::env::temp_dir, Path::to_owned).join("servers");
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

pub(super) fn give_to(path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    let Some((uid, gid)) = owner else { return Ok(()) };
    chown(path, Some(uid), Some(gid))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            give_to(&entry?.path(), owner)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn segments() -> Vec<String> {
        let listed = fs::read_to_string("/proc/sysvipc/shm").unwrap();
        listed.lines().filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect()
    }

    #[test]
    fn nothing_of_a_server_stays_in_the_kernel_however_it_ended() {
        for end in
            [|_: &mut Postgres| (), |server: &mut Postgres| server.kill().unwrap(), |server: &mut Postgres| server.stop().unwrap()]
        {
            let mut server = Postgres::start().unwrap();
            let segment = segment(&server.data_dir()).unwrap();
            assert!(segments().contains(&segment));
            end(&mut server);
            drop(server);
            assert!(!segments().contains(&segment));
        }
    }
}
