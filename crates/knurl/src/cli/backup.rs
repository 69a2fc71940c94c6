//! `knurl backup`: a copy of the database that has been opened and compared, or none.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use indicatif::ProgressBar;
use knurl_store::sqlite::{self, Verified};
use serde::Serialize;

use super::{
    args::Global,
    checksum,
    failure::Failure,
    now,
    open::{Database, existing, load},
    out::Out,
    scratch::{self, Scratch},
    table::Table,
};
use crate::app::backups;

const NOT_OF_POSTGRES: &str = "a PostgreSQL is backed up with its own tools: `pg_dump -Fc` writes one file, `pg_basebackup` with WAL archiving \
                               allows to go back to any moment; a node's data directory holds only clicks on their way and its key";

#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    /// The file to write, or a directory that gets a file named after the time
    dest: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
pub(super) struct CopyShape {
    file: String,
    bytes: u64,
    rows: u64,
    schema_version: i64,
    elapsed_ms: u64,
    verified: bool,
    tables: Vec<TableShape>,
}

#[derive(Serialize)]
struct TableShape {
    table: String,
    rows: u64,
    sha256: String,
}

pub(super) fn run(global: &Global, out: Out, args: &BackupArgs) -> Result<ExitCode, Failure> {
    let config = load(global, Vec::new())?.config;
    let source = existing(config.sqlite_path().ok_or_else(|| Failure::failed(NOT_OF_POSTGRES))?, Database::MustExist)?;
    let dest = destination(&args.dest);
    if dest.exists() && !args.force {
        return Err(Failure::failed(format!("{} is there already; --force replaces it", dest.display())));
    }
    if args.dest.is_dir() {
        scratch::sweep(&scratch::abandoned_copies(&args.dest, |name| name.starts_with("knurl-") && name.ends_with(".db.partial")));
    }
    let made = make(&source, &dest);
    backups::note(&config.data_dir, made.is_ok(), now());
    let shape = made?;
    out.show(&shape, || shape.text(out))?;
    Ok(ExitCode::SUCCESS)
}

fn make(source: &Path, dest: &Path) -> Result<CopyShape, Failure> {
    let began = Instant::now();
    let scratch = Scratch::databases(&[&partial(dest)])?;
    checksum::remove(dest)?;
    let verified = copy(source, dest)?;
    checksum::write(dest).inspect_err(|_| {
        // Neither is left: what failed must not look like a backup. That it failed is already said.
        let _ = std::fs::remove_file(dest);
        let _ = checksum::remove(dest);
    })?;
    drop(scratch);
    CopyShape::new(dest, &verified, began)
}

/// What a copy is called until it is verified.
pub(super) fn partial(dest: &Path) -> PathBuf {
    let mut name = dest.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// Online and verified; with a bar on a terminal.
pub(super) fn copy(source: &Path, dest: &Path) -> Result<Verified, Failure> {
    let bar = ProgressBar::new(0);
    let verified = sqlite::backup(source, dest, &mut |progress| {
        bar.set_length(progress.pages_total);
        bar.set_position(progress.pages_done);
    });
    bar.finish_and_clear();
    Ok(verified?)
}

fn destination(dest: &Path) -> PathBuf {
    if !dest.is_dir() {
        return dest.to_owned();
    }
    dest.join(format!("knurl-{}.db", timestamp()))
}

/// `20260403T120000`: sorts by time.
pub(super) fn timestamp() -> String {
    now().to_contract().replace(['-', ':'], "")
}

impl CopyShape {
    pub(super) fn new(file: &Path, verified: &Verified, began: Instant) -> Result<Self, Failure> {
        let meta = std::fs::metadata(file).map_err(|error| Failure::failed(format!("cannot read {}: {error}", file.display())))?;
        let tables = verified.tables.iter().map(|t| TableShape { table: t.table.clone(), rows: t.rows, sha256: t.sha256.clone() });
        Ok(Self {
            file: file.display().to_string(),
            bytes: meta.len(),
            rows: verified.tables.iter().map(|t| t.rows).sum(),
            schema_version: verified.schema_version,
            elapsed_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            verified: true,
            tables: tables.collect(),
        })
    }

    pub(super) fn text(&self, out: Out) -> String {
        let mut table = Table::new(out, &["TABLE", "#ROWS", "SHA-256"]);
        self.tables.iter().for_each(|t| table.row(&[t.table.clone(), t.rows.to_string(), t.sha256.chars().take(16).collect()]));
        let seconds = self.elapsed_ms as f64 / 1_000.0;
        format!("{}\n\n{}: {} bytes, {} rows, verified, {seconds:.1} s", table.text(), self.file, self.bytes, self.rows)
    }
}
