//! `knurl restore`: a verified backup takes the database's place in one step, and what it replaces is kept.
//!
//! Promised: at every instant the database's path names either the old one or the restored one, whole. Refused: a backup that does not
//! verify, or is not what its checksum was made of; a directory a server (or another command) has open, or a database that any other program holds.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use knurl_store::{Store, sqlite, sqlite::SqliteStore};
use serde::Serialize;

use super::{
    args::Global,
    backup::{self, CopyShape},
    checksum,
    failure::{Failure, chain},
    open::{Database, load, prepare, runtime},
    out::Out,
    scratch::{self, Scratch},
};
use crate::config::Config;

const NOT_OF_POSTGRES: &str =
    "a PostgreSQL is restored with its own tools: `pg_restore` what `pg_dump` wrote, or start from a `pg_basebackup`";

#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// A file that `knurl backup` wrote
    source: PathBuf,
    /// Replace the database that is there; it is kept beside, under another name
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct RestoreShape {
    restored: CopyShape,
    /// Where the database that was there is now.
    replaced: Option<String>,
}

pub(super) fn run(global: &Global, out: Out, args: &RestoreArgs) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let config = load(global, Vec::new())?.config;
    let database = config.sqlite_path().ok_or_else(|| Failure::failed(NOT_OF_POSTGRES))?;
    let _lock = no_server(&config)?;
    if database.exists() && !args.force {
        return Err(Failure::failed(format!("{} is there already; --force replaces it (and keeps it beside)", database.display())));
    }
    checksum::check(&args.source)?;
    let promised =
        sqlite::verify(&args.source).map_err(|error| Failure::failed(format!("{}: {}", args.source.display(), chain(&error))))?;
    prepare(&config, Database::MayCreate)?;
    let dir = database.parent().unwrap_or(Path::new("."));
    scratch::sweep(&scratch::abandoned_copies(dir, |name| is_unfinished(&database, name)));
    let fresh = beside(&database, &format!("{FRESH_PREFIX}{}", std::process::id()));
    let scratch = Scratch::databases(&[&fresh, &backup::partial(&fresh)])?;
    let copied = backup::copy(&args.source, &fresh);
    let placed = copied.and_then(|copied| {
        if copied != promised {
            return Err(Failure::failed(format!("{} changed while it was copied", args.source.display())));
        }
        Ok((place(&config, &database, &fresh)?, copied))
    });
    drop(scratch);
    let (replaced, copied) = placed?;
    let shape = RestoreShape {
        restored: CopyShape::new(&database, &copied, began)?,
        replaced: replaced.map(|path| path.display().to_string()),
    };
    out.show(&shape, || {
        let kept = shape.replaced.as_ref().map(|path| format!("\nthe database that was there is now {path}"));
        format!("{}{}", shape.restored.text(out), kept.unwrap_or_default())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// With the number of the process behind it, until the copy takes the database's place.
const FRESH_PREFIX: &str = "restoring-";

/// Whether a file beside the database is called as what a restore leaves when it is killed.
pub(super) fn is_unfinished(database: &Path, name: &str) -> bool {
    let of_database = database.file_name().and_then(|database| name.strip_prefix(database.to_str()?));
    let number = of_database.and_then(|rest| rest.strip_prefix('.')?.strip_prefix(FRESH_PREFIX));
    number.is_some_and(|number| {
        let number = number.strip_suffix(".partial").unwrap_or(number);
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The lock a server holds on its spool, taken until the restore is over.
pub(super) fn no_server(config: &Config) -> Result<Option<File>, Failure> {
    match spool_lock(config) {
        Lock::Free(file) => Ok(Some(file)),
        Lock::NoSpool => Ok(None),
        Lock::Held => Err(Failure::failed("a server is running on this data directory; stop it first")),
    }
}

/// Who has the spool.
pub(super) enum Lock {
    Free(File),
    NoSpool,
    Held,
}

pub(super) fn spool_lock(config: &Config) -> Lock {
    let Ok(file) = File::options().read(true).write(true).open(config.spool_dir().join("lock")) else { return Lock::NoSpool };
    if file.try_lock().is_ok() { Lock::Free(file) } else { Lock::Held }
}

/// The old database, checkpointed, gets a second name; then the new one takes the first name over, which is one step.
fn place(config: &Config, database: &Path, fresh: &Path) -> Result<Option<PathBuf>, Failure> {
    let failed = |what: &str, error: std::io::Error| Failure::failed(format!("cannot {what}: {error}"));
    if !database.exists() {
        // A journal without its database belongs to nothing; beside the new one it would be taken for its own.
        set_aside_journals(database, &format!("orphan-{}", backup::timestamp()))?;
        std::fs::rename(fresh, database).map_err(|error| failed("put the restored database in its place", error))?;
        sync_dir(database).map_err(|error| failed("sync the directory", error))?;
        return Ok(None);
    }
    let suffix = format!("replaced-{}", backup::timestamp());
    settle(config, database, &suffix)?;
    let kept = beside(database, &suffix);
    std::fs::hard_link(database, &kept)
        .or_else(|_| std::fs::copy(database, &kept).map(|_| ()))
        .map_err(|error| failed("keep the old database", error))?;
    std::fs::rename(fresh, database).map_err(|error| failed("put the restored database in its place", error))?;
    sync_dir(database).map_err(|error| failed("sync the directory", error))?;
    Ok(Some(kept))
}

/// Brings everything of the old database into its one file. The last to close it removes the journals: if they stay, somebody else has
/// it open. A database too damaged to be opened has its journals moved aside with it.
fn settle(config: &Config, database: &Path, suffix: &str) -> Result<(), Failure> {
    let in_use = || Failure::failed("another process has the database open; stop it first");
    match SqliteStore::open(database, &config.store.sqlite_options()) {
        Ok(store) => runtime()?.block_on(async { store.close().await }),
        Err(error) if sqlite::is_locked(&error) => return Err(in_use()),
        Err(_) => return set_aside_journals(database, suffix),
    }
    if journals(database).iter().any(|journal| journal.exists()) {
        return Err(in_use());
    }
    Ok(())
}

fn set_aside_journals(database: &Path, suffix: &str) -> Result<(), Failure> {
    for (journal, kept) in journals(database).iter().zip(journals(&beside(database, suffix))) {
        if journal.exists() {
            std::fs::rename(journal, kept)
                .map_err(|error| Failure::failed(format!("cannot move {}: {error}", journal.display())))?;
        }
    }
    Ok(())
}

fn journals(database: &Path) -> [PathBuf; 2] {
    ["-wal", "-shm"].map(|suffix| {
        let mut name = database.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(format!(".{suffix}"));
    PathBuf::from(name)
}

fn sync_dir(file: &Path) -> std::io::Result<()> {
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}
