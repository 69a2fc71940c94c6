//! `knurl import`: files in, a report out.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use knurl_store::{ImportMode, Store, sqlite};
use serde::Serialize;

use super::{
    args::Global,
    destination,
    failure::Failure,
    open::{Database, load, prepare, runtime},
    out::{Out, plain},
    scratch::{self, Scratch},
    table::Table,
};
use crate::{
    app,
    config::{self, Config},
    transfer::{self, Fate, Remark, Report, Source, Watcher},
};

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// CSV or JSON Lines files of users, urls or events; `-` is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Judge every row on a scratch copy of the database and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Write every remark (file,line,fate,field,reason) to this CSV file; the report printed has the counts and the first lines
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Replace the report's file if it is there
    #[arg(long, requires = "report")]
    force: bool,
}

#[derive(Serialize)]
struct ImportShape {
    dry_run: bool,
    inserted: u64,
    already_there: u64,
    kept: u64,
    stays_deleted: u64,
    refused: u64,
    elapsed_ms: u64,
    files: Vec<FileShape>,
}

#[derive(Serialize)]
struct FileShape {
    file: String,
    kind: &'static str,
    rows: u64,
    inserted: u64,
    already_there: u64,
    kept: u64,
    stays_deleted: u64,
    refused: u64,
    reasons: Vec<ReasonShape>,
    ignored_columns: Vec<String>,
}

#[derive(Serialize)]
struct ReasonShape {
    fate: Fate,
    field: &'static str,
    reason: &'static str,
    count: u64,
    first_lines: Vec<u64>,
}

