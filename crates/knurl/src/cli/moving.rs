//! `knurl move`: a database into another one, while it is in use.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use knurl_store::{
    moving::{self, End, Moved, Part, Phase, Progress, Settings, Side, Surveyed, row::Tally},
    postgres::{PostgresOptions, moving::PostgresSide},
    sqlite::{SqliteOptions, moving::SqliteSide},
};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    args::Global,
    failure::Failure,
    open::{Database, existing, load, runtime},
    out::Out,
    table::Table,
};

#[derive(Debug, clap::Args)]
pub(super) struct MoveArgs {
    /// The database in use: `sqlite:PATH`, `postgres://…`, or `@FILE`, a file that holds one of them
    from: String,
    /// The database to use from then on; a PostgreSQL has to be there, and to be empty
    #[arg(required_unless_present = "abort")]
    to: Option<String>,
    /// Judge both and read every row, and change nothing
    #[arg(long, conflicts_with = "abort")]
    dry_run: bool,
    /// End a move that is not complete: FROM takes changes again
    #[arg(long)]
    abort: bool,
}

#[derive(Serialize)]
struct MoveShape {
    from: String,
    to: String,
    moved: bool,
    /// The move was complete before.
    already: bool,
    rows: u64,
    /// Rows written, those that were changed meanwhile once for each time.
    written: u64,
    /// Changes brought over while they were made.
    noted: u64,
    elapsed_ms: u64,
    /// How long clicks waited in their spools.
    settling_ms: u64,
    /// How long creates and edits were refused.
    fenced_ms: u64,
    parts: Vec<PartShape>,
}

#[derive(Serialize)]
struct PartShape {
    part: &'static str,
    rows: u64,
    /// The sum of the SHA-256 of each row, the same on both sides.
    sha256_sum: String,
}

#[derive(Serialize)]
struct SurveyShape {
    from: String,
    to: String,
    dry_run: bool,
    rows: u64,
    parts: Vec<SurveyedShape>,
    /// Rows that TO cannot keep.
    objections: u64,
    first_objections: Vec<String>,
}

#[derive(Serialize)]
struct SurveyedShape {
    part: &'static str,
    rows: u64,
}

#[derive(Serialize)]
struct AbortShape {
    from: String,
    aborted: bool,
}

pub(super) fn run(global: &Global, out: Out, args: &MoveArgs) -> Result<ExitCode, Failure> {
    let sqlite = load(global, Vec::new())?.config.store.sqlite_options();
    let from = Place::parse(&args.from)?;
    let to = args.to.as_deref().map(Place::parse).transpose()?;
    runtime()?.block_on(async {
        match (to, args.abort, args.dry_run) {
            (to, true, _) => abort(out, &from, to.as_ref(), &sqlite).await,
            (Some(to), _, true) => survey(out, &from, &to, &sqlite).await,
            (Some(to), ..) => move_house(out, &from, &to, &sqlite).await,
            (None, ..) => Err(Failure::usage("TO is missing")),
        }
    })
}