pub(super) fn run(global: &Global, out: Out, args: &ImportArgs) -> Result<ExitCode, Failure> {
    let config = load(global, Vec::new())?.config;
    let mut sources = args.files.iter().map(|path| Source::open(path)).collect::<Result<Vec<_>, _>>()?;
    // Users first, then what refers to them. A stable sort: several files of a kind stay in the order they were named in.
    sources.sort_by_key(|source| source.kind);
    if let Some(report) = &args.report {
        destination::check(report, &config, &args.files, args.force)?;
    }
    let remarks = args.report.as_deref().map(|path| RemarkFile::create(path, args.force)).transpose()?;
    let place = Place::of(config, args.dry_run)?;
    let shape = runtime()?.block_on(async {
        let store = app::Database::open(&place.config).await?.store;
        let done = import_all(&store, &place.config, sources, remarks, args.dry_run).await;
        store.close().await;
        done
    })?;
    out.show(&shape, || text(out, &shape))?;
    Ok(if shape.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn import_all(
    store: &Arc<dyn Store>,
    config: &Config,
    sources: Vec<Source>,
    remarks: Option<RemarkFile>,
    dry_run: bool,
) -> Result<ImportShape, Failure> {
    let began = Instant::now();
    let mut watch = Watch { bar: ProgressBar::hidden(), rows: 0, file: String::new(), remarks, failed: None };
    let rules = &config.links.target_rules;
    let mut files = Vec::new();
    for source in sources {
        watch.begin(&source);
        let path = source.path.display().to_string();
        let report = transfer::import(store, source.stream(), ImportMode::Commit, None, rules, &mut watch).await;
        watch.bar.finish_and_clear();
        let report = report.map_err(|error| Failure::failed(format!("{path}: {}", Failure::from(error))))?;
        watch.check()?;
        files.push(file_shape(path, report));
    }
    watch.finish()?;
    let sum = |of: fn(&FileShape) -> u64| files.iter().map(of).sum();
    Ok(ImportShape {
        dry_run,
        inserted: sum(|f| f.inserted),
        already_there: sum(|f| f.already_there),
        kept: sum(|f| f.kept),
        stays_deleted: sum(|f| f.stays_deleted),
        refused: sum(|f| f.refused),
        elapsed_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        files,
    })
}

fn file_shape(file: String, report: Report) -> FileShape {
    let reasons = report.reasons.into_iter().map(|r| ReasonShape {
        fate: r.fate,
        field: r.field,
        reason: r.reason,
        count: r.count,
        first_lines: r.first_lines,
    });
    FileShape {
        file,
        kind: report.kind.map_or("", transfer::Kind::as_str),
        rows: report.rows,
        inserted: report.inserted,
        already_there: report.already_there,
        kept: report.kept,
        stays_deleted: report.stays_deleted,
        refused: report.refused,
        reasons: reasons.collect(),
        ignored_columns: report.ignored_columns,
    }
}

fn text(out: Out, shape: &ImportShape) -> String {
    let mut table = Table::new(out, &["FILE", "KIND", "#ROWS", "#INSERTED", "#ALREADY THERE", "#LEFT AS IS", "#REFUSED"]);
    for file in &shape.files {
        let left = file.kept + file.stays_deleted;
        let [rows, inserted, there, left, refused] =
            [file.rows, file.inserted, file.already_there, left, file.refused].map(|n| n.to_string());
        table.row(&[file.file.clone(), file.kind.to_owned(), rows, inserted, there, left, refused]);
    }
    let mut text = table.text();
    for file in &shape.files {
        // What was there already is in the table.
        for reason in file.reasons.iter().filter(|reason| reason.fate != Fate::AlreadyThere) {
            text.push_str(&format!("\n{}: {}", plain(&file.file), sentence(reason)));
        }
        if !file.ignored_columns.is_empty() {
            text.push_str(&format!("\n{}: columns not read: {}", plain(&file.file), plain(&file.ignored_columns.join(", "))));
        }
    }
    let seconds = shape.elapsed_ms as f64 / 1_000.0;
    let verb = if shape.dry_run { "would be inserted" } else { "inserted" };
    text.push_str(&format!("\n{} rows {verb} in {seconds:.1} s", shape.inserted));
    if shape.inserted == 0 && shape.refused == 0 {
        match (shape.already_there, shape.kept + shape.stays_deleted) {
            (0, 0) => {}
            (_, 0) => text.push_str(": everything was there already"),
            _ => text.push_str(": nothing was changed"),
        }
    }
    text
}

/// `2 rows taken although username is the same as an earlier row's (line 329, 350)`
fn sentence(reason: &ReasonShape) -> String {
    const LINES_MAX: usize = 5;
    let lines: Vec<String> = reason.first_lines.iter().take(LINES_MAX).map(u64::to_string).collect();
    let more = if reason.count > lines.len() as u64 { ", …" } else { "" };
    let noun = if reason.count == 1 { "row" } else { "rows" };
    let because = if reason.fate == Fate::Taken { "although" } else { "because" };
    let fate = if reason.fate == Fate::StaysDeleted { "left deleted" } else { reason.fate.as_str() };
    let field = if reason.field.is_empty() { "the row" } else { reason.field };
    format!("{} {noun} {fate} {because} {field} {} (line {}{more})", reason.count, reason.reason, lines.join(", "))
}

const NO_COPY: &str = "--dry-run judges the rows on a copy of the database, and a PostgreSQL is not copied for that: restore a `pg_dump` of it \
                       beside and import there";

/// The database the rows go into: the real one, or a scratch copy that goes away with this value.
struct Place {
    config: Config,
    _scratch: Option<Scratch>,
}

/// With the number of the process behind it.
pub(super) const SCRATCH_PREFIX: &str = ".dry-run-";

impl Place {
    fn of(config: Config, dry_run: bool) -> Result<Self, Failure> {
        if !dry_run {
            prepare(&config, Database::MayCreate)?;
            return Ok(Self { config, _scratch: None });
        }
        // Chunks judged one by one and rolled back would not see each other: every reference to an earlier chunk would dangle.
        let real = config.sqlite_path().ok_or_else(|| Failure::failed(NO_COPY))?;
        let beside = real.parent().filter(|dir| dir.is_dir()).map_or_else(std::env::temp_dir, Path::to_owned);
        scratch::sweep(&scratch::abandoned_dirs(&beside, SCRATCH_PREFIX));
        let dir = beside.join(format!("{SCRATCH_PREFIX}{}", std::process::id()));
        let scratch = Scratch::dir(&dir)?;
        let copy = dir.join("knurl.db");
        let place =
            Self { config: Config { database: config::Database::Sqlite(Some(copy.clone())), ..config }, _scratch: Some(scratch) };
        if real.exists() {
            sqlite::backup(&real, &copy, &mut |_| ())?;
        }
        Ok(place)
    }
}

/// `--report FILE`.
struct RemarkFile {
    path: PathBuf,
    csv: csv::Writer<BufWriter<File>>,
}

impl RemarkFile {
    fn create(path: &Path, force: bool) -> Result<Self, Failure> {
        let cannot = |error: &dyn std::fmt::Display| Failure::failed(format!("cannot write {}: {error}", path.display()));
        let mut csv = csv::Writer::from_writer(BufWriter::new(destination::create(path, force).map_err(|error| cannot(&error))?));
        csv.write_record(["file", "line", "fate", "field", "reason"]).map_err(|error| cannot(&error))?;
        Ok(Self { path: path.to_owned(), csv })
    }
}

struct Watch {
    bar: ProgressBar,
    rows: u64,
    file: String,
    remarks: Option<RemarkFile>,
    failed: Option<String>,
}

impl Watch {
    /// The bar goes to standard error and draws itself only on a terminal.
    fn begin(&mut self, source: &Source) {
        self.rows = 0;
        self.file = source.path.display().to_string();
        self.bar = source.bytes.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {eta}") {
            self.bar.set_style(style);
        }
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    fn check(&self) -> Result<(), Failure> {
        self.failed.as_ref().map_or(Ok(()), |failed| Err(Failure::failed(failed.clone())))
    }

    fn finish(mut self) -> Result<(), Failure> {
        let Some(mut remarks) = self.remarks.take() else { return Ok(()) };
        let flushed = remarks.csv.flush().and_then(|()| match remarks.csv.get_ref().get_ref().sync_all() {
            // A pipe or a device: nothing of it is on a disk.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        });
        flushed.map_err(|error| Failure::failed(format!("cannot write {}: {error}", remarks.path.display())))
    }
}

impl Watcher for Watch {
    fn remark(&mut self, remark: Remark) {
        let Some(remarks) = &mut self.remarks else { return };
        let line = remark.line.to_string();
        let written = remarks.csv.write_record([&self.file, &line, remark.fate.as_str(), remark.field, remark.reason]);
        if let Err(error) = written {
            self.failed = Some(format!("cannot write {}: {error}", remarks.path.display()));
            self.remarks = None;
        }
    }

    fn progress(&mut self, bytes: u64, rows: u64) {
        self.rows += rows;
        self.bar.inc(bytes);
        if rows > 0 {
            self.bar.set_message(format!("{}: {} rows", self.file, self.rows));
        }
    }
}