async fn move_house(out: Out, from: &Place, to: &Place, sqlite: &SqliteOptions) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    // Before anything is begun: whoever gives up in the middle of the switch leaves no fence behind.
    let failed = |error: std::io::Error| Failure::failed(format!("cannot wait for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut from = from.open(End::From, sqlite).await?;
    let mut to = to.open(End::To, sqlite).await?;
    let mut bar = Bar::new();
    let settings = Settings::default();
    let mut show = |progress| bar.show(progress);
    let moved = tokio::select! {
        moved = moving::run(&mut *from, &mut *to, &settings, &mut show) => Some(moved),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    bar.bar.finish_and_clear();
    let done = match moved {
        Some(moved) => moved.map_err(Failure::from),
        None => {
            let _ = from.end_look().await;
            moving::release(&mut *from).await?;
            Err(Failure::failed(format!(
                "stopped: {} is in use as before; the same command goes on, `knurl move --abort` ends the move",
                from.place()
            )))
        }
    };
    let places = (from.place(), to.place());
    from.close().await;
    to.close().await;
    let shape = MoveShape::new(places, &done?, began.elapsed());
    out.show(&shape, || shape.text(out))?;
    Ok(ExitCode::SUCCESS)
}

async fn survey(out: Out, from: &Place, to: &Place, sqlite: &SqliteOptions) -> Result<ExitCode, Failure> {
    let mut from = from.open(End::Survey(Surveyed::From), sqlite).await?;
    let mut to = to.open(End::Survey(Surveyed::To), sqlite).await?;
    let survey = moving::survey(&mut *from, &mut *to).await?;
    let shape = SurveyShape {
        from: from.place(),
        to: to.place(),
        dry_run: true,
        rows: survey.rows.iter().map(|(_, rows)| rows).sum(),
        parts: survey.rows.iter().map(|(part, rows)| SurveyedShape { part: part.name(), rows: *rows }).collect(),
        objections: survey.objections,
        first_objections: survey.first_objections,
    };
    out.show(&shape, || shape.text(out))?;
    Ok(if shape.objections == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn abort(out: Out, from: &Place, to: Option<&Place>, sqlite: &SqliteOptions) -> Result<ExitCode, Failure> {
    let mut from = from.open(End::From, sqlite).await?;
    let mut to = match to {
        Some(to) => Some(to.open(End::Survey(Surveyed::To), sqlite).await?),
        None => None,
    };
    moving::abort(&mut *from, to.as_mut().map(|to| &mut **to as &mut dyn Side)).await?;
    from.close().await;
    let shape = AbortShape { from: from.place(), aborted: true };
    out.show(&shape, || {
        format!("the move is ended: {} takes changes again; what was copied is no database to work with", shape.from)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// An end of a move as it was typed.
enum Place {
    Sqlite(PathBuf),
    Postgres { shown: String, options: Box<PostgresOptions> },
}

impl Place {
    fn parse(text: &str) -> Result<Self, Failure> {
        let held;
        let text = match text.strip_prefix('@') {
            Some(file) => {
                let read = std::fs::read_to_string(file);
                held = read.map_err(|error| Failure::failed(format!("cannot read {file}: {error}")))?;
                held.trim()
            }
            None => text,
        };
        if let Some(path) = text.strip_prefix("sqlite:") {
            return Ok(Self::Sqlite(PathBuf::from(path.strip_prefix("//").unwrap_or(path))));
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            // Not repeated: it may hold a password.
            return Err(Failure::usage(
                "a database is named as `sqlite:PATH` or `postgres://…`, or by a file that holds that: `@FILE`",
            ));
        }
        // Production's bounds: the configured ones are of the database in use, which may be either.
        let options = PostgresOptions::from_url(text).map_err(|error| Failure::usage(format!("the PostgreSQL URL {error}")))?;
        Ok(Self::Postgres { shown: shown(text), options: Box::new(options) })
    }

    async fn open(&self, end: End, sqlite: &SqliteOptions) -> Result<Box<dyn Side>, Failure> {
        Ok(match self {
            Self::Sqlite(path) => {
                if end == End::To {
                    existing(path.clone(), Database::MayCreate)?;
                }
                Box::new(SqliteSide::open(path, sqlite, end)?)
            }
            Self::Postgres { shown, options } => Box::new(PostgresSide::open(shown, options, end).await?),
        })
    }
}

/// Without login and parameters.
fn shown(url: &str) -> String {
    let address = url.split_once("://").map_or(url, |(_, rest)| rest);
    let address = address.split_once('?').map_or(address, |(address, _)| address);
    format!("postgres://{}", address.rsplit_once('@').map_or(address, |(_, place)| place))
}

/// To standard error, and only where somebody sees it.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {human_pos}/{human_len} rows {per_sec} {eta}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    fn show(&mut self, progress: Progress) {
        self.bar.set_length(progress.rows_total.max(progress.rows));
        self.bar.set_position(progress.rows);
        self.bar.set_message(match progress.phase {
            Phase::Copying => progress.part.name(),
            Phase::Settling => "clicks wait in their spools",
            Phase::Fenced => "changes wait",
        });
    }
}

impl MoveShape {
    fn new((from, to): (String, String), moved: &Moved, elapsed: Duration) -> Self {
        let part = |(part, tally): &(Part, Tally)| PartShape { part: part.name(), rows: tally.rows, sha256_sum: tally.hex() };
        Self {
            from,
            to,
            moved: true,
            already: moved.already,
            rows: moved.parts.iter().map(|(_, tally)| tally.rows).sum(),
            written: moved.written,
            noted: moved.noted,
            elapsed_ms: millis(elapsed),
            settling_ms: millis(moved.settling),
            fenced_ms: millis(moved.fenced),
            parts: moved.parts.iter().map(part).collect(),
        }
    }

    fn text(&self, out: Out) -> String {
        let next = format!("Now set KNURL_DATABASE_URL to it and restart the server; {} is kept as it was left.", self.from);
        if self.already {
            return format!("{} was moved to {} already. {next}", self.from, self.to);
        }
        let mut table = Table::new(out, &["PART", "#ROWS", "SUM OF SHA-256"]);
        self.parts
            .iter()
            .for_each(|p| table.row(&[p.part.to_owned(), p.rows.to_string(), p.sha256_sum.chars().take(16).collect()]));
        let [elapsed, settling, fenced] = [self.elapsed_ms, self.settling_ms, self.fenced_ms].map(|ms| ms as f64 / 1_000.0);
        format!(
            "{}\n\n{} is moved to {}: {} rows, the same on both sides, {elapsed:.1} s. Clicks waited {settling:.1} s, changes {fenced:.1} s.\n{next}",
            table.text(),
            self.from,
            self.to,
            self.rows
        )
    }
}

impl SurveyShape {
    fn text(&self, out: Out) -> String {
        let mut table = Table::new(out, &["PART", "#ROWS"]);
        self.parts.iter().for_each(|p| table.row(&[p.part.to_owned(), p.rows.to_string()]));
        let mut text = format!("{}\n\n{} rows would move from {} to {}", table.text(), self.rows, self.from, self.to);
        if self.objections > 0 {
            let shown = self.first_objections.join("\n");
            text.push_str(&format!("\n{} of them cannot be kept there:\n{shown}", self.objections));
        }
        text
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_place_is_shown_without_its_login_and_what_is_no_place_is_not_repeated() {
        assert_eq!(shown("postgres://ada:s3cret@db1:5432,db2/links?sslmode=require"), "postgres://db1:5432,db2/links");
        assert_eq!(shown("postgresql://db/links"), "postgres://db/links");
        assert!(matches!(Place::parse("sqlite:./data/knurl.db"), Ok(Place::Sqlite(path)) if path == Path::new("./data/knurl.db")));
        assert!(matches!(Place::parse("sqlite:///srv/knurl.db"), Ok(Place::Sqlite(path)) if path == Path::new("/srv/knurl.db")));
        for wrong in ["mysql://ada:s3cret@db/links", "knurl.db", "postgres://", ""] {
            let refused = Place::parse(wrong).err().unwrap();
            assert_eq!(refused.exit_code(), Failure::USAGE);
            assert!(!refused.to_string().contains("s3cret"), "{refused}");
        }
    }
}
